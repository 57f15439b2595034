"""What a copy of a backup to another repository takes: which links of its chain are missing there.

A link is there when the target's source has a live backup of the same stream, whatever its id:
both repositories may have been sent it side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import RaceLostError, UsageError
from btrfs_to_s3.plan.chain import chain_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.identity import SourceId


@dataclass(frozen=True, slots=True)
class CopyLink:
    """One backup of the chain; ``present`` is the target's backup of the same stream, if any."""

    entry: HeadEntry
    present: HeadEntry | None


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """The chain from the last link that is there, and the source it belongs to in the target."""

    source_id: SourceId
    links: tuple[CopyLink, ...]

    @property
    def missing(self) -> tuple[HeadEntry, ...]:
        """The backups to copy, oldest first."""
        return tuple(link.entry for link in self.links if link.present is None)

    @property
    def stored_size_bytes(self) -> int:
        """Bytes of chunks to copy."""
        return sum(entry.stored_size_bytes for entry in self.missing)

    @property
    def object_count(self) -> int:
        """Objects to write: chunks, and an index and a manifest for each backup."""
        return sum(entry.chunk_count + 2 for entry in self.missing)


def source_in(target: Iterable[Head], origin: Head) -> tuple[SourceId, Head | None]:
    """The source a copy belongs to in the target, and its head.

    The origin's id, unless the target has sources of the same subvolume and none has that id.
    """
    heads = sorted(target, key=lambda head: head.source_id)
    same_id = [head for head in heads if head.source_id == origin.source_id]
    same_subvolume = [head for head in heads if head.subvolume_uuid == origin.subvolume_uuid]
    if same_id:
        return same_id[0].source_id, same_id[0]
    if len(same_subvolume) > 1:
        raise UsageError(
            f"the target has several sources of the subvolume of {origin.source_id}",
            hint="copy to another repository, or to another prefix: "
            + ", ".join(str(head.source_id) for head in same_subvolume),
        )
    if same_subvolume:
        return same_subvolume[0].source_id, same_subvolume[0]
    return origin.source_id, None


def plan_copy(origin: Head, entry: HeadEntry, target: Sequence[Head]) -> CopyPlan:
    """Which links of the backup's chain are to be copied.

    ``RaceLostError`` when the target's source has diverged: it has a backup that is newer than one
    that would have to be copied, and a head lists backups in the order they were made.
    """
    source_id, head = source_in(target, origin)
    there = () if head is None else head.backups
    links = [
        CopyLink(link, next((each for each in there if _same(each, link)), None))
        for link in chain_of(origin, entry.backup_id)
    ]
    # What a link that is there stands on is the target's own affair.
    last = max((n for n, link in enumerate(links) if link.present is not None), default=0)
    plan = CopyPlan(source_id, tuple(links[last:]))
    if plan.missing:
        first = plan.missing[0]
        newer = [each for each in there if each.snapshot_time > first.snapshot_time]
        if newer:
            raise RaceLostError(
                f"the target's source {source_id} has diverged: its backup {newer[0].backup_id} is "
                f"newer than {first.backup_id}, which would be copied",
                hint="copy to another repository or prefix, or copy a backup whose chain is there",
            )
    return plan


def _same(one: HeadEntry, other: HeadEntry) -> bool:
    """Whether two backups leave the same subvolume, however they came to it."""
    return (one.stream.uuid, one.stream.transid) == (other.stream.uuid, other.stream.transid)
