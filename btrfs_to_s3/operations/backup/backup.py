"""Backing up one source: snapshot, send, upload, commit (design §4)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import ConditionFailedError, IntegrityError, SendError
from btrfs_to_s3.model.backup import Manifest, SnapshotFacts, SourceRecord, StreamIdentity
from btrfs_to_s3.model.identity import BackupId, SourceId
from btrfs_to_s3.model.objects import Role
from btrfs_to_s3.operations.backup.commit import Commit
from btrfs_to_s3.operations.backup.leftovers import abort_uploads, surviving
from btrfs_to_s3.operations.backup.observe import open_upload_journal
from btrfs_to_s3.operations.backup.snapshot_names import new_name
from btrfs_to_s3.operations.backup.transfer import SendAgainError
from btrfs_to_s3.operations.backup.upload import Upload, UploadTarget
from btrfs_to_s3.operations.backup.upload_journal import UploadBegin
from btrfs_to_s3.operations.repository.repository import PROGRAM
from btrfs_to_s3.plan.backup.backup import activity_of
from btrfs_to_s3.plan.backup.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from pathlib import Path
    from uuid import UUID

    from btrfs_to_s3.model.identity import Kind
    from btrfs_to_s3.model.subvolume import SendOptions, Subvolume
    from btrfs_to_s3.operations.backup.observe import Observed
    from btrfs_to_s3.operations.backup.upload import UploadSettings
    from btrfs_to_s3.operations.backup.upload_journal import KnownChunk
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.plan.backup.backup import BackupPlan
    from btrfs_to_s3.ports import Cancellation, Reporter, SendStream, Volume
    from btrfs_to_s3.stream.commands import StreamFacts

SENDS = 3
"""How often one run may send a stream because reuse or a conflict asked for it."""


@dataclass(frozen=True, slots=True)
class BackupJob:
    """One source as configured. ``send_protocol`` is ``auto``, ``1`` or ``2``."""

    path: Path
    label: str
    send_protocol: str
    upload: UploadSettings


@dataclass(frozen=True, slots=True)
class BackupResult:
    """What a backup did. ``reused_bytes`` are raw bytes that an earlier run had stored.

    ``parent`` is the backup it is built on; ``retry_count`` how often a request was repeated.
    """

    source_id: SourceId
    backup_id: BackupId
    kind: Kind
    resumed: bool
    raw_size_bytes: int
    stored_size_bytes: int
    reused_bytes: int
    chunk_count: int
    requests: Mapping[str, int]
    duration: timedelta
    reused_chunk_count: int = 0
    retry_count: int = 0
    parent: BackupId | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """Which stream a backup sends: two that are equal send the very same bytes."""

    snapshot: UUID
    parent: UUID | None
    options: SendOptions


@dataclass(slots=True)
class _Begun:
    """A backup whose journal is written: what it sends, and what is stored of it already."""

    snapshot: Subvolume
    begin: UploadBegin
    commit: Commit
    known: dict[int, KnownChunk]
    sealed: bytes | None
    upload: Upload | None = None


class SourceBackup:
    """Carries out one source's plan, once. The repository is open and known to be writable.

    ``run`` does it all. A backup that shares its stream with others is led through the steps of
    ``run`` from outside: ``prepare``, ``republish``, then for each sending ``new_upload`` and
    ``sent`` or ``send_again``, and ``result``.
    """

    def __init__(
        self,
        services: Services,
        volume: Volume,
        job: BackupJob,
        seen: Observed,
        plan: BackupPlan,
        source_id: SourceId | None = None,
    ) -> None:
        self._services = services
        self._store = services.access.store.bound(services.cancel)
        self._volume = volume
        self._job = job
        self._seen = seen
        self._plan = plan
        self._source_id = seen.source_id or source_id or SourceId(job.label, secrets.token_hex(4))
        self._journal = open_upload_journal(services, self._source_id)
        self._started = services.clock()
        self._requests_before = dict(self._store.request_counts())
        self._retries_before = self._store.retry_count()
        self._reused = (0, 0)
        self._begun: _Begun | None = None
        self._manifest: Manifest | None = None

    @property
    def source_id(self) -> SourceId:
        """The source's id in this repository, also where it is new."""
        return self._source_id

    def run(self) -> BackupResult:
        """Execute a plan that sends something; the backup is live when this returns.

        Whatever is raised leaves the snapshot and the journal, so that the next run goes on.
        """
        self._services.reporter.begin(
            self._job.label,
            activity_of(self._plan),
            self._plan.estimate_bytes,
        )
        try:
            self.prepare()
            if not self.republish():
                self._send()
        finally:
            self._services.reporter.end()
        return self.result()

    def prepare(self, snapshot: Subvolume | None = None) -> Sending:
        """Journal what is sent: ``snapshot``, where the plan asks for a new one; else take one."""
        # Journalled first: the record's source id must be found again after a crash.
        resumed = self._plan.decision is Decision.RESUME
        sent, begin = self._resume() if resumed else self._begin(snapshot)
        self._ensure_source()
        commit = Commit(
            self._services.access,
            self._services.state,
            self._journal,
            self._source_id,
            begin.backup_id,
        )
        self._begun = _Begun(sent, begin, commit, *self._survived())
        parent = self._plan.parent
        return Sending(sent.uuid, parent.local.uuid if parent else None, begin.options)

    def republish(self) -> bool:
        """Commit an upload that an earlier run had sent whole; False when it has to be sent."""
        begun = self._prepared()
        if begun.sealed is None:
            return False
        self._manifest = begun.commit.republish(begun.sealed, self._seen.facts.source.uuid)
        self._reused = (self._manifest.raw_size_bytes, self._manifest.chunk_count)
        return True

    def new_upload(self, reporter: Reporter, cancel: Cancellation) -> Upload:
        """One pass of the stream, its attempt journalled."""
        begun = self._prepared()
        attempt = secrets.token_hex(4)
        self._journal.attempt(attempt)
        begun.upload = Upload(
            UploadTarget(
                self._services.access.repository_id,
                self._source_id,
                begun.begin.backup_id,
                attempt,
            ),
            self._upload_settings(begun.begin),
            self._services.access.store,
            self._journal,
            begun.known,
            reporter,
            cancel,
        )
        return begun.upload

    def send_again(self, reason: SendAgainError) -> None:
        """The upload asked for the stream once more; what it stored is reused."""
        self._services.reporter.warn(f"the stream is sent again: {reason}")
        stored = self._journal.read()
        self._prepared().known = stored.chunks if stored is not None else {}

    def sent(self, facts: StreamFacts) -> None:
        """The whole stream was uploaded: check what it says it is, and commit it."""
        begun = self._prepared()
        if begun.upload is not None:
            self._reused = (begun.upload.reused_bytes, begun.upload.reused_chunks)
        self._require_identity(facts, begun.snapshot)
        self._manifest = self._publish(begun.commit, begun.snapshot, begun.begin, facts)

    def open_stream(self) -> SendStream:
        """Start ``btrfs send`` of what was prepared; to be used as a context manager."""
        begun, parent = self._prepared(), self._plan.parent
        return self._volume.send(
            begun.snapshot, parent.local if parent else None, begun.begin.options
        )

    def result(self) -> BackupResult:
        """What was done; only once the backup is live."""
        manifest = self._manifest
        if manifest is None:
            raise AssertionError("the backup was not committed")
        return BackupResult(
            source_id=self._source_id,
            backup_id=manifest.backup_id,
            kind=manifest.kind,
            resumed=self._plan.decision is Decision.RESUME,
            raw_size_bytes=manifest.raw_size_bytes,
            stored_size_bytes=manifest.stored_size_bytes,
            reused_bytes=self._reused[0],
            chunk_count=manifest.chunk_count,
            requests=self._requests(),
            duration=self._services.clock() - self._started,
            reused_chunk_count=self._reused[1],
            retry_count=self._store.retry_count() - self._retries_before,
            parent=manifest.parent,
        )

    def _prepared(self) -> _Begun:
        if self._begun is None:
            raise AssertionError("the backup was not prepared")
        return self._begun

    def _ensure_source(self) -> None:
        if self._seen.facts.head is not None:
            return
        host = self._services.access.host
        record = SourceRecord(
            source_id=self._source_id,
            host_id=host.host_id,
            host_name=host.host_name,
            path=str(self._job.path),
            subvolume_uuid=self._seen.facts.source.uuid,
            created=self._services.clock(),
        )
        try:
            self._services.access.create_source(record)
        except ConditionFailedError:
            # An interrupted first backup wrote it; another subvolume's would be a wrong match.
            present = self._services.access.source_record(self._source_id)
            if present.subvolume_uuid != record.subvolume_uuid:
                raise IntegrityError(
                    f"the record of {self._source_id} is another source's"
                ) from None

    def _begin(self, taken: Subvolume | None) -> tuple[Subvolume, UploadBegin]:
        plan = self._plan
        options = self._services.btrfs.best_send_options(self._job.send_protocol)
        snapshot = plan.snapshot or taken or self.take_snapshot()
        if plan.kind is None:
            raise AssertionError("a plan that sends has a kind")
        begin = UploadBegin(
            backup_id=BackupId.of(snapshot.otime, plan.kind, snapshot.stream_uuid),
            parent=plan.parent.entry.backup_id if plan.parent else None,
            snapshot_uuid=snapshot.uuid,
            snapshot_ctransid=snapshot.ctransid,
            parent_uuid=plan.parent.local.uuid if plan.parent else None,
            chunk_size_bytes=self._job.upload.chunk_size_bytes,
            options=options,
            started=self._started,
        )
        self._journal.begin(begin)
        return snapshot, begin

    def _resume(self) -> tuple[Subvolume, UploadBegin]:
        old, snapshot = self._seen.open_upload, self._plan.snapshot
        if old is None or snapshot is None:
            raise AssertionError("a resumed plan has a journal and a snapshot")
        abort_uploads(self._store, old.uploads)
        return snapshot, old.begin

    def take_snapshot(self) -> Subvolume:
        """A new snapshot of the source, named for it."""
        self._services.reporter.activity("taking a snapshot")
        taken = {subvolume.path.rpartition("/")[2] for subvolume in self._seen.facts.subvolumes}
        name = new_name(self._source_id, self._services.clock(), taken)
        return self._volume.snapshot(self._seen.facts.source, name)

    def _survived(self) -> tuple[dict[int, KnownChunk], bytes | None]:
        """What an upload that goes on stored, and its manifest if it was sent whole."""
        old = self._seen.open_upload
        if self._plan.decision is not Decision.RESUME or old is None:
            return {}, None
        return surviving(self._store, self._source_id, old)

    def _send(self) -> None:
        reason: SendAgainError | None = None
        for _ in range(SENDS):
            upload = self.new_upload(self._services.reporter, self._services.cancel)
            try:
                with self.open_stream() as send:
                    facts = upload.run(send)
            except SendAgainError as error:
                self.send_again(error)
                reason = error
                continue
            self.sent(facts)
            return
        raise in_vain(reason)

    def _upload_settings(self, begin: UploadBegin) -> UploadSettings:
        return replace(self._job.upload, chunk_size_bytes=begin.chunk_size_bytes)

    def _require_identity(self, facts: StreamFacts, snapshot: Subvolume) -> None:
        parent = self._plan.parent
        expected = StreamIdentity(
            snapshot.stream_uuid,
            snapshot.ctransid,
            parent.local.stream_uuid if parent else None,
            parent.local.ctransid if parent else None,
        )
        if facts.identity != expected:
            raise SendError(
                f"the stream says it is {facts.identity.uuid} at {facts.identity.transid}, but the "
                f"snapshot is {expected.uuid} at {expected.transid}: it changed while it was sent",
            )

    def _publish(
        self, commit: Commit, snapshot: Subvolume, begin: UploadBegin, facts: StreamFacts
    ) -> Manifest:
        self._services.reporter.activity("committing")
        with self._services.state.temporary() as out:
            index, totals = commit.index(out)
            if totals.raw_size_bytes != facts.size_bytes:
                raise IntegrityError("the index does not cover the stream that was sent")
            commit.require_chunks()
            kernel, progs = self._services.btrfs.versions()
            parent = self._plan.parent
            manifest = Manifest(
                program=PROGRAM,
                source_id=self._source_id,
                backup_id=begin.backup_id,
                kind=begin.backup_id.kind,
                parent=begin.parent,
                parent_manifest_sha256_hex=parent.entry.manifest_sha256_hex if parent else None,
                snapshot=_snapshot_facts(snapshot),
                stream=facts.identity,
                protocol=facts.protocol,
                compressed_data=begin.options.compressed_data,
                kernel=kernel,
                progs=progs,
                raw_size_bytes=facts.size_bytes,
                stored_size_bytes=totals.stored_size_bytes,
                chunk_count=totals.chunk_count,
                chunk_size_bytes=begin.chunk_size_bytes,
                index=index,
                catalog=None,
                requests=self._requests(),
                started=begin.started,
                finished=self._services.clock(),
                data_class=self._store.storage_class(Role.DATA),
                metadata_class=self._store.storage_class(Role.METADATA),
            )
            commit.publish(manifest, out, self._seen.facts.source.uuid)
        return manifest

    def _requests(self) -> dict[str, int]:
        return {
            kind: count - self._requests_before.get(kind, 0)
            for kind, count in self._store.request_counts().items()
        }


def in_vain(reason: SendAgainError | None) -> SendError:
    """The error of a stream that was sent as often as one run may."""
    return SendError(f"the stream was sent {SENDS} times in vain: {reason}")


def _snapshot_facts(snapshot: Subvolume) -> SnapshotFacts:
    return SnapshotFacts(
        name=snapshot.path.rpartition("/")[2],
        uuid=snapshot.uuid,
        parent_uuid=snapshot.parent_uuid,
        received_uuid=snapshot.received_uuid,
        ctransid=snapshot.ctransid,
        otime=snapshot.otime,
    )
