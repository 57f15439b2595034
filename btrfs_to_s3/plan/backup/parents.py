"""Which local subvolumes stand for a stored backup (design: the Btrfs rules).

Two questions are kept apart. *Identity*: does this subvolume say that it is, or was received
from, that backup's stream? *Validity*: may a stream be built on it, that is, is it still what was
stored, bit for bit? Generation is compared in neither: snapshotting a snapshot and balance change
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.subvolume import Subvolume

ReceivedRecords = Mapping[UUID, int]
"""Local journal: a received subvolume's own uuid → its ctransid after the post-receive syncfs."""


@dataclass(frozen=True, slots=True)
class Parent:
    """A live backup and the local subvolume that stands for it."""

    entry: HeadEntry
    local: Subvolume


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a subvolume is a valid parent, and the reason."""

    valid: bool
    reason: str


def stands_for(local: Subvolume, entry: HeadEntry) -> bool:
    """Identity: the subvolume is the backup's snapshot, or was received from its stream."""
    return local.uuid == entry.snapshot_uuid or (
        local.received_uuid is not None
        and local.received_uuid == entry.stream.uuid
        and local.stransid == entry.stream.transid
    )


def judge_parent(local: Subvolume, entry: HeadEntry, received_ctransid: int | None) -> Verdict:
    """Whether ``local`` is a valid parent for a backup on ``entry``.

    ``received_ctransid`` is what the local journal holds for this subvolume, None when nothing.
    """
    if local.uuid == entry.snapshot_uuid:
        return _judge_original(local, entry)
    if local.received_uuid is None or local.received_uuid != entry.stream.uuid:
        return Verdict(valid=False, reason=f"{_name(local)} is not backup {entry.backup_id}")
    return _judge_received(local, entry, received_ctransid)


def counterpart(
    entry: HeadEntry, subvolumes: Iterable[Subvolume], received: ReceivedRecords
) -> Subvolume | None:
    """The local subvolume that is a valid parent for a backup on ``entry``, or None.

    The snapshot itself is preferred to a received copy, then the lowest subvolume id.
    """
    valid = (
        local for local in subvolumes if judge_parent(local, entry, received.get(local.uuid)).valid
    )
    return min(valid, key=lambda local: (local.uuid != entry.snapshot_uuid, local.id), default=None)


def valid_parents(
    head: Head, subvolumes: Sequence[Subvolume], received: ReceivedRecords
) -> tuple[Parent, ...]:
    """Every live backup that has a valid local counterpart, the highest sequence first."""
    known = _by_stream(subvolumes)
    newest_first = sorted(head.backups, key=lambda entry: entry.sequence, reverse=True)
    found = (
        (entry, counterpart(entry, _candidates(known, entry), received)) for entry in newest_first
    )
    return tuple(Parent(entry, local) for entry, local in found if local is not None)


def lineage(uuids: Iterable[UUID | None], subvolumes: Sequence[Subvolume]) -> frozenset[UUID]:
    """The given uuids and those of everything they were snapshots of, as far as it can be seen.

    An ancestor that was deleted still counts (its child names it) but is not looked behind.
    """
    parent_of = {local.uuid: local.parent_uuid for local in subvolumes}
    found: set[UUID] = set()
    for start in uuids:
        step = start
        while step is not None and step not in found:
            found.add(step)
            step = parent_of.get(step)
    return frozenset(found)


def _judge_original(local: Subvolume, entry: HeadEntry) -> Verdict:
    if not local.readonly:
        return Verdict(valid=False, reason=f"{_name(local)} is writable now")
    if local.ctransid != entry.snapshot_ctransid:
        return Verdict(valid=False, reason=f"{_name(local)} was changed after it was backed up")
    return Verdict(valid=True, reason=f"{_name(local)} is the unchanged snapshot it was made from")


def _judge_received(local: Subvolume, entry: HeadEntry, received_ctransid: int | None) -> Verdict:
    if not local.readonly:
        return Verdict(valid=False, reason=f"{_name(local)} is writable now")
    if local.stransid != entry.stream.transid:
        return Verdict(
            valid=False, reason=f"{_name(local)} was received from another state of the snapshot"
        )
    if received_ctransid is None:
        return Verdict(
            valid=False,
            reason=f"{_name(local)} was received, but not by a restore recorded on this machine",
        )
    if local.ctransid != received_ctransid:
        return Verdict(valid=False, reason=f"{_name(local)} was changed after it was received")
    return Verdict(valid=True, reason=f"{_name(local)} was received from it and is unchanged")


def _by_stream(subvolumes: Sequence[Subvolume]) -> dict[UUID, list[Subvolume]]:
    known: dict[UUID, list[Subvolume]] = {}
    for local in subvolumes:
        known.setdefault(local.uuid, []).append(local)
        if local.received_uuid is not None and local.received_uuid != local.uuid:
            known.setdefault(local.received_uuid, []).append(local)
    return known


def _candidates(known: Mapping[UUID, Sequence[Subvolume]], entry: HeadEntry) -> Iterable[Subvolume]:
    yield from known.get(entry.snapshot_uuid, ())
    if entry.stream.uuid != entry.snapshot_uuid:
        yield from known.get(entry.stream.uuid, ())


def _name(local: Subvolume) -> str:
    return f"the local subvolume {local.path or '/'}"
