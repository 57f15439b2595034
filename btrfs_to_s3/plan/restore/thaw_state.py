"""How far each chunk of a chain is from being readable, and what that makes of its backup."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.model.storage_class import (
    TIERING,
    TIERING_ARCHIVES_AFTER,
    storage_class,
    thawed_as,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from btrfs_to_s3.model.backup import ChunkRecord
    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.model.objects import ListedObject, ListedVersion, ObjectState
    from btrfs_to_s3.model.storage_class import StorageClass


class ThawState(StrEnum):
    """Whether an object can be read."""

    READABLE = "readable"
    """Its class is read at once."""
    THAWED = "thawed"
    """A copy of it can be read for a while."""
    THAWING = "thawing"
    FROZEN = "frozen"


READY: Final = frozenset({ThawState.READABLE, ThawState.THAWED})


@dataclass(frozen=True, slots=True)
class ChunkThaw:
    """One chunk: its class, the class by whose tiers it is thawed, how far it is.

    ``until`` is when its thawed copy goes away, or went, as far as that is known.
    """

    record: ChunkRecord
    class_name: str
    thawed_as: StorageClass
    state: ThawState
    until: datetime | None = None

    @property
    def keeps_days(self) -> bool:
        """Whether a thaw of it makes a copy for some days; else the object itself comes back."""
        return storage_class(self.class_name).archived


def may_be_archived(listed: ListedObject | ListedVersion, now: datetime) -> bool:
    """Whether only a HEAD can tell: INTELLIGENT_TIERING does not list its archive tiers."""
    old = now - listed.modified >= TIERING_ARCHIVES_AFTER
    return listed.storage_class == TIERING and old


def by_listing(
    record: ChunkRecord, listed: ListedObject | ListedVersion, now: datetime
) -> ChunkThaw:
    """A chunk as a listing that knows of thaws (RestoreStatus) tells it."""
    known = storage_class(listed.storage_class)
    state = _state(known, now, thawing=listed.thawing, until=listed.thawed_until)
    return ChunkThaw(record, known.name, known, state, listed.thawed_until)


def by_head(record: ChunkRecord, headed: ObjectState, now: datetime) -> ChunkThaw:
    """A chunk as a HEAD tells it."""
    known = thawed_as(headed.storage_class, headed.archive_status)
    state = _state(known, now, thawing=headed.thawing, until=headed.thawed_until)
    return ChunkThaw(record, headed.storage_class, known, state, headed.thawed_until)


def _state(
    known: StorageClass, now: datetime, *, thawing: bool, until: datetime | None
) -> ThawState:
    if not known.archived:
        return ThawState.READABLE
    if until is not None and until > now:
        return ThawState.THAWED
    return ThawState.THAWING if thawing else ThawState.FROZEN


def joined(
    records: Iterable[ChunkRecord], listing: Iterable[ListedObject | ListedVersion]
) -> Iterator[tuple[ChunkRecord, ListedObject | ListedVersion | None]]:
    """Each line of an index with its entry of a listing, None where that has none.

    Both are in key order, so memory is one entry. Where the index records versions the entry is
    that version's: a later one of the same key is not what was stored.
    """
    entries = iter(listing)
    entry = next(entries, None)
    last = ""
    for record in records:
        if record.key <= last:
            raise IntegrityError(f"{record.key}: the index is not in the order of its keys")
        last = record.key
        while entry is not None and _before(entry, record):
            entry = next(entries, None)
        found = entry is not None and entry.key == record.key
        yield record, entry if found else None


def _before(entry: ListedObject | ListedVersion, record: ChunkRecord) -> bool:
    version = getattr(entry, "version_id", None)
    other = version is not None and record.version_id not in (None, version)
    return entry.key < record.key or (
        entry.key == record.key and (other or getattr(entry, "delete_marker", False))
    )


@dataclass(frozen=True, slots=True)
class Group:
    """Chunks of one backup, one class and one state. ``until`` is the earliest of theirs."""

    class_name: str
    thawed_as: StorageClass
    state: ThawState
    object_count: int
    size_bytes: int
    until: datetime | None

    @property
    def keeps_days(self) -> bool:
        """As of ``ChunkThaw``."""
        return storage_class(self.class_name).archived


@dataclass(frozen=True, slots=True)
class LinkThaw:
    """How far one backup is."""

    backup_id: BackupId
    raw_size_bytes: int
    groups: tuple[Group, ...]

    @property
    def object_count(self) -> int:
        """All its chunks."""
        return sum(group.object_count for group in self.groups)

    @property
    def stored_size_bytes(self) -> int:
        """Bytes to download."""
        return sum(group.size_bytes for group in self.groups)

    @property
    def ready(self) -> bool:
        """Whether all of it can be read now."""
        return all(group.state in READY for group in self.groups)

    @property
    def until(self) -> datetime | None:
        """When the first of its copies goes away; None where nothing is thawed."""
        thawed = self.of_state(ThawState.THAWED)
        ends = [group.until for group in thawed if group.until is not None]
        return min(ends, default=None)

    def count(self, *states: ThawState) -> int:
        """Chunks in these states."""
        return sum(group.object_count for group in self.groups if group.state in states)

    def of_state(self, *states: ThawState) -> tuple[Group, ...]:
        """The groups in these states."""
        return tuple(group for group in self.groups if group.state in states)


class Tally:
    """Adds chunks up to a ``LinkThaw``; memory is one entry for each class and state."""

    def __init__(self, backup_id: BackupId, raw_size_bytes: int) -> None:
        self._backup_id = backup_id
        self._raw_size_bytes = raw_size_bytes
        self._groups: dict[tuple[str, str, ThawState], Group] = {}

    def add(self, chunk: ChunkThaw) -> None:
        """Count one more chunk."""
        place = (chunk.class_name, chunk.thawed_as.name, chunk.state)
        before = self._groups.get(place)
        size = chunk.record.stored_size_bytes
        earlier = None if before is None else before.until
        ends = [end for end in (chunk.until, earlier) if end is not None]
        self._groups[place] = Group(
            class_name=chunk.class_name,
            thawed_as=chunk.thawed_as,
            state=chunk.state,
            object_count=1 + (before.object_count if before else 0),
            size_bytes=size + (before.size_bytes if before else 0),
            until=min(ends, default=None),
        )

    def result(self) -> LinkThaw:
        """All that was counted."""
        groups = tuple(self._groups[place] for place in sorted(self._groups))
        return LinkThaw(self._backup_id, self._raw_size_bytes, groups)
