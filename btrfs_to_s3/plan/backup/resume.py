"""Whether an interrupted upload goes on, or is given up and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.model.identity import Kind
from btrfs_to_s3.plan.backup.growth import complete_chain
from btrfs_to_s3.plan.backup.parents import Parent, counterpart

if TYPE_CHECKING:
    from datetime import datetime

    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.plan.backup.facts import BackupFacts, BackupWishes, OpenJournal


@dataclass(frozen=True, slots=True)
class Resumption:
    """The upload that goes on: the same snapshot, sent again on the same parent."""

    journal: OpenJournal
    snapshot: Subvolume
    parent: Parent | None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The journal is of no more use."""

    journal: OpenJournal
    reason: str


def judge_journal(
    facts: BackupFacts, wishes: BackupWishes, now: datetime
) -> Resumption | GivenUp | None:
    """What becomes of the open journal; None when there is none."""
    journal = facts.journal
    if journal is None:
        return None
    why_not = _not_wanted(journal, wishes) or _overtaken(journal, facts, wishes, now)
    if why_not is not None:
        return GivenUp(journal, why_not)
    snapshot = _snapshot(journal, facts)
    if isinstance(snapshot, str):
        return GivenUp(journal, snapshot)
    parent = _parent(journal, facts)
    if journal.parent is not None and parent is None:
        reason = f"its parent {journal.parent} is not live with an unchanged snapshot here"
        return GivenUp(journal, reason)
    return Resumption(journal, snapshot, parent)


def _not_wanted(journal: OpenJournal, wishes: BackupWishes) -> str | None:
    if wishes.restart:
        return "--restart was given"
    if wishes.full and journal.kind is not Kind.FULL:
        return "a full backup was asked for and it is incremental"
    if wishes.snapshot is not None and wishes.snapshot.uuid != journal.snapshot_uuid:
        return "another snapshot was given"
    return None


def _overtaken(
    journal: OpenJournal, facts: BackupFacts, wishes: BackupWishes, now: datetime
) -> str | None:
    head = facts.head
    if head is not None and head.source_id != journal.source_id:
        return f"it was for another source ({journal.source_id})"
    if head is not None and head.find(journal.backup_id) is not None:
        return "it was committed"
    if now - journal.touched > wishes.journal_max_idle:
        return "it lay idle so long that its chunks may have been removed as orphans"
    return None


def _snapshot(journal: OpenJournal, facts: BackupFacts) -> Subvolume | str:
    """The snapshot it was sending, or why that cannot be sent again."""
    for local in facts.subvolumes:
        if local.uuid != journal.snapshot_uuid:
            continue
        if not local.readonly:
            return f"its snapshot {local.path} is writable now"
        if local.ctransid != journal.snapshot_ctransid:
            return f"its snapshot {local.path} was changed"
        return local
    return "its snapshot is gone"


def _parent(journal: OpenJournal, facts: BackupFacts) -> Parent | None:
    if facts.head is None or journal.parent is None:
        return None
    entry = facts.head.find(journal.parent)
    if entry is None or complete_chain(facts.head, entry) is None:
        return None
    local = counterpart(entry, facts.subvolumes, facts.received)
    return Parent(entry, local) if local is not None else None
