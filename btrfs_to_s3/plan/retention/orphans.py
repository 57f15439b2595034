"""Objects that belong to no live backup, found by listing (guarantees 1 and 7).

Three steps keep this sound beside writers on other hosts and small beside a million chunks:

1. read the heads, then list, folding the listing into a ``Survey`` (keys are kept only of
   backups that are not live);
2. read the heads again and ask ``plan_orphans``: what was committed meanwhile is no orphan;
3. for the few live backups with more chunk objects than chunks, read the index and ask
   ``surplus_chunks``.

A backup's objects are judged together, by the youngest: an upload that goes on after a pause
protects its old chunks with every new one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime, timedelta

    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.model.objects import ListedObject, UnfinishedUpload

BackupKey = tuple["SourceId", "BackupId"]


class Part(IntEnum):
    """What an object is of a backup, in the order in which a backup's objects are removed.

    Manifests go first: a head rebuilt in between must not list a backup without its chunks.
    """

    MANIFEST = 0
    INDEX = 1
    CATALOG = 2
    NOTE = 3
    CHUNK = 4


@dataclass(frozen=True, slots=True)
class OwnedObject:
    """A listed object whose key says which backup it belongs to."""

    owner: BackupKey
    part: Part
    listed: ListedObject


@dataclass(frozen=True, slots=True)
class OwnedUpload:
    """An unfinished multipart upload to a key of a backup."""

    owner: BackupKey
    upload: UnfinishedUpload


@dataclass(slots=True)
class _Group:
    """What the listing showed of one backup; ``objects`` is filled only when it is not live."""

    youngest: datetime | None = None
    has_manifest: bool = False
    chunk_objects: int = 0
    objects: list[OwnedObject] = field(default_factory=list)
    uploads: list[OwnedUpload] = field(default_factory=list)

    def saw(self, time: datetime) -> None:
        self.youngest = time if self.youngest is None else max(self.youngest, time)


@dataclass(frozen=True, slots=True)
class Survey:
    """A listing, folded by backup. ``chunk_counts`` are of the backups live before it began."""

    groups: Mapping[BackupKey, _Group]
    chunk_counts: Mapping[BackupKey, int]


@dataclass(frozen=True, slots=True)
class Orphan:
    """An object to delete, with the reason."""

    listed: ListedObject
    reason: str


@dataclass(frozen=True, slots=True)
class LostUpload:
    """A multipart upload to abort, with the reason."""

    upload: UnfinishedUpload
    reason: str


@dataclass(frozen=True, slots=True)
class OrphanPlan:
    """What to delete (in this order) and abort, what to look at closer, and what was left.

    ``examine`` names live backups with more chunk objects than chunks. ``left`` says, for each
    backup that is not live and stays all the same, why.
    """

    remove: tuple[Orphan, ...]
    abort: tuple[LostUpload, ...]
    examine: tuple[BackupKey, ...]
    left: tuple[tuple[BackupKey, str], ...]


@dataclass(frozen=True, slots=True)
class OrphanRules:
    """When an object of no live backup may go.

    ``live`` are the backups of every head, read after the listing ended; ``headed`` the sources
    that have a head. ``open_backups`` are those of this host's open journals; ``held`` those
    whose notes say so, live or not.
    """

    live: Collection[BackupKey]
    headed: Collection[SourceId]
    open_backups: Collection[BackupKey]
    now: datetime
    orphan_age: timedelta
    held: Collection[BackupKey] = ()


def survey(
    objects: Iterable[OwnedObject],
    uploads: Iterable[OwnedUpload],
    chunk_counts: Mapping[BackupKey, int],
) -> Survey:
    """Fold a listing, in any order. ``chunk_counts``: live backups before it, chunks of each."""
    groups: dict[BackupKey, _Group] = {}
    for item in objects:
        group = groups.setdefault(item.owner, _Group())
        group.saw(item.listed.modified)
        group.has_manifest |= item.part is Part.MANIFEST
        group.chunk_objects += item.part is Part.CHUNK
        if item.owner not in chunk_counts:
            group.objects.append(item)
    for upload in uploads:
        group = groups.setdefault(upload.owner, _Group())
        group.saw(upload.upload.started)
        group.uploads.append(upload)
    return Survey(groups, dict(chunk_counts))


def plan_orphans(surveyed: Survey, rules: OrphanRules) -> OrphanPlan:
    """Judge the listing by heads that are newer than it."""
    unrecorded = _with_manifests_but_no_head(surveyed, rules)
    wanted_back = frozenset(
        owner[0]
        for owner, group in surveyed.groups.items()
        if owner in rules.held and owner not in rules.live and group.has_manifest
    )
    remove: list[tuple[Part, Orphan]] = []
    abort: list[LostUpload] = []
    examine: list[BackupKey] = []
    left: list[tuple[BackupKey, str]] = []
    for owner, group in sorted(surveyed.groups.items(), key=lambda pair: pair[0]):
        if owner in surveyed.chunk_counts or owner in rules.live:
            # Live before or after: a backup pruned in between is judged the next time.
            abort += _lost_uploads(owner, group, rules)
            chunks = surveyed.chunk_counts.get(owner, group.chunk_objects)
            if owner in rules.live and group.chunk_objects > chunks:
                examine.append(owner)
            continue
        why_left = _why_left(owner, group, rules, unrecorded, wanted_back)
        if why_left is not None:
            left.append((owner, why_left))
            continue
        reason = _orphan_reason(owner, group)
        remove += [(item.part, Orphan(item.listed, reason)) for item in group.objects]
        abort += [LostUpload(owned.upload, reason) for owned in group.uploads]
    remove.sort(key=lambda pair: (pair[0], pair[1].listed.key))
    return OrphanPlan(
        tuple(orphan for _, orphan in remove), tuple(abort), tuple(examine), tuple(left)
    )


def probing_uploads(
    uploads: Iterable[UnfinishedUpload], rules: OrphanRules
) -> tuple[LostUpload, ...]:
    """Which of the uploads that only tried what the service checks were left by a killed run."""
    return tuple(
        LostUpload(upload, "a run was killed while it tried the service with it")
        for upload in uploads
        if _is_old(upload.started, rules)
    )


def surplus_chunks(
    objects: Iterable[OwnedObject], index_keys: Collection[str], rules: OrphanRules
) -> tuple[Orphan, ...]:
    """Chunk objects of one live backup that its index does not name: attempts that lost."""
    return tuple(
        Orphan(item.listed, f"the index of {item.owner[1]} does not name it: an attempt that lost")
        for item in objects
        if item.part is Part.CHUNK
        and item.listed.key not in index_keys
        and item.owner not in rules.open_backups
        and _is_old(item.listed.modified, rules)
    )


def _with_manifests_but_no_head(surveyed: Survey, rules: OrphanRules) -> frozenset[SourceId]:
    return frozenset(
        owner[0]
        for owner, group in surveyed.groups.items()
        if group.has_manifest and owner[0] not in rules.headed
    )


def _why_left(
    owner: BackupKey,
    group: _Group,
    rules: OrphanRules,
    unrecorded: Collection[SourceId],
    wanted_back: Collection[SourceId],
) -> str | None:
    if owner[0] in unrecorded:
        return "its source has manifests but no head: rebuild the head first"
    if owner in rules.open_backups:
        return "its upload is in this host's journal"
    if owner[0] in wanted_back and group.has_manifest:
        if owner in rules.held:
            return "it is held, but not live: a prune was stopped; rebuild the head to have it back"
        return "it may be what a held backup that is not live is built on: rebuild the head"
    if group.youngest is None or not _is_old(group.youngest, rules):
        return "it is younger than orphan_age: its upload may still go on"
    return None


def _orphan_reason(owner: BackupKey, group: _Group) -> str:
    if group.has_manifest:
        return f"backup {owner[1]} is complete but not live: it lost a race or was being removed"
    return f"backup {owner[1]} was never committed, or was being removed"


def _lost_uploads(owner: BackupKey, group: _Group, rules: OrphanRules) -> list[LostUpload]:
    if owner in rules.open_backups:
        return []
    reason = f"backup {owner[1]} was committed without it"
    return [
        LostUpload(owned.upload, reason)
        for owned in group.uploads
        if _is_old(owned.upload.started, rules)
    ]


def _is_old(time: datetime, rules: OrphanRules) -> bool:
    return rules.now - time > rules.orphan_age
