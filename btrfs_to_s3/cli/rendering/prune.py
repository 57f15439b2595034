"""What a prune would remove, or removed: as JSON and as text."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.rendering import documents, human, money
from btrfs_to_s3.cli.rendering.text import facts, line, requests, table

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rich.console import RenderableType

    from btrfs_to_s3.cli.exit_codes import Failure
    from btrfs_to_s3.cli.rendering.documents import Document
    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.model.objects import DeleteFailure
    from btrfs_to_s3.model.prices import PriceList
    from btrfs_to_s3.operations.prune.orphans import OrphanRemovals, OrphanResult
    from btrfs_to_s3.operations.prune.prune import (
        PruneResult,
        RepositoryPlan,
        SourcePlan,
        SourceResult,
    )
    from btrfs_to_s3.plan.retention.early import Early
    from btrfs_to_s3.plan.retention.retention import PrunePlan


@dataclass(frozen=True, slots=True)
class Priced:
    """What amounts were made with, and why it may be wrong here."""

    prices: PriceList
    doubts: Sequence[str] = ()


def document(
    repository: str,
    planned: RepositoryPlan,
    done: PruneResult | None,
    failures: Mapping[str, Failure],
    counts: Mapping[str, int],
    priced: Priced,
) -> Document:
    """The plan, and where it was carried out what that gave."""
    return {
        "repository": repository,
        "dry_run": done is None,
        **decided(planned, done, failures),
        "prices": money.prices_of(priced.prices, priced.doubts),
        "requests": dict(counts),
        "duration_s": None if done is None else documents.seconds(done.duration),
    }


def decided(
    planned: RepositoryPlan, done: PruneResult | None, failures: Mapping[str, Failure]
) -> Document:
    """The decisions on every source's backups and on orphans, and what came of them."""
    results = {} if done is None else {each.source_id: each for each in done.sources}
    return {
        "sources": [
            {
                **_planned_source(each),
                "result": _result(results.get(each.wishes.source_id)),
                "error": _error(failures.get(str(each.wishes.source_id))),
            }
            for each in planned.sources
        ],
        "orphans": {
            **_planned_orphans(planned.orphans),
            "result": None if done is None else _orphan_result(done.orphans),
            "error": _error(failures.get("orphans")),
        },
    }


def _planned_source(each: SourcePlan) -> Document:
    """What would become of one source's backups."""
    lines = () if each.plan is None else each.plan.lines
    return {
        "source_id": str(each.wishes.source_id),
        "label": each.wishes.source_id.label,
        "backups": [
            {
                "backup_id": str(item.entry.backup_id),
                "keep": item.keep,
                "reasons": list(item.reasons),
                "stored_size_bytes": item.entry.stored_size_bytes,
                "early_deletion": None if item.early is None else _early(item.early),
            }
            for item in lines
        ],
        "unfinished": [str(backup_id) for backup_id in each.unfinished],
        "freed_bytes": 0 if each.plan is None else each.plan.freed_bytes,
        "early_deletion_amount": None if each.plan is None else money.amount(each.plan.charge),
        "early_deletion_all_amount": None
        if each.plan is None
        else money.amount(each.plan.charge_of_all),
        "unpriced": [] if each.plan is None else sorted(each.plan.unpriced),
    }


def _early(early: Early) -> Document:
    """A backup that no rule keeps and that is billed until the end of a minimum duration."""
    return {
        "left": early.leave,
        "until_time": documents.time(early.until),
        "charge_amount": money.amount(early.charge),
        "keeping_more_amount": money.amount(early.extra),
    }


def _planned_orphans(orphans: OrphanRemovals | None) -> Document:
    """Objects of no live backup: how many would go, and what stays and why.

    Nulls where they were not looked for, or could not be.
    """
    if orphans is None:
        return {"object_count": None, "freed_bytes": None, "upload_count": None, "left": []}
    left: list[Document] = [
        {"source_id": str(source_id), "backup_id": str(backup_id), "reason": reason}
        for (source_id, backup_id), reason in orphans.plan.left
    ]
    left += [
        {"source_id": str(source_id), "backup_id": None, "reason": reason}
        for source_id, reason in orphans.unreadable
    ]
    return {
        "object_count": len(orphans.plan.remove) + len(orphans.surplus),
        "freed_bytes": orphans.freed_bytes,
        "upload_count": len(orphans.plan.abort),
        "left": left,
    }


def text(
    planned: RepositoryPlan,
    done: PruneResult | None,
    other_hosts: Sequence[str],
    counts: Mapping[str, int],
    priced: Priced,
) -> list[RenderableType]:
    """Every decision before, what was done after."""
    parts: list[RenderableType] = []
    if done is None:
        parts += plan_text(planned, priced)
    else:
        plans = {each.wishes.source_id: each.plan for each in planned.sources}
        for result in done.sources:
            parts += _done(result)
            parts += _charges(plans.get(result.source_id), priced, result.removed)
        parts += _prices(planned, priced)
        parts += _orphans_done(done.orphans)
        pairs = [("took", human.span(done.duration)), ("requests", requests(counts))]
        parts += [line("prune", "bold"), facts(pairs)]
    if not planned.sources:
        parts.insert(0, line("no source of this host has backups here"))
    if other_hosts:
        parts.append(line(f"left alone, of other hosts: {', '.join(other_hosts)}"))
    return parts


def plan_text(
    planned: RepositoryPlan, priced: Priced, *, with_prices: bool = True
) -> list[RenderableType]:
    """Every decision with its reason; ``with_prices`` names the list that charges come from."""
    of_sources = [
        part
        for each in planned.sources
        for part in (*_plan_of_source(each), *_charges(each.plan, priced))
    ]
    prices = _prices(planned, priced) if with_prices else []
    return [*of_sources, *prices, *_plan_of_orphans(planned.orphans)]


def _prices(planned: RepositoryPlan, priced: Priced) -> list[RenderableType]:
    """The price list, once, where anything was reckoned with it."""
    if not any(each.plan is not None and each.plan.early for each in planned.sources):
        return []
    return [money.prices_text(priced.prices, priced.doubts)]


def _charges(
    plan: PrunePlan | None, priced: Priced, removed: Collection[BackupId] | None = None
) -> list[RenderableType]:
    """What is charged for early deletion, and what is left because it would be.

    ``removed`` is what is gone, None where nothing was carried out.
    """
    if plan is None or not plan.early:
        return []
    currency = priced.prices.currency
    gone = {entry.backup_id for entry in plan.removals} if removed is None else set(removed)
    charges = [each.charge for entry, each in plan.early if entry.backup_id in gone]
    pairs: list[tuple[str, str]] = []
    if removed is not None:
        pairs += [("left", f"{entry.backup_id}: {early.reason}") for entry, early in plan.left]
    if charges:
        amount = money.at_least(sum(charges, Decimal(0)), currency, plan.unpriced)
        pairs.append(("charged", f"{amount} for deleting {_backups(len(charges))} early"))
    if plan.left:
        soonest = min(early.until for _, early in plan.left)
        all_now = plan.charge_of_all - (sum(charges, Decimal(0)) if removed is not None else 0)
        amount = money.at_least(all_now, currency, plan.unpriced)
        pairs += [
            ("left", f"{_backups(len(plan.left))} for now, the first until {soonest:%Y-%m-%d}"),
            ("all now", f"{amount} would be charged, with --pay-early-deletion"),
        ]
    return [facts(pairs)]


def _backups(number: int) -> str:
    return human.count(number, "backup")


def _plan_of_source(each: SourcePlan) -> list[RenderableType]:
    """A line for every backup, kept or not, with the reasons."""
    if each.error is not None:
        return []
    lines = () if each.plan is None else each.plan.lines
    if not lines and not each.unfinished:
        return [line(f"{each.wishes.source_id}: no backups yet, so none to remove", "bold")]
    gone = [item for item in lines if not item.keep]
    freed = 0 if each.plan is None else each.plan.freed_bytes
    heading = f"{each.wishes.source_id}: {len(gone)} of {human.count(len(lines), 'backup')}"
    rows = [
        (
            str(item.entry.backup_id),
            "keep" if item.keep else "remove",
            human.size(item.entry.stored_size_bytes),
            "; ".join(item.reasons),
        )
        for item in lines
    ]
    parts: list[RenderableType] = [
        line(f"{heading} would be removed ({human.size(freed)})", "bold"),
        table(("BACKUP", "DECISION", "STORED", "WHY"), rows, right=("STORED",)),
    ]
    if each.unfinished:
        named = ", ".join(map(str, each.unfinished))
        parts.append(line(f"removals that an earlier run did not finish: {named}"))
    return parts


def _plan_of_orphans(orphans: OrphanRemovals | None) -> list[RenderableType]:
    """How many objects of no backup would go, by reason, and what stays."""
    if orphans is None:
        return []
    by_reason: dict[str, list[int]] = {}
    for orphan in (*orphans.plan.remove, *orphans.surplus):
        by_reason.setdefault(orphan.reason, []).append(orphan.listed.size_bytes)
    total = sum(map(len, by_reason.values()))
    heading = f"orphans: {human.count(total, 'object')} would be removed"
    pairs = [
        (human.count(len(sizes), "object"), f"{human.size(sum(sizes))}: {reason}")
        for reason, sizes in by_reason.items()
    ]
    pairs += [("1 upload", f"aborted: {lost.reason}") for lost in orphans.plan.abort]
    pairs += [
        ("left", f"{source_id}@{backup_id}: {reason}")
        for (source_id, backup_id), reason in orphans.plan.left
    ]
    pairs += [("left", f"{source_id}: {reason}") for source_id, reason in orphans.unreadable]
    size = f" ({human.size(orphans.freed_bytes)})" if total else ""
    return [line(heading + size, "bold"), facts(pairs)] if pairs else [line(heading, "bold")]


def _done(result: SourceResult) -> list[RenderableType]:
    removed = human.count(len(result.removed), "backup")
    freed = human.size(result.freed_bytes)
    pairs = [("removed", str(backup_id)) for backup_id in result.removed]
    pairs += [("spared", f"{backup_id}: it became needed") for backup_id in result.spared]
    pairs += [("refused", _refused(each)) for each in result.failures]
    heading = line(f"{result.source_id}: {removed} removed, {freed} freed", "bold")
    return [heading, facts(pairs)] if pairs else [heading]


def _orphans_done(result: OrphanResult) -> list[RenderableType]:
    if not (result.objects or result.uploads or result.failures):
        return []
    objects = human.count(result.objects, "object")
    uploads = human.count(result.uploads, "unfinished upload")
    heading = f"orphans: {objects} removed, {human.size(result.freed_bytes)} freed, {uploads} ended"
    pairs = [("refused", _refused(each)) for each in result.failures]
    return [line(heading, "bold"), facts(pairs)] if pairs else [line(heading, "bold")]


def _refused(failure: DeleteFailure) -> str:
    return f"{failure.key}: {failure.code} {failure.message}".rstrip()


def _result(result: SourceResult | None) -> Document | None:
    if result is None:
        return None
    return {
        "removed": [str(backup_id) for backup_id in result.removed],
        "spared": [str(backup_id) for backup_id in result.spared],
        "freed_bytes": result.freed_bytes,
        "refused": [_failure(each) for each in result.failures],
    }


def _orphan_result(result: OrphanResult) -> Document:
    return {
        "object_count": result.objects,
        "freed_bytes": result.freed_bytes,
        "upload_count": result.uploads,
        "refused": [_failure(each) for each in result.failures],
    }


def _failure(each: DeleteFailure) -> Document:
    return {"key": each.key, "code": each.code, "message": each.message}


def _error(failure: Failure | None) -> Document | None:
    return None if failure is None else documents.error(failure)
