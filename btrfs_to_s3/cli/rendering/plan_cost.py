"""What carrying out a plan would cost: as JSON and as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.rendering import human, money
from btrfs_to_s3.cli.rendering.text import facts, line
from btrfs_to_s3.plan.backup.decision import Decision
from btrfs_to_s3.plan.cost.of_plan import backup_cost, prune_cost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rich.console import RenderableType

    from btrfs_to_s3.cli.rendering.documents import Document
    from btrfs_to_s3.model.prices import PriceList
    from btrfs_to_s3.operations.backup.run import SourceOutcome
    from btrfs_to_s3.operations.prune.prune import RepositoryPlan
    from btrfs_to_s3.plan.cost.of_plan import BackupCost, Form, PruneCost

_SENDS = (Decision.FULL, Decision.INCREMENTAL, Decision.RESUME)


@dataclass(frozen=True, slots=True)
class PlanCost:
    """The costs of a plan: of backups by label (None where no size is known), of prunes by id."""

    backups: Mapping[str, BackupCost | None]
    prunes: Mapping[str, PruneCost]


def reckon(
    prices: PriceList,
    forms: Mapping[str, Form],
    outcomes: Sequence[SourceOutcome],
    prunes: RepositoryPlan,
    now: datetime,
) -> PlanCost:
    """The costs of what is planned; ``forms`` by label."""
    return PlanCost(
        {
            outcome.label: _of_backup(prices, forms[outcome.label], outcome)
            for outcome in outcomes
            if outcome.plan is not None and outcome.plan.decision in _SENDS
        },
        {
            str(each.wishes.source_id): prune_cost(prices, each.plan.removals, now)
            for each in prunes.sources
            if each.plan is not None and each.plan.removals
        },
    )


def document(cost: PlanCost, prices: PriceList, doubts: Sequence[str]) -> Document:
    """Amounts by source, with their prices."""
    return {
        "prices": money.prices_of(prices, doubts),
        "backups": [_backup(label, each) for label, each in cost.backups.items()],
        "prunes": [
            {
                "source_id": source_id,
                "backup_count": each.removals,
                "month_saved_amount": money.amount(each.saved.total),
                "early_deletion_amount": money.amount(each.early.total),
                "unpriced": sorted(each.saved.unpriced | each.early.unpriced),
            }
            for source_id, each in cost.prunes.items()
        ],
    }


def text(cost: PlanCost, prices: PriceList, doubts: Sequence[str]) -> list[RenderableType]:
    """A line for each source; nothing where nothing would be done."""
    currency = prices.currency
    pairs = [(label, _backup_text(each, currency)) for label, each in cost.backups.items()]
    pairs += [(name, _prune_text(each, currency)) for name, each in cost.prunes.items()]
    if not pairs:
        return []
    return [line("what that costs", "bold"), facts(pairs), money.prices_text(prices, doubts)]


def _of_backup(prices: PriceList, form: Form, outcome: SourceOutcome) -> BackupCost | None:
    plan = outcome.plan
    if plan is None or plan.estimate_bytes is None or plan.estimate_stored_bytes is None:
        return None
    return backup_cost(prices, form, plan.estimate_bytes, plan.estimate_stored_bytes)


def _backup(label: str, each: BackupCost | None) -> Document:
    if each is None:
        return {
            "label": label,
            "stored_size_bytes": None,
            "put_count": None,
            "put_amount": None,
            "month_amount": None,
            "unpriced": [],
        }
    return {
        "label": label,
        "stored_size_bytes": each.stored.size_bytes,
        "put_count": each.put_count,
        "put_amount": money.amount(each.puts.total),
        "month_amount": money.amount(each.storage.total),
        "unpriced": sorted(each.puts.unpriced | each.storage.unpriced),
    }


def _backup_text(each: BackupCost | None, currency: str) -> str:
    if each is None:
        return "not known: no earlier backup of this kind says how large it will be"
    month = money.at_least(each.storage.total, currency, each.storage.unpriced, "more a month")
    puts = money.at_least(each.puts.total, currency, each.puts.unpriced)
    size = human.size(each.stored.size_bytes)
    return f"{month} for {size}; once {puts} for {human.count(each.put_count, 'PUT')}"


def _prune_text(each: PruneCost, currency: str) -> str:
    saved = money.at_least(each.saved.total, currency, each.saved.unpriced, "less a month")
    early = money.at_least(each.early.total, currency, each.early.unpriced)
    return f"{saved}; once {early} for deleting early ({human.count(each.removals, 'backup')})"
