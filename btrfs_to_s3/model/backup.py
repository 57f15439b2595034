"""A repository's records: what docs/format.md describes, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from btrfs_to_s3.model.identity import BackupId, Kind, SourceId

FORMAT_VERSION = 1
FRAME_SIZE_BYTES = 4 * 1024 * 1024
"""Raw bytes in every frame but a chunk's last."""


@dataclass(frozen=True, slots=True)
class Repository:
    """``repository.json``: written once, never changed."""

    repository_id: str
    created: datetime
    program: str
    encryption: str = "none"


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """``sources/<source-id>.json``: where a source was first seen (no path if encrypted)."""

    source_id: SourceId
    host_id: str
    host_name: str
    path: str | None
    subvolume_uuid: UUID
    created: datetime


@dataclass(frozen=True, slots=True)
class StreamIdentity:
    """What a stream's first command says: its uuid and transid, and its parent's if incremental."""

    uuid: UUID
    transid: int
    parent_uuid: UUID | None = None
    parent_transid: int | None = None


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """The local snapshot a backup was sent from.

    ``name`` is what receive will call it; None in an encrypted repository's manifest.
    """

    name: str | None
    uuid: UUID
    parent_uuid: UUID | None
    received_uuid: UUID | None
    ctransid: int
    otime: datetime


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """A metadata object as the manifest names it."""

    key: str
    size_bytes: int
    sha256_hex: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """``manifests/<source-id>/<backup-id>.json``: everything needed to check and restore a backup.

    ``send_flags`` are btrfs-progs' option names without dashes. ``requests`` counts the requests
    this backup made, by kind (put, get, list, head, delete, thaw). ``catalog`` is None when the
    backup has none. ``lock`` is the Object Lock asked for, None without one.
    ``origin_repository_id`` is set in a copy: what its chunks' trailers carry.
    """

    program: str
    source_id: SourceId
    backup_id: BackupId
    kind: Kind
    parent: BackupId | None
    parent_manifest_sha256_hex: str | None
    snapshot: SnapshotFacts
    stream: StreamIdentity
    protocol: int
    compressed_data: bool
    kernel: str
    progs: str
    raw_size_bytes: int
    stored_size_bytes: int
    chunk_count: int
    chunk_size_bytes: int
    index: ObjectRef
    catalog: ObjectRef | None
    requests: dict[str, int]
    started: datetime
    finished: datetime
    data_class: str
    metadata_class: str
    lock: dict[str, str] | None = None
    origin_repository_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """A line of the index: one chunk object and how to check each part of it."""

    number: int
    key: str
    raw_offset: int
    raw_size_bytes: int
    raw_sha256_hex: str
    stored_size_bytes: int
    stored_sha256_hex: str
    etag: str
    version_id: str | None
    part_size_bytes: int
    part_sha256_hex: tuple[str, ...]
    frame_sizes_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """The requests a backup made until its manifest was written, and what their price depends on.

    ``counts`` are by kind, as in the manifest. ``metadata_objects`` of the writes made objects of
    ``metadata_class``: the index, and the catalog where there is one.
    """

    counts: Mapping[str, int]
    metadata_class: str
    metadata_objects: int


@dataclass(frozen=True, slots=True)
class HeadEntry:
    """A live backup as the head lists it: enough to list, plan and reckon without its manifest.

    ``requests`` is None where the head was written by a version that did not keep them there.
    """

    backup_id: BackupId
    parent: BackupId | None
    sequence: int
    kind: Kind
    manifest_sha256_hex: str
    stream: StreamIdentity
    snapshot_uuid: UUID
    snapshot_ctransid: int
    snapshot_time: datetime
    finished: datetime
    raw_size_bytes: int
    stored_size_bytes: int
    chunk_count: int
    data_class: str
    requests: RequestRecord | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Head:
    """``heads/<source-id>/current.json``: the live backups of a source, oldest sequence first.

    ``sequence`` grows by one with every replacement. ``subvolume_uuid`` is the source the newest
    backup was taken of. ``writer`` names the host, process and time of this replacement.
    """

    source_id: SourceId
    repository_id: str
    sequence: int
    host_id: str
    host_name: str
    subvolume_uuid: UUID
    writer: str
    written: datetime
    backups: tuple[HeadEntry, ...]

    def find(self, backup_id: BackupId) -> HeadEntry | None:
        """The live backup with this id, or None."""
        return next((entry for entry in self.backups if entry.backup_id == backup_id), None)

    @property
    def newest(self) -> HeadEntry | None:
        """The live backup with the highest sequence, or None when nothing is live."""
        return max(self.backups, key=lambda entry: entry.sequence, default=None)
