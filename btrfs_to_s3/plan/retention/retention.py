"""Which backups of a source may go (guarantee 7): a plan, carried out head first."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.plan.chain import entries_by_id, live_chains
from btrfs_to_s3.plan.retention.early import judge_early
from btrfs_to_s3.plan.retention.keep import Dated, kept_by_rules

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.model.policy import KeepPolicy
    from btrfs_to_s3.plan.retention.early import Early, Minimum

_NONE: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class PruneLine:
    """One backup: kept or removed, for these reasons.

    ``early`` tells of one that no rule keeps and that its storage class bills a while longer.
    """

    entry: HeadEntry
    keep: bool
    reasons: tuple[str, ...]
    early: Early | None = None


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """Every live backup, oldest sequence first, and what follows from the lines.

    ``remaining`` is what the new head lists; it is committed before anything is removed.
    ``removals`` are in the order of removal: each before its parent.
    """

    lines: tuple[PruneLine, ...]
    remaining: tuple[HeadEntry, ...] = field(init=False)
    removals: tuple[HeadEntry, ...] = field(init=False)

    def __post_init__(self) -> None:
        kept = tuple(line.entry for line in self.lines if line.keep)
        gone = [line.entry for line in self.lines if not line.keep]
        object.__setattr__(self, "remaining", kept)
        object.__setattr__(self, "removals", _children_first(gone))

    @property
    def freed_bytes(self) -> int:
        """Stored bytes of the chunks that go."""
        return sum(entry.stored_size_bytes for entry in self.removals)

    @property
    def early(self) -> tuple[tuple[HeadEntry, Early], ...]:
        """What no rule keeps and its storage class bills a while longer."""
        return tuple((line.entry, line.early) for line in self.lines if line.early is not None)

    @property
    def left(self) -> tuple[tuple[HeadEntry, Early], ...]:
        """What stays only because it is billed a while longer."""
        return tuple((entry, early) for entry, early in self.early if early.leave)

    @property
    def charge(self) -> Decimal:
        """What the service charges for removing this so early."""
        gone = {entry.backup_id for entry in self.removals}
        return sum((each.charge for entry, each in self.early if entry.backup_id in gone), _NONE)

    @property
    def charge_of_all(self) -> Decimal:
        """What it would charge for removing now also what stays only for that charge."""
        return sum((early.charge for _, early in self.early), _NONE)

    @property
    def unpriced(self) -> frozenset[str]:
        """What no price is known for: the charges are too low then."""
        return frozenset().union(*(early.unpriced for _, early in self.early))


def plan_prune(
    head: Head,
    policy: KeepPolicy,
    now: datetime,
    pinned: Mapping[BackupId, str] | None = None,
    minimum: Minimum | None = None,
) -> PrunePlan:
    """Decide for every live backup whether it stays.

    ``pinned`` names backups to keep whatever the rules say, with the reason: a hold, the parent
    of an upload in progress, the backup whose local snapshot the next increment will build on.
    The newest backup always stays, so a restorable chain always does. With ``minimum``, so does
    what would be charged for being deleted early, where that saves nothing. ``IntegrityError`` when
    the head is damaged: nothing is removed by a list that cannot be trusted.
    """
    live_chains(head)  # raises unless every chain is complete
    wanted = _wanted(head, policy, now, pinned or {})
    needed_by = _needed_by(head, wanted)
    ordered = sorted(head.backups, key=lambda entry: entry.sequence)
    early: dict[BackupId, Early] = {}
    if minimum is not None:
        stays = wanted.keys() | needed_by.keys()
        early = judge_early([e for e in ordered if e.backup_id not in stays], minimum, now)
        wanted |= {each: (found.reason,) for each, found in early.items() if found.leave}
        needed_by = _needed_by(head, wanted)
    return PrunePlan(tuple(_line(entry, wanted, needed_by, early) for entry in ordered))


def _needed_by(head: Head, wanted: Collection[BackupId]) -> dict[BackupId, BackupId]:
    """Each ancestor of a wanted backup, with the newest wanted one that needs it."""
    entries = entries_by_id(head)
    needed_by: dict[BackupId, BackupId] = {}
    for entry in sorted(head.backups, key=lambda entry: entry.sequence, reverse=True):
        if entry.backup_id not in wanted:
            continue
        ancestor = entry.parent
        while ancestor is not None and ancestor not in needed_by:
            needed_by[ancestor] = entry.backup_id
            ancestor = entries[ancestor].parent
    return needed_by


def _wanted(
    head: Head, policy: KeepPolicy, now: datetime, pinned: Mapping[BackupId, str]
) -> dict[BackupId, tuple[str, ...]]:
    """What is kept for its own sake, with the reasons."""
    dated = [Dated(entry.backup_id, entry.snapshot_time, entry.sequence) for entry in head.backups]
    wanted = dict(kept_by_rules(dated, policy, now))
    live = {entry.backup_id for entry in head.backups}
    for backup_id, reason in pinned.items():
        if backup_id in live:
            wanted[backup_id] = (*wanted.get(backup_id, ()), reason)
    if head.newest is not None:
        newest = head.newest.backup_id
        wanted[newest] = (*wanted.get(newest, ()), "the newest: the next increment builds on it")
    return wanted


def _line(
    entry: HeadEntry,
    wanted: Mapping[BackupId, tuple[str, ...]],
    needed_by: Mapping[BackupId, BackupId],
    early: Mapping[BackupId, Early],
) -> PruneLine:
    reasons = wanted.get(entry.backup_id, ())
    child = needed_by.get(entry.backup_id)
    if child is not None:
        reasons = (*reasons, f"{child} needs it")
    billed = early.get(entry.backup_id)
    if reasons:
        return PruneLine(entry, keep=True, reasons=reasons, early=billed)
    gone: tuple[str, ...] = ("no rule keeps it and no kept backup needs it",)
    if billed is not None:
        gone = (*gone, billed.reason)
    return PruneLine(entry, keep=False, reasons=gone, early=billed)


def _children_first(gone: list[HeadEntry]) -> tuple[HeadEntry, ...]:
    """Deepest first, so that no instant leaves a child without its parent."""
    parents = {entry.backup_id: entry.parent for entry in gone}
    depth: dict[BackupId, int] = {}
    for entry in gone:
        path = []
        step: BackupId | None = entry.backup_id
        while step is not None and step in parents and step not in depth:
            path.append(step)
            step = parents[step]
        base = depth.get(step, 0) if step is not None else 0
        for distance, backup_id in enumerate(reversed(path), start=1):
            depth[backup_id] = base + distance
    ordered = sorted(gone, key=lambda entry: (depth[entry.backup_id], entry.sequence), reverse=True)
    return tuple(ordered)
