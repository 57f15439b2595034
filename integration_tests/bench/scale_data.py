"""A repository of many backups, written as files that `rclone serve s3` serves as objects."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Final
from uuid import UUID

from btrfs_to_s3.format import keys
from btrfs_to_s3.format.index import encode_chunk_record
from btrfs_to_s3.format.manifest import decode_manifest, encode_head, encode_manifest
from btrfs_to_s3.format.records import encode_repository, encode_source
from btrfs_to_s3.model.backup import (
    FRAME_SIZE_BYTES,
    ChunkRecord,
    Head,
    Manifest,
    ObjectRef,
    Repository,
    SnapshotFacts,
    SourceRecord,
    StreamIdentity,
)
from btrfs_to_s3.model.identity import BackupId, Kind, SourceId
from btrfs_to_s3.plan.rebuild import entry_of
from btrfs_to_s3.stream.lines import compress_lines

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from btrfs_to_s3.model.backup import HeadEntry

CHUNK_BYTES: Final = 4096
"""Stored bytes of a chunk: a hole in a file, which takes no room and reads quickly."""
RAW_BYTES: Final = 256 * 1024 * 1024
_PROGRAM: Final = "btrfs-to-s3 bench"
CHAIN: Final = 30
"""Backups in the newest chain of each source."""
_STEP: Final = timedelta(hours=1)
_HOLE_SHA256: Final = hashlib.sha256(bytes(CHUNK_BYTES)).hexdigest()


@dataclass(frozen=True, slots=True)
class ScaleSpec:
    """How many; each source has chains of 30 backups, an hour apart, the newest at ``now``."""

    sources: int
    backups: int
    chunks: int
    now: datetime
    host_id: str
    host_name: str

    @property
    def total_backups(self) -> int:
        """Of all sources."""
        return self.sources * self.backups


def write_repository(bucket: Path, spec: ScaleSpec) -> None:
    """Write every object below ``bucket``, which is the repository's prefix."""
    repository = Repository("5c" * 16, spec.now, _PROGRAM)
    _write(bucket / keys.REPOSITORY, encode_repository(repository))
    for number in range(spec.sources):
        _write_source(bucket, spec, number, repository.repository_id)


def _write_source(bucket: Path, spec: ScaleSpec, number: int, repository_id: str) -> None:
    source_id = SourceId(f"volume{number:02}", f"{number:08x}")
    subvolume = UUID(int=number + 1)
    began = spec.now - spec.backups * _STEP
    record = SourceRecord(
        source_id, spec.host_id, spec.host_name, f"/volume{number:02}", subvolume, began
    )
    _write(bucket / keys.source(source_id), encode_source(record))
    entries: list[HeadEntry] = []
    for sequence in range(1, spec.backups + 1):
        full = not entries or (spec.backups - sequence) % CHAIN == CHAIN - 1
        parent = None if full else entries[-1]
        manifest = _write_backup(
            bucket, spec, source_id, _snapshot(subvolume, sequence, began), parent
        )
        data = encode_manifest(manifest)
        _write(bucket / keys.manifest(source_id, manifest.backup_id), data)
        sha256 = hashlib.sha256(data).hexdigest()
        decode_manifest(data, "what was just written")
        entries.append(entry_of(manifest, sha256, sequence))
    head = Head(
        source_id=source_id,
        repository_id=repository_id,
        sequence=spec.backups,
        host_id=spec.host_id,
        host_name=spec.host_name,
        subvolume_uuid=subvolume,
        writer=f"{spec.host_name} bench",
        written=spec.now,
        backups=tuple(entries),
    )
    _write(bucket / keys.head(source_id), encode_head(head))


def _snapshot(subvolume: UUID, sequence: int, began: datetime) -> SnapshotFacts:
    name = f"{subvolume}.{sequence}"
    return SnapshotFacts(
        name=name,
        uuid=UUID(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()),
        parent_uuid=subvolume,
        received_uuid=None,
        ctransid=100 + sequence,
        otime=began + sequence * _STEP,
    )


def _write_backup(
    bucket: Path,
    spec: ScaleSpec,
    source_id: SourceId,
    snapshot: SnapshotFacts,
    parent: HeadEntry | None,
) -> Manifest:
    kind = Kind.FULL if parent is None else Kind.INCREMENTAL
    backup_id = BackupId.of(snapshot.otime, kind, snapshot.uuid)
    index = _write_chunks(bucket, spec, source_id, backup_id)
    return Manifest(
        program=_PROGRAM,
        source_id=source_id,
        backup_id=backup_id,
        kind=kind,
        parent=None if parent is None else parent.backup_id,
        parent_manifest_sha256_hex=None if parent is None else parent.manifest_sha256_hex,
        snapshot=snapshot,
        stream=StreamIdentity(
            snapshot.uuid,
            snapshot.ctransid,
            None if parent is None else parent.stream.uuid,
            None if parent is None else parent.stream.transid,
        ),
        protocol=2,
        compressed_data=True,
        kernel="6.18",
        progs="6.2",
        raw_size_bytes=RAW_BYTES * spec.chunks,
        stored_size_bytes=CHUNK_BYTES * spec.chunks,
        chunk_count=spec.chunks,
        chunk_size_bytes=RAW_BYTES,
        index=index,
        catalog=None,
        requests={"put": spec.chunks + 3, "get": 2, "list": 4, "head": 0, "delete": 0},
        started=snapshot.otime,
        finished=snapshot.otime + timedelta(minutes=1),
        data_class="DEEP_ARCHIVE",
        metadata_class="STANDARD",
    )


def _write_chunks(
    bucket: Path, spec: ScaleSpec, source_id: SourceId, backup_id: BackupId
) -> ObjectRef:
    lines = []
    for number in range(spec.chunks):
        key = keys.chunk(source_id, backup_id, number, "0badcafe")
        _write_hole(bucket / key)
        lines.append(encode_chunk_record(_record(number, key)))
    out = BytesIO()
    compressed = compress_lines(iter(lines), out)
    key = keys.index(source_id, backup_id)
    _write(bucket / key, out.getvalue())
    return ObjectRef(key, compressed.size_bytes, compressed.sha256.hex())


def _record(number: int, key: str) -> ChunkRecord:
    return ChunkRecord(
        number=number,
        key=key,
        raw_offset=number * RAW_BYTES,
        raw_size_bytes=RAW_BYTES,
        raw_sha256_hex=_HOLE_SHA256,
        stored_size_bytes=CHUNK_BYTES,
        stored_sha256_hex=_HOLE_SHA256,
        etag="0" * 32,
        version_id=None,
        part_size_bytes=16 * 1024 * 1024,
        part_sha256_hex=(_HOLE_SHA256,),
        frame_sizes_bytes=(60,) * (RAW_BYTES // FRAME_SIZE_BYTES),
    )


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _write_hole(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(CHUNK_BYTES)
