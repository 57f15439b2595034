"""Copying a backup's chain to another repository (docs/format.md §3: ``origin_repository_id``).

Oldest first; each backup is committed by the target's head before the next one is begun, so that
stopping anywhere leaves whole chains there (guarantee 1). A journal of its own lets the next run
go on: chunks that are there already are not copied again.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import (
    ConditionFailedError,
    MissingObjectError,
    NotReadableYetError,
    UsageError,
)
from btrfs_to_s3.format.manifest import decode_manifest
from btrfs_to_s3.model.backup import SourceRecord
from btrfs_to_s3.model.objects import Role
from btrfs_to_s3.model.subvolume import SendOptions
from btrfs_to_s3.operations.backup.chain_presence import what_is_missing
from btrfs_to_s3.operations.backup.commit import Commit
from btrfs_to_s3.operations.backup.leftovers import abort_uploads, surviving
from btrfs_to_s3.operations.backup.upload import UploadTarget
from btrfs_to_s3.operations.backup.upload_journal import UploadBegin, UploadJournal
from btrfs_to_s3.operations.copy.chunks import ChunkCopies
from btrfs_to_s3.operations.repository.index import StoredIndex
from btrfs_to_s3.operations.repository.listing import read_heads
from btrfs_to_s3.operations.repository.repository import PROGRAM, Host
from btrfs_to_s3.operations.thaw.states import Needed, ThawStates
from btrfs_to_s3.plan.backup.facts import JOURNAL_MAX_IDLE
from btrfs_to_s3.plan.chain import check_links
from btrfs_to_s3.plan.copying import plan_copy
from btrfs_to_s3.plan.restore.thaw_state import READY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta

    from btrfs_to_s3.model.backup import ChunkRecord, Head, HeadEntry, Manifest, ObjectRef
    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.operations.backup.upload_journal import KnownChunk
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.plan.copying import CopyPlan

COPIES = "copy"
"""The kind of journal: not ``upload``, which a backup would go on with."""


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What a copy did. ``inside`` is None where no chunk had to be copied."""

    source_id: SourceId
    backup_id: BackupId
    copied: tuple[BackupId, ...]
    stored_size_bytes: int
    reused_chunks: int
    inside: bool | None
    requests: Mapping[str, int]
    duration: timedelta


class Copy:
    """One backup and its chain, from one opened repository to another, once."""

    def __init__(
        self, origin: Services, target: Services, head: Head, entry: HeadEntry, concurrency: int
    ) -> None:
        self._origin = origin
        self._target = target
        self._head = head
        self._entry = entry
        self._concurrency = concurrency
        self._store = target.access.store.bound(target.cancel)
        self._reused = 0
        self._inside: bool | None = None

    def plan(self, *, exists: bool = True) -> CopyPlan:
        """What would be copied; ``exists`` says that there is a repository. Writes nothing."""
        if exists and self._target.access.repository_id == self._origin.access.repository_id:
            raise UsageError(
                "the repository to copy to is the one to copy from",
                hint="--to names the one to copy to, --repository the one to copy from",
            )
        listing = read_heads(self._target) if exists else None
        for each in () if listing is None else listing.unreadable:
            if each.source_id == self._head.source_id:
                raise each.error
        return plan_copy(self._head, self._entry, () if listing is None else listing.heads)

    def require_readable(self, plan: CopyPlan) -> None:
        """``NotReadableYetError`` while anything to copy is archived and not thawed."""
        source_id, access = self._head.source_id, self._origin.access
        needed = [Needed(entry, access.known_manifest(source_id, entry)) for entry in plan.missing]
        states = ThawStates(self._origin, self._concurrency).tallies(needed)
        waiting = sum(each.object_count - each.count(*READY) for each in states)
        if waiting:
            address = f"{source_id}@{self._entry.backup_id}"
            raise NotReadableYetError(
                f"{waiting} of {sum(each.object_count for each in states)} chunks to copy cannot "
                "be read yet: they are archived",
                hint=f"'btrfs-to-s3 thaw {address} request', then 'btrfs-to-s3 thaw {address} "
                "wait', then copy",
            )

    def run(self) -> CopyResult:
        """Copy what is missing; every copied backup is live in the target when this returns."""
        started, before = self._target.clock(), dict(self._store.request_counts())
        plan = self.plan()
        self.require_readable(plan)
        parent = plan.links[0].present
        if parent is not None:
            self._require_whole(plan.source_id, parent)
        manifests = [
            (self._origin.access.manifest(self._head.source_id, entry), entry.manifest_sha256_hex)
            for entry in plan.missing
        ]
        if parent is None:
            check_links(manifests)
        self._target.access.keep_rebuilt_heads()
        self._forget_done(plan)
        if manifests:
            self._ensure_source(plan.source_id)
        for manifest, _ in manifests:
            parent = self._copy(manifest, plan.source_id, parent)
        if manifests and parent is not None:
            # A prune on another host may have taken what was copied for what it was removing.
            self._require_whole(plan.source_id, parent)
        return CopyResult(
            source_id=plan.source_id,
            backup_id=self._entry.backup_id if parent is None else parent.backup_id,
            copied=tuple(manifest.backup_id for manifest, _ in manifests),
            stored_size_bytes=plan.stored_size_bytes,
            reused_chunks=self._reused,
            inside=self._inside,
            requests=self._requests(before),
            duration=self._target.clock() - started,
        )

    def _require_whole(self, source_id: SourceId, entry: HeadEntry) -> None:
        """``MissingObjectError`` unless the target has all of a backup's chain right now."""
        head = self._target.access.head(source_id)
        missing = (
            f"{entry.backup_id} is not live any more"
            if head is None or head.find(entry.backup_id) is None
            else what_is_missing(self._store, head, entry)
        )
        if missing is not None:
            raise MissingObjectError(
                f"the copy in {self._target.access.store.url} cannot be restored: {missing}",
                hint=f"run 'btrfs-to-s3 verify {source_id}' on that repository; copy to another "
                "prefix, or back up anew",
            )

    def _forget_done(self, plan: CopyPlan) -> None:
        """Remove the journals of copies that are live: a run was killed behind the commit."""
        open_journals = self._target.state.journals(COPIES)
        for link in plan.links:
            name = f"{plan.source_id}@{link.entry.backup_id}"
            if link.present is not None and name in open_journals:
                self._target.state.journal(COPIES, name).remove()

    def _requests(self, before: Mapping[str, int]) -> dict[str, int]:
        counts = self._store.request_counts()
        return {kind: count - before.get(kind, 0) for kind, count in counts.items()}

    def _ensure_source(self, source_id: SourceId) -> None:
        record = self._origin.access.source_record(self._head.source_id)
        made = SourceRecord(
            source_id=source_id,
            host_id=record.host_id,
            host_name=record.host_name,
            path=record.path,
            subvolume_uuid=record.subvolume_uuid,
            created=self._target.clock(),
        )
        try:
            self._target.access.create_source(made)
        except ConditionFailedError:
            # Its own backups, or an earlier copy, made it.
            self._target.access.source_record(source_id)

    def _copy(self, manifest: Manifest, source_id: SourceId, parent: HeadEntry | None) -> HeadEntry:
        """Copy one backup and commit it."""
        services, before = self._target, dict(self._store.request_counts())
        name = f"{source_id}@{manifest.backup_id}"
        journal = UploadJournal(services.state.journal(COPIES, name), services.clock)
        services.reporter.begin(str(manifest.backup_id), "copy", manifest.raw_size_bytes)
        try:
            begin, known, sealed = self._go_on(journal, manifest, source_id)
            if sealed is not None and not _is_on(sealed, parent):
                sealed = None
            host = Host(self._head.host_id, self._head.host_name, services.access.host.process)
            commit = Commit(
                services.access, services.state, journal, source_id, manifest.backup_id, host
            )
            subvolume = manifest.snapshot.parent_uuid or self._head.subvolume_uuid
            if sealed is not None:
                self._reused += len(known)
                commit.republish(sealed, subvolume)
            else:
                self._chunks(manifest, source_id, journal, known)
                with services.state.temporary() as out:
                    index, _ = commit.index(out)
                    commit.require_chunks()
                    made = self._made(manifest, source_id, parent, index)
                    made = replace(made, started=begin.started, requests=self._requests(before))
                    services.reporter.activity("committing")
                    commit.publish(made, out, subvolume)
        finally:
            services.reporter.end()
        head = services.access.head(source_id)
        entry = None if head is None else head.find(manifest.backup_id)
        if entry is None:
            raise AssertionError("a committed backup is live")
        return entry

    def _made(
        self,
        manifest: Manifest,
        source_id: SourceId,
        parent: HeadEntry | None,
        index: ObjectRef,
    ) -> Manifest:
        """The copy's manifest; the catalog, a cache of what the stream says, stays behind."""
        return replace(
            manifest,
            program=PROGRAM,
            source_id=source_id,
            parent=None if parent is None else parent.backup_id,
            parent_manifest_sha256_hex=None if parent is None else parent.manifest_sha256_hex,
            index=index,
            catalog=None,
            finished=self._target.clock(),
            data_class=self._store.storage_class(Role.DATA),
            metadata_class=self._store.storage_class(Role.METADATA),
            lock=None,
            origin_repository_id=manifest.origin_repository_id or self._origin.access.repository_id,
        )

    def _go_on(
        self, journal: UploadJournal, manifest: Manifest, source_id: SourceId
    ) -> tuple[UploadBegin, dict[int, KnownChunk], bytes | None]:
        """The journal's begin, the chunks that are there, and a manifest that was sealed."""
        old = journal.read()
        if old is not None and self._target.clock() - old.touched > JOURNAL_MAX_IDLE:
            # Another host's prune may be removing as orphans what this names.
            abort_uploads(self._store, old.uploads)
            journal.remove()
            old = None
        if old is None:
            begin = UploadBegin(
                backup_id=manifest.backup_id,
                parent=manifest.parent,
                snapshot_uuid=manifest.snapshot.uuid,
                snapshot_ctransid=manifest.snapshot.ctransid,
                parent_uuid=manifest.stream.parent_uuid,
                chunk_size_bytes=manifest.chunk_size_bytes,
                options=SendOptions(manifest.protocol, manifest.compressed_data),
                started=self._target.clock(),
            )
            journal.begin(begin)
            return begin, {}, None
        abort_uploads(self._store, old.uploads)
        return old.begin, *surviving(self._store, source_id, old)

    def _chunks(
        self,
        manifest: Manifest,
        source_id: SourceId,
        journal: UploadJournal,
        known: Mapping[int, KnownChunk],
    ) -> None:
        attempt = secrets.token_hex(4)
        journal.attempt(attempt)
        access = self._target.access
        copies = ChunkCopies(
            self._origin.access.store,
            access.store,
            UploadTarget(access.repository_id, source_id, manifest.backup_id, attempt),
            journal,
            self._concurrency,
            self._target.reporter,
            self._target.cancel,
        )
        origin = self._origin.access.store.bound(self._target.cancel)
        with StoredIndex(origin, self._target.state, manifest) as index:
            same = _of_this_origin(index.chunks(), manifest.chunk_count, known, journal)
            self._reused += len(same)
            copies.run(index.chunks(), same)
        if copies.inside is not None:
            self._inside = copies.inside and self._inside is not False


def _of_this_origin(
    chunks: Iterable[ChunkRecord],
    count: int,
    known: Mapping[int, KnownChunk],
    journal: UploadJournal,
) -> dict[int, KnownChunk]:
    """Those of the known chunks that are this origin's: not what another twin of the backup had.

    Two repositories that were sent one snapshot have the same backup ids, and other stored bytes.
    """
    first = count
    for record in chunks:
        chunk = known.get(record.number)
        if chunk is not None and chunk.stored_sha256_hex != record.stored_sha256_hex:
            first = record.number
            break
    journal.reuse_none_from(first)
    return {number: chunk for number, chunk in known.items() if number < first}


def _is_on(sealed: bytes, parent: HeadEntry | None) -> bool:
    """Whether a manifest that was about to be written still names what is there as its parent."""
    manifest = decode_manifest(sealed, "the sealed manifest")
    if parent is None:
        return manifest.parent is None
    named = (manifest.parent, manifest.parent_manifest_sha256_hex)
    return named == (parent.backup_id, parent.manifest_sha256_hex)
