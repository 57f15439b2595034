"""``plan --simulate``: policies replayed, as JSON and as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.rendering import documents, human, money
from btrfs_to_s3.cli.rendering.cost import download_text, restore_of, restores_text
from btrfs_to_s3.cli.rendering.text import facts, line, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta
    from decimal import Decimal

    from rich.console import RenderableType

    from btrfs_to_s3.cli.rendering.documents import Document
    from btrfs_to_s3.model.policy import Strategy
    from btrfs_to_s3.model.prices import PriceList
    from btrfs_to_s3.plan.cost.rates import Rates
    from btrfs_to_s3.plan.cost.restore import Line
    from btrfs_to_s3.plan.cost.simulate import Simulated

MODEL = (
    "the source keeps its size, and as much of it changes every day, each time other data; every "
    "run succeeds; prune runs once a day, in a class with a minimum duration once a week "
    "(docs/cost.md)"
)


@dataclass(frozen=True, slots=True)
class SimulatedSource:
    """One source's policy replayed; ``configured`` is the strategy that counts now."""

    label: str
    data_class: str
    rates: Rates
    configured: Strategy
    strategies: tuple[Simulated, ...]


def document(
    sources: Sequence[SimulatedSource],
    span: timedelta,
    download: Line,
    prices: PriceList,
    doubts: Sequence[str],
) -> Document:
    """Every source with what each strategy would come to."""
    return {
        "prices": money.prices_of(prices, doubts),
        "span_s": documents.seconds(span),
        "download_bytes_per_s": download.bytes_per_s,
        "model": MODEL,
        "sources": [
            {
                "label": each.label,
                "storage_class": each.data_class,
                "full_size_bytes": each.rates.full_bytes,
                "daily_change_bytes": each.rates.daily_bytes,
                "stored_ratio": round(float(each.rates.stored_ratio), 3),
                "every_s": documents.seconds(each.rates.every),
                "strategies": [_strategy(one, each.configured) for one in each.strategies],
            }
            for each in sources
        ],
    }


def _strategy(each: Simulated, configured: Strategy) -> Document:
    return {
        "strategy": each.strategy.value,
        "configured": each.strategy is configured,
        "backup_count": each.made,
        "full_count": each.full,
        "removed_count": each.removed,
        "stored_end_size_bytes": each.stored_end_bytes,
        "stored_peak_size_bytes": each.stored_peak_bytes,
        "month_amount": money.amount(each.month.total),
        "storage_amount": money.amount(each.storage_total),
        "put_amount": money.amount(each.puts.total),
        "early_deletion_amount": money.amount(each.early.total),
        "total_amount": money.amount(each.total),
        "longest_chain_count": each.longest_chain,
        "worst_restore": {
            "snapshot_time": documents.time_or_none(each.worst),
            "link_count": each.worst_links,
            "stored_size_bytes": each.worst_bytes,
            "tiers": [restore_of(restore) for restore in each.restores],
        },
        "unpriced": sorted(each.unpriced),
    }


def text(
    sources: Sequence[SimulatedSource],
    span: timedelta,
    download: Line,
    prices: PriceList,
    doubts: Sequence[str],
) -> list[RenderableType]:
    """A table of the strategies of each source, and what the worst restore would take."""
    parts: list[RenderableType] = []
    for each in sources:
        parts += _source_text(each, span, prices.currency)
    return [
        *parts,
        facts(
            [
                ("model", MODEL),
                ("download", download_text(download)),
            ]
        ),
        money.prices_text(prices, doubts),
    ]


def _source_text(each: SimulatedSource, span: timedelta, currency: str) -> list[RenderableType]:
    rates = each.rates
    heading = (
        f"{each.label} in {each.data_class} after {human.span(span)}: "
        f"{human.size(rates.full_bytes)}, {human.size(rates.daily_bytes)} of it changed a day, "
        f"a backup every {human.span(rates.every)}, {rates.stored_ratio:.2f} of it stored"
    )

    def amount(value: Decimal) -> str:
        return money.shown(value, currency)

    columns = (
        "STRATEGY", "BACKUPS", "FULL", "STORED", "AT MOST", "A MONTH", "STORAGE", "PUTS", "EARLY",
        "TOGETHER", "LONGEST CHAIN",
    )  # fmt: skip
    rows = [
        (
            f"{one.strategy.value}{' (now)' if one.strategy is each.configured else ''}",
            str(one.made),
            str(one.full),
            human.size(one.stored_end_bytes),
            human.size(one.stored_peak_bytes),
            amount(one.month.total),
            amount(one.storage_total),
            amount(one.puts.total),
            amount(one.early.total),
            money.at_least(one.total, currency, one.unpriced),
            str(one.longest_chain),
        )
        for one in each.strategies
    ]
    parts: list[RenderableType] = [line(heading, "bold"), table(columns, rows, right=columns[1:])]
    for one in each.strategies:
        if one.worst is None:
            continue
        links = human.count(one.worst_links, "link")
        parts += [
            line(
                f"{one.strategy.value}: the worst restore, of {human.moment(one.worst)} ({links}):"
            ),
            restores_text(one.restores, currency),
        ]
    return parts
