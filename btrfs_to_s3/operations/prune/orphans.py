"""Objects of no live backup, and multipart uploads that nobody will finish.

The heads that decide are read after the listing, and once more before anything is deleted: what
was committed in between is no orphan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import BtrfsToS3Error, IntegrityError, NotReadableYetError
from btrfs_to_s3.format import keys
from btrfs_to_s3.operations.prune.removal import refusal_error, uploading_here
from btrfs_to_s3.operations.repository.index import StoredIndex
from btrfs_to_s3.plan.retention.holds import held
from btrfs_to_s3.plan.retention.orphans import (
    OrphanPlan,
    OrphanRules,
    OwnedObject,
    OwnedUpload,
    Part,
    Survey,
    plan_orphans,
    probing_uploads,
    surplus_chunks,
    survey,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import timedelta

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.hold import NoteKey
    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.model.objects import DeleteFailure
    from btrfs_to_s3.operations.prune.removal import ObjectRemover
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.plan.retention.orphans import BackupKey, LostUpload, Orphan
    from btrfs_to_s3.ports import ObjectStore

_PARTS = {
    keys.MANIFESTS: Part.MANIFEST,
    keys.INDEXES: Part.INDEX,
    keys.CATALOGS: Part.CATALOG,
    keys.NOTES: Part.NOTE,
    keys.CHUNKS: Part.CHUNK,
}


@dataclass(frozen=True, slots=True)
class OrphanWishes:
    """How old an orphan must be, and of which sources (None: of all there are)."""

    orphan_age: timedelta
    sources: tuple[SourceId, ...] | None


@dataclass(frozen=True, slots=True)
class OrphanRemovals:
    """What may go. ``surplus`` are chunk objects of live backups that no index names.

    ``unreadable`` names sources whose head cannot be read, with the reason: nothing of theirs is
    touched.
    """

    plan: OrphanPlan
    surplus: tuple[Orphan, ...]
    unreadable: tuple[tuple[SourceId, str], ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to delete or to abort."""
        return not (self.plan.remove or self.plan.abort or self.surplus)

    @property
    def freed_bytes(self) -> int:
        """What the objects take now."""
        orphans = (*self.plan.remove, *self.surplus)
        return sum(orphan.listed.size_bytes for orphan in orphans)


@dataclass(frozen=True, slots=True)
class OrphanResult:
    """What was removed; ``failures`` are the service's per-key refusals, told by ``error``."""

    objects: int = 0
    freed_bytes: int = 0
    uploads: int = 0
    failures: tuple[DeleteFailure, ...] = ()
    error: BtrfsToS3Error | None = None


@dataclass(frozen=True, slots=True)
class _Heads:
    """All heads at one moment. ``headed`` have a head object; the others' were rebuilt."""

    heads: dict[SourceId, Head]
    headed: frozenset[SourceId]
    unreadable: dict[SourceId, str]

    def live(self) -> dict[BackupKey, HeadEntry]:
        return {
            (source_id, entry.backup_id): entry
            for source_id, head in self.heads.items()
            for entry in head.backups
        }


def plan_orphan_removal(
    services: Services, wishes: OrphanWishes, elsewhere: Collection[BackupKey] = ()
) -> OrphanRemovals:
    """List, then judge by heads read afterwards. Writes nothing.

    ``elsewhere`` names backups whose removal is planned already. Memory: one line for each
    object of a backup that is not live, and for each note.
    """
    store = services.access.store.bound(services.cancel)
    before = _read_heads(services, wishes.sources)
    counts = {owner: entry.chunk_count for owner, entry in before.live().items()}
    notes: dict[SourceId, list[NoteKey]] = {}
    seen = survey(
        _with_notes(_objects(store, wishes.sources, elsewhere), notes),
        _uploads(store, wishes.sources),
        counts,
    )
    after = _read_heads(services, wishes.sources)
    unreadable = before.unreadable | after.unreadable
    groups = {owner: group for owner, group in seen.groups.items() if owner[0] not in unreadable}
    live = after.live()
    rules = OrphanRules(
        live=live.keys(),
        headed=after.headed,
        open_backups=uploading_here(services).keys(),
        now=services.clock(),
        orphan_age=wishes.orphan_age,
        held={(source_id, each) for source_id, found in notes.items() for each in held(found)},
    )
    planned = plan_orphans(Survey(groups, seen.chunk_counts), rules)
    if wishes.sources is None:
        # ``repository.json`` itself is never uploaded in parts.
        probes = probing_uploads(store.list_uploads(keys.REPOSITORY), rules)
        planned = replace(planned, abort=(*planned.abort, *probes))
    surplus = [
        orphan
        for owner in planned.examine
        for orphan in _surplus(services, store, owner, live[owner], rules)
    ]
    return OrphanRemovals(planned, tuple(surplus), tuple(sorted(unreadable.items())))


def remove_orphans(
    services: Services, planned: OrphanRemovals, remover: ObjectRemover
) -> OrphanResult:
    """Delete and abort what was planned and is still nobody's. Errors are in the result."""
    work = _Removing(services, remover)
    try:
        work.run(planned)
    except BtrfsToS3Error as error:
        return work.result(error)
    return work.result(None)


class _Removing:
    """One pass over the plan; ``result`` tells how far it came."""

    def __init__(self, services: Services, remover: ObjectRemover) -> None:
        self._services = services
        self._store = services.access.store.bound(services.cancel)
        self._remover = remover
        self._objects = self._bytes = self._uploads = 0
        self._failures: list[DeleteFailure] = []

    def run(self, planned: OrphanRemovals) -> None:
        if planned.is_empty:
            return
        self._services.reporter.activity("removing orphans")
        heads = _read_heads(self._services, None)
        live, uploading = heads.live().keys(), uploading_here(self._services).keys()
        for owner, orphans in _by_owner(planned.plan.remove):
            if owner not in live and owner not in uploading and owner[0] not in heads.unreadable:
                self._remove(owner, orphans)
        for owner, orphans in _by_owner(planned.surplus):
            if owner not in uploading:
                self._remove(owner, orphans)
        for lost in planned.plan.abort:
            if keys.owner(lost.upload.key) not in uploading:
                self._abort(lost)

    def result(self, error: BtrfsToS3Error | None) -> OrphanResult:
        return OrphanResult(
            objects=self._objects,
            freed_bytes=self._bytes,
            uploads=self._uploads,
            failures=tuple(self._failures),
            error=error or refusal_error(self._failures),
        )

    def _remove(self, owner: BackupKey, orphans: Sequence[Orphan]) -> None:
        failures = self._remover.orphans(owner, {orphan.listed.key for orphan in orphans})
        self._failures += failures
        if not failures:
            self._objects += len(orphans)
            self._bytes += sum(orphan.listed.size_bytes for orphan in orphans)

    def _abort(self, lost: LostUpload) -> None:
        self._store.abort_upload(lost.upload.key, lost.upload.upload_id)
        self._uploads += 1


def _read_heads(services: Services, sources: Sequence[SourceId] | None) -> _Heads:
    heads: dict[SourceId, Head] = {}
    unreadable: dict[SourceId, str] = {}
    for source_id in services.access.source_ids() if sources is None else sources:
        try:
            head = services.access.head(source_id)
        except (IntegrityError, NotReadableYetError) as error:
            unreadable[source_id] = error.message
            continue
        if head is not None:
            heads[source_id] = head
    listed = (keys.source_of_head(each.key) for each in services.access.store.list(keys.HEADS))
    return _Heads(heads, frozenset(each for each in listed if each is not None), unreadable)


def _prefixes(root: str, sources: Sequence[SourceId] | None) -> Iterator[str]:
    if sources is None:
        yield root
    else:
        yield from (f"{root}{source_id}/" for source_id in sources)


def _objects(
    store: ObjectStore, sources: Sequence[SourceId] | None, elsewhere: Collection[BackupKey]
) -> Iterator[OwnedObject]:
    for root, part in _PARTS.items():
        for prefix in _prefixes(root, sources):
            for listed in store.list(prefix):
                owner = keys.owner(listed.key)
                if owner is not None and owner not in elsewhere:
                    yield OwnedObject(owner, part, listed)


def _with_notes(
    objects: Iterable[OwnedObject], notes: dict[SourceId, list[NoteKey]]
) -> Iterator[OwnedObject]:
    """The objects as they come; what the keys of notes say is collected by source."""
    for item in objects:
        note = keys.note_of(item.listed.key) if item.part is Part.NOTE else None
        if note is not None:
            notes.setdefault(item.owner[0], []).append(note)
        yield item


def _uploads(store: ObjectStore, sources: Sequence[SourceId] | None) -> Iterator[OwnedUpload]:
    for prefix in _prefixes(keys.CHUNKS, sources):
        for upload in store.list_uploads(prefix):
            owner = keys.owner(upload.key)
            if owner is not None:
                yield OwnedUpload(owner, upload)


def _surplus(
    services: Services, store: ObjectStore, owner: BackupKey, entry: HeadEntry, rules: OrphanRules
) -> Sequence[Orphan]:
    """Chunk objects of a live backup that its index, if it can be trusted, does not name."""
    source_id, backup_id = owner
    try:
        manifest = services.access.manifest(source_id, entry)
        with StoredIndex(store, services.state, manifest) as index:
            named = {chunk.key for chunk in index.chunks()}
    except (IntegrityError, NotReadableYetError) as error:
        services.reporter.warn(f"surplus chunks of {backup_id} are left: {error.message}")
        return ()
    listed = store.list(keys.chunks(source_id, backup_id))
    return surplus_chunks((OwnedObject(owner, Part.CHUNK, each) for each in listed), named, rules)


def _by_owner(orphans: Iterable[Orphan]) -> Iterator[tuple[BackupKey, list[Orphan]]]:
    owned = [
        (owner, orphan)
        for orphan in orphans
        if (owner := keys.owner(orphan.listed.key)) is not None
    ]
    owned.sort(key=lambda pair: pair[0])
    for owner, group in groupby(owned, key=lambda pair: pair[0]):
        yield owner, [orphan for _, orphan in group]
