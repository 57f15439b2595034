"""What the repository costs: as JSON and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.cli.rendering import documents, human, money
from btrfs_to_s3.cli.rendering.text import facts, line, requests, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from btrfs_to_s3.cli.exit_codes import Failure
    from btrfs_to_s3.cli.rendering.documents import Document
    from btrfs_to_s3.model.prices import PriceList
    from btrfs_to_s3.plan.cost.cost import StorageCost
    from btrfs_to_s3.plan.cost.report import ClassCost, CostReport, RequestCost, SourceCost
    from btrfs_to_s3.plan.cost.restore import Line, RestoreEstimate

LEFT_OUT = (
    "metadata (manifests, indexes, catalogs, heads), whose sizes are not known without reading it",
    "objects of no live backup ('prune' removes them) and unfinished uploads",
    "taxes, discounts and the free requests of a new account",
)


def document(
    repository: str,
    report: CostReport,
    prices: PriceList,
    doubts: Sequence[str],
    download: Line,
    failures: Mapping[str, Failure],
) -> Document:
    """The whole report; ``failures`` are what could not be read, by source."""
    return {
        "repository": repository,
        "prices": money.prices_of(prices, doubts),
        "download_bytes_per_s": download.bytes_per_s,
        "left_out": list(LEFT_OUT),
        "month_amount": money.amount(report.storage.total),
        "requests_amount": money.amount(report.requests_total),
        "early_deletion_amount": money.amount(report.early.total),
        "unpriced": sorted(report.unpriced),
        "sources": [_source(each) for each in report.sources],
        "unreadable": [
            {"source_id": name, "error": documents.error(each)} for name, each in failures.items()
        ],
    }


def restore_of(each: RestoreEstimate) -> Document:
    """One way to read backups back; ``tier`` is null where nothing is archived."""
    return {
        "tier": None if each.tier is None else each.tier.value,
        "object_count": each.object_count,
        "download_size_bytes": each.size_bytes,
        "thaw_soonest_s": documents.seconds(each.thaw.soonest),
        "thaw_latest_s": documents.seconds(each.thaw.latest),
        "download_s": documents.seconds(each.download),
        "copy_kept_s": documents.seconds(each.copy_kept),
        **money.read_amounts(each.cost),
    }


def _source(each: SourceCost) -> Document:
    return {
        "source_id": str(each.source_id),
        "label": each.source_id.label,
        "host": each.host_name,
        "month_amount": money.amount(each.storage.total),
        "early_deletion_amount": money.amount(each.early.total),
        "unpriced": sorted(each.unpriced),
        "classes": [_class(of_class) for of_class in each.classes],
        "requests_last_month": _requests(each.requests),
        "restore": {
            "backup_id": None if each.newest is None else str(each.newest),
            "link_count": each.links,
            "tiers": [restore_of(restore) for restore in each.restores],
        },
    }


def _class(each: ClassCost) -> Document:
    return {
        "storage_class": each.class_name,
        "backup_count": each.backup_count,
        "object_count": each.stored.object_count,
        "stored_size_bytes": each.stored.size_bytes,
        **_storage(each.storage),
        "early_deletion_amount": money.amount(each.early.total),
        "unpriced": sorted(each.storage.unpriced),
    }


def _storage(cost: StorageCost) -> Document:
    return {
        "data_amount": money.amount(cost.data),
        "own_overhead_amount": money.amount(cost.own_overhead),
        "index_overhead_amount": money.amount(cost.index_overhead),
        "monitoring_amount": money.amount(cost.monitoring),
        "month_amount": money.amount(cost.total),
        "day_amount": money.amount(cost.a_day),
    }


def _requests(cost: RequestCost) -> Document:
    return {
        "backup_count": cost.backup_count,
        "requests": dict(cost.counts),
        "put_amount": money.amount(cost.put),
        "get_amount": money.amount(cost.get),
        "list_amount": money.amount(cost.list),
        "total_amount": money.amount(cost.total),
        "unpriced": sorted(cost.unpriced),
    }


def text(
    report: CostReport, prices: PriceList, doubts: Sequence[str], download: Line
) -> list[RenderableType]:
    """A table for each source, then the sums and what they were made with."""
    currency = prices.currency
    parts: list[RenderableType] = []
    for each in report.sources:
        parts += _of_source(each, currency)
    if not report.sources:
        parts.append(line("no backups yet"))
    month = money.at_least(report.storage.total, currency, report.storage.unpriced, "a month")
    early = money.at_least(
        report.early.total, currency, report.early.unpriced, "if everything were deleted now"
    )
    return [
        *parts,
        line(f"together: {month}", "bold"),
        facts(
            [
                ("requests", f"{money.shown(report.requests_total, currency)} in the last 30 days"),
                ("early", early),
                *(("left out", each) for each in LEFT_OUT),
                ("download", download_text(download)),
            ]
        ),
        money.prices_text(prices, doubts),
    ]


def download_text(download: Line) -> str:
    """The rate that restores are reckoned with, and where it comes from."""
    origin = "bandwidth_limit" if download.limited_here else "assumed: no bandwidth_limit is set"
    return f"taken to reach {human.rate(download.bytes_per_s, 1)} ({origin})"


def restores_text(restores: Sequence[RestoreEstimate], currency: str) -> RenderableType:
    """What reading backups back takes, a row for each tier."""
    rows = [
        (
            "-" if each.tier is None else each.tier.value,
            human.size(each.size_bytes),
            _thaw(each),
            human.span(each.download),
            *(
                money.shown(value, currency)
                for value in (
                    each.cost.thaw_requests + each.cost.get_requests,
                    each.cost.retrieval,
                    each.cost.copy,
                    each.cost.egress,
                )
            ),
            money.at_least(each.cost.total, currency, each.cost.unpriced),
        )
        for each in restores
    ]
    columns = (
        "TIER", "DOWNLOAD", "THAW", "THEN", "REQUESTS", "RETRIEVAL", "COPY", "EGRESS", "TOGETHER",
    )  # fmt: skip
    return table(columns, rows, right=columns[1:])


def _of_source(each: SourceCost, currency: str) -> list[RenderableType]:
    month = money.at_least(each.storage.total, currency, each.storage.unpriced, "a month")
    parts: list[RenderableType] = [
        line(f"{each.host_name}/{each.source_id}: {month}", "bold"),
        table(
            ("CLASS", "BACKUPS", "OBJECTS", "STORED", "DATA", "OVERHEAD", "A MONTH", "EARLY"),
            [
                (
                    of_class.class_name,
                    str(of_class.backup_count),
                    str(of_class.stored.object_count),
                    human.size(of_class.stored.size_bytes),
                    money.shown(of_class.storage.data, currency),
                    money.shown(of_class.storage.total - of_class.storage.data, currency),
                    money.at_least(of_class.storage.total, currency, of_class.storage.unpriced),
                    money.shown(of_class.early.total, currency),
                )
                for of_class in each.classes
            ],
            right=("BACKUPS", "OBJECTS", "STORED", "DATA", "OVERHEAD", "A MONTH", "EARLY"),
        ),
        facts([("requests", _requests_text(each.requests, currency))]),
    ]
    if each.restores:
        links = human.count(each.links, "link")
        parts += [
            line(f"restoring all of {each.newest} ({links}):"),
            restores_text(each.restores, currency),
        ]
    return parts


def _requests_text(cost: RequestCost, currency: str) -> str:
    backups = human.count(cost.backup_count, "backup")
    what = f"for {backups} in the last 30 days ({requests(cost.counts)})"
    return money.at_least(cost.total, currency, cost.unpriced, what)


def _thaw(each: RestoreEstimate) -> str:
    if each.tier is None:
        return "none"
    latest = human.span(each.thaw.latest)
    if each.thaw.soonest == each.thaw.latest:
        return f"within {latest}"
    return f"{human.span(each.thaw.soonest)} to {latest}"
