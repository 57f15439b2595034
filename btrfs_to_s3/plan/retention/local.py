"""Which of this program's local snapshots of a source may go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from btrfs_to_s3.model.policy import ChainPolicy, Strategy
from btrfs_to_s3.plan.backup.growth import coming_bases
from btrfs_to_s3.plan.backup.parents import stands_for, valid_parents
from btrfs_to_s3.plan.retention.keep import Dated, kept_by_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.model.policy import KeepPolicy
    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.plan.backup.parents import ReceivedRecords


@dataclass(frozen=True, slots=True)
class LocalFacts:
    """A source's snapshots as they were observed.

    ``snapshots`` are the subvolumes in the directory where this program keeps its own. ``heads``
    are this source's in *every* repository: do not plan while one cannot be read. ``protected``
    names subvolumes to keep, with the reason: those of open journals, of every repository.
    ``chain`` says what coming backups will be built on.
    """

    source: Subvolume
    snapshots: tuple[Subvolume, ...]
    heads: tuple[Head, ...]
    received: ReceivedRecords
    protected: Mapping[UUID, str]
    chain: ChainPolicy = field(default_factory=ChainPolicy)


@dataclass(frozen=True, slots=True)
class LocalLine:
    """One snapshot: kept for these reasons, or removed for this one."""

    snapshot: Subvolume
    keep: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LocalPrunePlan:
    """The source's own snapshots, oldest first. Anything else in the directory is left alone."""

    lines: tuple[LocalLine, ...]

    @property
    def removals(self) -> tuple[Subvolume, ...]:
        """The snapshots to delete."""
        return tuple(line.snapshot for line in self.lines if not line.keep)


def plan_local_prune(facts: LocalFacts, policy: KeepPolicy, now: datetime) -> LocalPrunePlan:
    """Decide for each of the source's snapshots whether it stays."""
    ours = sorted(_ours(facts), key=lambda snapshot: snapshot.id)
    reasons = _needed(facts, now)
    dated = [Dated(snapshot.uuid, snapshot.otime, snapshot.id) for snapshot in ours]
    for uuid, rules in kept_by_rules(dated, policy, now).items():
        reasons[uuid] = (*reasons.get(uuid, ()), *rules)
    gone = ("no rule keeps it and no repository needs it",)
    return LocalPrunePlan(
        tuple(
            LocalLine(snapshot, snapshot.uuid in reasons, reasons.get(snapshot.uuid, gone))
            for snapshot in ours
        )
    )


def _ours(facts: LocalFacts) -> Iterable[Subvolume]:
    """Read-only snapshots in our directory that are of the source, or that a backup was made of.

    Not one of another source, not a writable one, not what a person put there.
    """
    stored = {entry.snapshot_uuid for head in facts.heads for entry in head.backups}
    for snapshot in facts.snapshots:
        of_source = snapshot.parent_uuid == facts.source.uuid or snapshot.uuid in stored
        if snapshot.readonly and of_source and snapshot.uuid != facts.source.uuid:
            yield snapshot


def _needed(facts: LocalFacts, now: datetime) -> dict[UUID, tuple[str, ...]]:
    """What coming increments of each repository build on, and what the caller protects."""
    needed: dict[UUID, tuple[str, ...]] = {
        uuid: (reason,) for uuid, reason in facts.protected.items()
    }
    tree = facts.chain.strategy is Strategy.TREE
    for head in facts.heads:
        for snapshot in _bases(head, facts, now):
            what = "an increment to come" if tree else "the next increment"
            reason = f"{what} of {head.source_id} builds on it"
            before = needed.get(snapshot.uuid, ())
            needed[snapshot.uuid] = before if reason in before else (*before, reason)
    return needed


def _bases(head: Head, facts: LocalFacts, now: datetime) -> Iterable[Subvolume]:
    """Valid parents of what comes, and the snapshots of the best even where not valid now.

    The received journal is a cache: losing it must not cost the snapshot it vouched for.
    """
    parents = valid_parents(head, facts.snapshots, facts.received)
    usable = {parent.entry.backup_id: parent.local for parent in parents}
    for entry in coming_bases(head, facts.chain, now, usable.keys()):
        yield usable[entry.backup_id]
    for entry in coming_bases(head, facts.chain, now, {each.backup_id for each in head.backups}):
        yield from (snapshot for snapshot in facts.snapshots if stands_for(snapshot, entry))
