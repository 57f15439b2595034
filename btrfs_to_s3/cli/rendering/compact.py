"""What compacting was decided, and what came of it: as JSON and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.cli.rendering import documents, human, money
from btrfs_to_s3.cli.rendering.text import facts, line, table
from btrfs_to_s3.plan.backup.economy import HORIZON, RESTORES_A_YEAR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from btrfs_to_s3.cli.exit_codes import Failure
    from btrfs_to_s3.cli.rendering.documents import Document
    from btrfs_to_s3.model.prices import PriceList
    from btrfs_to_s3.operations.backup.compact import SourceDecision
    from btrfs_to_s3.plan.backup.compaction import Course

ASSUMED = (
    f"over {HORIZON.days} days, {RESTORES_A_YEAR} complete restore of the newest backup a year, in "
    "the cheapest tier"
)


def document(
    repository: str,
    decisions: Sequence[SourceDecision],
    prices: PriceList,
    doubts: Sequence[str],
    failures: Mapping[str, Failure],
    *,
    force: bool,
    dry_run: bool,
) -> Document:
    """The decisions; the backups that were made stand beside them, as ``backup`` shows them."""
    return {
        "repository": repository,
        "dry_run": dry_run,
        "prices": money.prices_of(prices, doubts),
        "horizon_s": documents.seconds(HORIZON),
        "restores_per_year_count": RESTORES_A_YEAR,
        "decisions": [
            {
                "label": each.label,
                "source_id": None if each.source_id is None else str(each.source_id),
                "worthwhile": each.decision is not None and each.decision.worthwhile,
                "full_backup": each.wanted(force=force),
                "reason": None if each.decision is None else each.decision.reason,
                "link_count": None if each.decision is None else each.decision.links,
                "go_on": None if each.decision is None else _course(each.decision.go_on),
                "anew": None if each.decision is None else _course(each.decision.anew),
                "error": documents.error(failures[each.label]) if each.error else None,
            }
            for each in decisions
        ],
    }


def _course(each: Course | None) -> Document | None:
    if each is None:
        return None
    return {
        "storage_amount": money.amount(each.storage),
        "put_amount": money.amount(each.puts),
        "early_deletion_amount": money.amount(each.early),
        "restore_amount": money.amount(each.restores),
        "total_amount": money.amount(each.total),
        "link_count": each.links,
    }


def text(
    decisions: Sequence[SourceDecision],
    prices: PriceList,
    doubts: Sequence[str],
    *,
    force: bool,
    dry_run: bool,
) -> list[RenderableType]:
    """A block for each source: both courses side by side, and what follows from them."""
    parts: list[RenderableType] = []
    for each in decisions:
        if each.decision is None:
            continue
        parts.append(line(f"{each.label}: {_verdict(each, force=force, dry_run=dry_run)}", "bold"))
        courses = (each.decision.go_on, each.decision.anew)
        rows = [
            (name, *_row(course, prices.currency))
            for name, course in zip(("go on", "full now"), courses, strict=True)
            if course is not None
        ]
        if rows:
            columns = (
                "COURSE", "STORAGE", "PUTS", "EARLY", "RESTORES", "TOGETHER", "LINKS THEN",
            )  # fmt: skip
            parts.append(table(columns, rows, right=columns[1:]))
        else:
            parts.append(facts([("because", each.decision.reason)]))
    return [*parts, facts([("reckoned", ASSUMED)]), money.prices_text(prices, doubts)]


def _verdict(each: SourceDecision, *, force: bool, dry_run: bool) -> str:
    decision = each.decision
    if decision is None or decision.go_on is None:
        pays = "nothing to compact"
    elif decision.worthwhile:
        pays = "a new full backup pays"
    else:
        pays = "a new full backup does not pay"
    if decision is not None and decision.links:
        pays = f"{pays} ({human.count(decision.links, 'link')})"
    if not each.wanted(force=force):
        return pays
    made = "would be made" if dry_run else "is to be made"
    return f"{pays}; it {made}{'' if decision and decision.worthwhile else ': --force'}"


def _row(course: Course, currency: str) -> tuple[str, ...]:
    amounts = (course.storage, course.puts, course.early, course.restores, course.total)
    return (*(money.shown(each, currency) for each in amounts), str(course.links))
