"""Pruning a source's local snapshots: only its own, and none that the next backup needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import SourceError
from btrfs_to_s3.model.policy import ChainPolicy, Strategy
from btrfs_to_s3.operations.backup.snapshot_names import is_named_for
from btrfs_to_s3.operations.prune.elsewhere import needed_elsewhere, uploading
from btrfs_to_s3.operations.restore.received import ReceivedJournal
from btrfs_to_s3.plan.backup.growth import coming_bases
from btrfs_to_s3.plan.backup.parents import valid_parents
from btrfs_to_s3.plan.retention.local import LocalFacts, plan_local_prune

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.model.policy import KeepPolicy
    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.plan.retention.local import LocalPrunePlan
    from btrfs_to_s3.ports import Volume


@dataclass(frozen=True, slots=True)
class LocalWishes:
    """Which of a source's local snapshots are to be kept.

    ``heads`` are all that the source has, in this repository and in others, read just now; the
    snapshots that coming increments build on under ``chain`` stay. ``protected`` names further
    subvolumes, by uuid, with the reason. This repository's uploads are added, and what this machine
    remembers of the heads and uploads of all other repositories. ``other_ids`` are the source's ids
    in those.
    """

    source: Subvolume
    source_id: SourceId
    heads: tuple[Head, ...]
    keep: KeepPolicy
    protected: Mapping[UUID, str] = field(default_factory=dict)
    other_ids: tuple[SourceId, ...] = ()
    chain: ChainPolicy = field(default_factory=ChainPolicy)


@dataclass(frozen=True, slots=True)
class LocalResult:
    """Which snapshots are gone, and why others that should be are not."""

    removed: tuple[Subvolume, ...]
    errors: tuple[SourceError, ...]


def plan_local(services: Services, volume: Volume, wishes: LocalWishes) -> LocalPrunePlan:
    """Decide for each of the source's own snapshots whether it stays. Writes nothing."""
    snapshots = tuple(
        subvolume
        for subvolume in volume.subvolumes()
        if volume.in_snapshot_directory(subvolume)
        and any(is_named_for(each, subvolume) for each in (wishes.source_id, *wishes.other_ids))
    )
    elsewhere = needed_elsewhere(services, {snapshot.uuid for snapshot in snapshots})
    fresh = {(head.repository_id, head.source_id) for head in wishes.heads}
    others = tuple(
        head for head in elsewhere.heads if (head.repository_id, head.source_id) not in fresh
    )
    facts = LocalFacts(
        source=wishes.source,
        snapshots=snapshots,
        heads=(*wishes.heads, *others),
        received=ReceivedJournal(services.state, volume.fsid).ctransids(),
        protected={
            **elsewhere.protected,
            **wishes.protected,
            **uploading(services.state, services.clock),
        },
        chain=wishes.chain,
    )
    return plan_local_prune(facts, wishes.keep, services.clock())


def prune_local(services: Services, volume: Volume, wishes: LocalWishes) -> LocalResult:
    """Delete what no rule keeps and no repository needs; one that cannot go stops no other.

    Snapshots of other sources, of other source ids of the same subvolume, and what a person put
    into the directory are never touched. The volume must have been opened writable.
    """
    removed: list[Subvolume] = []
    errors: list[SourceError] = []
    for snapshot in plan_local(services, volume, wishes).removals:
        try:
            volume.delete(snapshot)
        except SourceError as error:
            errors.append(error)
        else:
            removed.append(snapshot)
    return LocalResult(tuple(removed), tuple(errors))


def needed_parents(
    services: Services, volume: Volume, head: Head, chain: ChainPolicy
) -> dict[BackupId, str]:
    """The backups that this machine's coming increments build on, for ``KeepWishes.pinned``.

    The newest is not among them where its snapshot is gone.
    """
    received = ReceivedJournal(services.state, volume.fsid).ctransids()
    parents = valid_parents(head, tuple(volume.subvolumes()), received)
    paths = {parent.entry.backup_id: parent.local.path for parent in parents}
    bases = coming_bases(head, chain, services.clock(), paths.keys())
    tree = chain.strategy is Strategy.TREE
    what = "an increment to come" if tree else "the next increment"
    return {entry.backup_id: f"{what} builds on {paths[entry.backup_id]}" for entry in bases}
