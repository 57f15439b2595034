"""Repositories with content and without Btrfs: real uploads and commits of synthetic streams."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn
from uuid import uuid4

from btrfs_to_s3.host.state import LocalStateDirectory
from btrfs_to_s3.model.backup import Manifest, SnapshotFacts, SourceRecord, StreamIdentity
from btrfs_to_s3.model.identity import BackupId, Kind, SourceId
from btrfs_to_s3.model.objects import Role
from btrfs_to_s3.model.subvolume import SendOptions
from btrfs_to_s3.operations.backup.commit import Commit
from btrfs_to_s3.operations.backup.observe import open_upload_journal
from btrfs_to_s3.operations.backup.upload import Upload, UploadSettings, UploadTarget
from btrfs_to_s3.operations.backup.upload_journal import UploadBegin
from btrfs_to_s3.operations.repository.repository import Host, RepositoryAccess
from btrfs_to_s3.operations.services import Services
from btrfs_to_s3.stream.cancel import LinkedCancellation
from tests.operations.streams import BytesSend, stream

if TYPE_CHECKING:
    from pathlib import Path

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.operations.backup.upload_journal import UploadJournal
    from btrfs_to_s3.ports import ObjectStore, Volume
    from btrfs_to_s3.stream.commands import StreamFacts

CHUNK_SIZE_BYTES = 64 * 1024
SETTINGS = UploadSettings(
    chunk_size_bytes=CHUNK_SIZE_BYTES,
    part_size_bytes=5 * 1024 * 1024,
    compression_level=1,
    compression_threads=1,
    concurrency=2,
)
"""Chunks far below what the configuration allows, so that small backups have several."""


@dataclass(slots=True)
class ManualClock:
    """A clock that goes only when told."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        """Let time pass."""
        self.now += timedelta(**duration)


@dataclass(slots=True)
class Listener:
    """Implements ``ports.Reporter``: remembers what was said."""

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def begin(self, subject: str, activity: str, expected_bytes: int | None) -> None:
        """A piece of work starts."""

    def advance(self, raw_bytes: int, stored_bytes: int, chunks: int) -> None:
        """So much more is done."""

    def activity(self, text: str) -> None:
        """What is happening now."""

    def note(self, text: str) -> None:
        """Something a person may want to know."""
        self.notes.append(text)

    def warn(self, text: str) -> None:
        """Something a person should act on."""
        self.warnings.append(text)

    def end(self) -> None:
        """The piece of work is over."""


class NoBtrfs:
    """Implements ``ports.Btrfs`` where nothing may touch a filesystem."""

    def open(self, path: Path, *, writable: bool) -> Volume:
        """Never."""
        self._refuse(path, writable)

    def best_send_options(self, protocol: str) -> SendOptions:
        """Never."""
        self._refuse(protocol)

    def versions(self) -> tuple[str, str]:
        """Versions of nothing."""
        return "6.18.0", "6.2"

    def _refuse(self, *what: object) -> NoReturn:
        raise AssertionError(f"Btrfs was asked for {what}")


class SyntheticRepository:
    """One source of one repository, as one host sees it; opened, or created if it is not there.

    ``store`` may be any implementation of ``ObjectStore``. ``directory`` holds the host's local
    state. What it does not do by itself can be done through ``services`` and ``access``.
    """

    def __init__(
        self,
        store: ObjectStore,
        directory: Path,
        *,
        clock: ManualClock | None = None,
        source_id: SourceId | None = None,
        host: str = "nas",
    ) -> None:
        self.clock = clock or ManualClock()
        self.listener = Listener()
        self.cancel = LinkedCancellation()
        self.state = LocalStateDirectory(directory, host, self.listener.warn)
        self.source_id = source_id or SourceId("data", secrets.token_hex(4))
        self.subvolume_uuid = uuid4()
        self._directory = directory
        self._host = Host(secrets.token_hex(8), host, "pid 1")
        self._source_exists = False
        self._transid = 100
        self._taken = datetime(2026, 1, 1, tzinfo=UTC)
        self.access = RepositoryAccess(store, self.state, self._host, self.listener, self.clock)
        self.access.create()

    @property
    def services(self) -> Services:
        """What operations work with."""
        return Services(
            access=self.access,
            btrfs=NoBtrfs(),
            state=self.state,
            reporter=self.listener,
            cancel=self.cancel,
            clock=self.clock,
        )

    @property
    def store(self) -> ObjectStore:
        """The store everything goes through."""
        return self.access.store

    def through(self, store: ObjectStore) -> SyntheticRepository:
        """The same host and source, its requests made through another store."""
        view = SyntheticRepository(
            store,
            self._directory,
            clock=self.clock,
            source_id=self.source_id,
            host=self._host.host_name,
        )
        view.subvolume_uuid = self.subvolume_uuid
        view._transid, view._taken = self._transid, self._taken
        return view

    def from_host(self, name: str) -> SyntheticRepository:
        """The same source as another host, with no local state yet, sees it."""
        other = SyntheticRepository(
            self.store,
            self._directory / name,
            clock=self.clock,
            source_id=self.source_id,
            host=name,
        )
        other.subvolume_uuid = self.subvolume_uuid
        other._transid, other._taken = self._transid + 50, self._taken
        return other

    def head(self) -> Head:
        """The source's head as it is now."""
        head = self.access.head(self.source_id)
        assert head is not None
        return head

    def backup(
        self,
        parent: HeadEntry | None = None,
        *,
        size: int = 3 * CHUNK_SIZE_BYTES,
        content: bytes | None = None,
        taken: datetime | None = None,
        settings: UploadSettings = SETTINGS,
        stream_of: HeadEntry | None = None,
    ) -> HeadEntry:
        """Upload and commit a backup of ``content``, or of about ``size`` incompressible bytes.

        Returns its line in the head.

        Snapshots are taken a day apart unless ``taken`` says when. ``stream_of`` is another
        repository's backup that was made of the same snapshot.
        """
        begin, facts = self.upload(
            parent, size=size, content=content, taken=taken, settings=settings, stream_of=stream_of
        )
        return self.commit(begin, facts, parent)

    def upload(
        self,
        parent: HeadEntry | None = None,
        *,
        size: int = 3 * CHUNK_SIZE_BYTES,
        content: bytes | None = None,
        taken: datetime | None = None,
        settings: UploadSettings = SETTINGS,
        stream_of: HeadEntry | None = None,
    ) -> tuple[UploadBegin, StreamFacts]:
        """Only the chunks, and the open journal: where a killed backup stops."""
        self._transid += 1
        self._taken = taken or self._taken + timedelta(days=1)
        identity = StreamIdentity(uuid4(), self._transid)
        if stream_of is not None:
            identity, self._taken = stream_of.stream, stream_of.snapshot_time
        elif parent is not None:
            identity = replace(
                identity,
                parent_uuid=parent.stream.uuid,
                parent_transid=parent.stream.transid,
            )
        self._ensure_source()
        begin = self._begin(identity, parent, settings)
        journal = self.journal
        journal.begin(begin)
        attempt = secrets.token_hex(4)
        journal.attempt(attempt)
        upload = Upload(
            UploadTarget(self.access.repository_id, self.source_id, begin.backup_id, attempt),
            settings,
            self.store,
            journal,
            {},
            self.listener,
            self.cancel,
        )
        data = os.urandom(size) if content is None else content
        return begin, upload.run(BytesSend(stream(identity, self._name(), data)))

    def commit(
        self, begin: UploadBegin, facts: StreamFacts, parent: HeadEntry | None = None
    ) -> HeadEntry:
        """Index, manifest and head of what ``upload`` stored."""
        commit = Commit(self.access, self.state, self.journal, self.source_id, begin.backup_id)
        with self.state.temporary() as out:
            index, totals = commit.index(out)
            manifest = Manifest(
                program="btrfs-to-s3 test",
                source_id=self.source_id,
                backup_id=begin.backup_id,
                kind=begin.backup_id.kind,
                parent=begin.parent,
                parent_manifest_sha256_hex=parent.manifest_sha256_hex if parent else None,
                snapshot=SnapshotFacts(
                    name=facts.name,
                    uuid=begin.snapshot_uuid,
                    parent_uuid=self.subvolume_uuid,
                    received_uuid=None,
                    ctransid=begin.snapshot_ctransid,
                    otime=begin.backup_id.time,
                ),
                stream=facts.identity,
                protocol=facts.protocol,
                compressed_data=False,
                kernel="6.18.0",
                progs="6.2",
                raw_size_bytes=facts.size_bytes,
                stored_size_bytes=totals.stored_size_bytes,
                chunk_count=totals.chunk_count,
                chunk_size_bytes=begin.chunk_size_bytes,
                index=index,
                catalog=None,
                requests={},
                started=begin.started,
                finished=self.clock(),
                data_class=self.store.storage_class(Role.DATA),
                metadata_class=self.store.storage_class(Role.METADATA),
            )
            commit.publish(manifest, out, self.subvolume_uuid)
        entry = self.head().find(begin.backup_id)
        assert entry is not None
        return entry

    @property
    def journal(self) -> UploadJournal:
        """The source's upload journal on this host."""
        return open_upload_journal(self.services, self.source_id)

    def _begin(
        self, identity: StreamIdentity, parent: HeadEntry | None, settings: UploadSettings
    ) -> UploadBegin:
        kind = Kind.FULL if parent is None else Kind.INCREMENTAL
        return UploadBegin(
            backup_id=BackupId.of(self._taken, kind, identity.uuid),
            parent=None if parent is None else parent.backup_id,
            snapshot_uuid=identity.uuid,
            snapshot_ctransid=identity.transid,
            parent_uuid=None if parent is None else parent.snapshot_uuid,
            chunk_size_bytes=settings.chunk_size_bytes,
            options=SendOptions(protocol=1, compressed_data=False),
            started=self.clock(),
        )

    def _ensure_source(self) -> None:
        if self._source_exists or self.access.head(self.source_id) is not None:
            return
        record = SourceRecord(
            source_id=self.source_id,
            host_id=self._host.host_id,
            host_name=self._host.host_name,
            path="/mnt/data",
            subvolume_uuid=self.subvolume_uuid,
            created=self.clock(),
        )
        if self.store.head(f"sources/{self.source_id}.json") is None:
            self.access.create_source(record)
        self._source_exists = True

    def _name(self) -> str:
        return f"{self.source_id}.{self._taken:%Y%m%dT%H%M%SZ}"
