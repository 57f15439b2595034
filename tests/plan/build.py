"""Short ways to say what a plan is made from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from btrfs_to_s3.model.backup import (
    Head,
    HeadEntry,
    Manifest,
    ObjectRef,
    SnapshotFacts,
    SourceRecord,
    StreamIdentity,
)
from btrfs_to_s3.model.identity import BackupId, Kind, SourceId
from btrfs_to_s3.model.subvolume import Subvolume

T0 = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
SOURCE_UUID = UUID(int=0xA0000000 << 96)
SOURCE_ID = SourceId("data", "1f2e3d4c")
HOST_ID = "9d3b1c5a7e2f4d60"


def uid(number: int) -> UUID:
    """A uuid whose first eight digits differ for different small numbers."""
    return UUID(int=number << 96)


def days(count: float) -> timedelta:
    return timedelta(days=count)


def entry(
    number: int,
    parent: HeadEntry | None = None,
    *,
    time: datetime | None = None,
    uuid: UUID | None = None,
    ctransid: int | None = None,
    raw: int = 1000,
    stored: int = 400,
) -> HeadEntry:
    """Backup ``number``, taken that many days after ``T0``, of the snapshot ``uid(number)``."""
    taken = time if time is not None else T0 + days(number)
    snapshot = uuid if uuid is not None else uid(number)
    transid = ctransid if ctransid is not None else 100 + number
    kind = Kind.FULL if parent is None else Kind.INCREMENTAL
    stream = StreamIdentity(snapshot, transid)
    if parent is not None:
        stream = StreamIdentity(snapshot, transid, parent.stream.uuid, parent.stream.transid)
    return HeadEntry(
        backup_id=BackupId.of(taken, kind, snapshot),
        parent=parent.backup_id if parent is not None else None,
        sequence=number,
        kind=kind,
        manifest_sha256_hex=sha256(snapshot.bytes).hexdigest(),
        stream=stream,
        snapshot_uuid=snapshot,
        snapshot_ctransid=transid,
        snapshot_time=taken,
        finished=taken + timedelta(minutes=5),
        raw_size_bytes=raw,
        stored_size_bytes=stored,
        chunk_count=2,
        data_class="STANDARD",
    )


def chain(length: int) -> tuple[HeadEntry, ...]:
    """Backups 1, 2, …, each on the one before."""
    entries: list[HeadEntry] = []
    for number in range(1, length + 1):
        entries.append(entry(number, entries[-1] if entries else None))
    return tuple(entries)


def head(
    *entries: HeadEntry,
    source_id: SourceId = SOURCE_ID,
    subvolume: UUID = SOURCE_UUID,
    host_id: str = HOST_ID,
    host_name: str = "nas",
) -> Head:
    return Head(
        source_id=source_id,
        repository_id="5b8f0c7e9d2a4c3f8e1b6a7d0c9f2e41",
        sequence=max((item.sequence for item in entries), default=0),
        host_id=host_id,
        host_name=host_name,
        subvolume_uuid=subvolume,
        writer="nas pid 4242",
        written=T0,
        backups=tuple(entries),
    )


def subvolume(
    number: int,
    *,
    uuid: UUID | None = None,
    parent: UUID | None = None,
    received: UUID | None = None,
    ctransid: int | None = None,
    stransid: int = 0,
    path: str | None = None,
    readonly: bool = False,
) -> Subvolume:
    """The subvolume of id ``256 + number`` and, unless given, the uuid ``uid(number)``."""
    return Subvolume(
        id=256 + number,
        path=path if path is not None else f"subvolumes/{number}",
        uuid=uuid if uuid is not None else uid(number),
        parent_uuid=parent,
        received_uuid=received,
        generation=999,
        ctransid=ctransid if ctransid is not None else 100 + number,
        otransid=0,
        stransid=stransid,
        rtransid=0,
        otime=T0 + days(number),
        readonly=readonly,
    )


def source(ctransid: int = 999, parent: UUID | None = None) -> Subvolume:
    return subvolume(0, uuid=SOURCE_UUID, ctransid=ctransid, parent=parent, path="data")


def snapshot_of(item: HeadEntry, *, parent: UUID = SOURCE_UUID) -> Subvolume:
    """The unchanged local snapshot that a backup was made of."""
    return subvolume(
        item.sequence,
        uuid=item.snapshot_uuid,
        parent=parent,
        ctransid=item.snapshot_ctransid,
        path=f".btrfs-to-s3/{item.sequence}",
        readonly=True,
    )


def received_copy(
    item: HeadEntry, number: int, *, parent: UUID | None = None, path: str | None = None
) -> Subvolume:
    """What ``btrfs receive`` made of a backup's stream, with a ctransid of its own."""
    made = subvolume(
        number,
        parent=parent,
        received=item.stream.uuid,
        stransid=item.stream.transid,
        ctransid=5000 + number,
        path=path,
        readonly=True,
    )
    return replace(made, otransid=10 * number, rtransid=10 * number + 1)


def manifest(item: HeadEntry, parent: tuple[Manifest, str] | None = None) -> tuple[Manifest, str]:
    """The manifest behind a head's entry, with its digest."""
    made = Manifest(
        program="btrfs-to-s3 test",
        source_id=SOURCE_ID,
        backup_id=item.backup_id,
        kind=item.kind,
        parent=item.parent,
        parent_manifest_sha256_hex=parent[1] if parent is not None else None,
        snapshot=SnapshotFacts(
            uuid=item.snapshot_uuid,
            parent_uuid=SOURCE_UUID,
            received_uuid=None,
            ctransid=item.snapshot_ctransid,
            otime=item.snapshot_time,
            name=f"data.{item.sequence}",
        ),
        stream=item.stream,
        protocol=2,
        compressed_data=True,
        kernel="6.18",
        progs="6.2",
        raw_size_bytes=item.raw_size_bytes,
        stored_size_bytes=item.stored_size_bytes,
        chunk_count=item.chunk_count,
        chunk_size_bytes=1 << 28,
        index=ObjectRef("indexes/x", 1, "00"),
        catalog=None,
        requests={"put": 5, "get": 2},
        started=item.snapshot_time,
        finished=item.finished,
        data_class=item.data_class,
        metadata_class="STANDARD",
    )
    return made, item.manifest_sha256_hex


def manifests(*entries: HeadEntry) -> list[tuple[Manifest, str]]:
    """The manifests of entries given parents first."""
    made: dict[BackupId | None, tuple[Manifest, str]] = {}
    for item in entries:
        made[item.backup_id] = manifest(item, made.get(item.parent) if item.parent else None)
    return list(made.values())


def record() -> SourceRecord:
    return SourceRecord(SOURCE_ID, HOST_ID, "nas", "/mnt/data", SOURCE_UUID, T0)
