"""The manifest and the head (docs/format.md §3)."""

from __future__ import annotations

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.format.jsonio import Fields, encode_line, encode_time
from btrfs_to_s3.format.records import RECORD_LIMIT_BYTES, backup_id_member, source_id_member
from btrfs_to_s3.model.backup import (
    FORMAT_VERSION,
    Head,
    HeadEntry,
    Manifest,
    ObjectRef,
    RequestRecord,
    SnapshotFacts,
    StreamIdentity,
)
from btrfs_to_s3.model.identity import BackupId, Kind

HEAD_LIMIT_BYTES = 256 * 1024 * 1024
"""Far above any head: 100,000 backups take about 60 MB."""
_KINDS = {kind.value: kind for kind in Kind}


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes of a manifest; ``IntegrityError`` if they exceed the format's 64 KiB."""
    snapshot = manifest.snapshot
    data = encode_line(
        {
            "format": FORMAT_VERSION,
            "program": manifest.program,
            "source_id": str(manifest.source_id),
            "backup_id": str(manifest.backup_id),
            "kind": manifest.kind.value,
            "parent": _optional(manifest.parent),
            "parent_manifest_sha256": manifest.parent_manifest_sha256_hex,
            "snapshot": {
                "name": snapshot.name,
                "uuid": str(snapshot.uuid),
                "parent_uuid": _optional(snapshot.parent_uuid),
                "received_uuid": _optional(snapshot.received_uuid),
                "ctransid": snapshot.ctransid,
                "otime": encode_time(snapshot.otime),
            },
            "stream": _stream_members(manifest.stream),
            "send": {
                "protocol": manifest.protocol,
                "compressed_data": manifest.compressed_data,
                "kernel": manifest.kernel,
                "progs": manifest.progs,
            },
            "raw_size": manifest.raw_size_bytes,
            "stored_size": manifest.stored_size_bytes,
            "chunk_count": manifest.chunk_count,
            "chunk_size": manifest.chunk_size_bytes,
            "index": _ref_members(manifest.index),
            "catalog": None if manifest.catalog is None else _ref_members(manifest.catalog),
            "requests": manifest.requests,
            "started": encode_time(manifest.started),
            "finished": encode_time(manifest.finished),
            "storage": {"data": manifest.data_class, "metadata": manifest.metadata_class},
            "lock": manifest.lock,
            **_origin_member(manifest),
        }
    )
    if len(data) > RECORD_LIMIT_BYTES:
        raise IntegrityError(f"the manifest of {manifest.backup_id} would exceed 64 KiB")
    return data


def decode_manifest(data: bytes, what: str) -> Manifest:
    """Read a manifest; ``what`` (its key) names it in an ``IntegrityError``."""
    fields = Fields.parse(data, what)
    snapshot, send, storage = (
        fields.nested("snapshot"),
        fields.nested("send"),
        fields.nested("storage"),
    )
    kind = _kind(fields)
    return Manifest(
        program=fields.text("program"),
        source_id=source_id_member(fields, "source_id"),
        backup_id=backup_id_member(fields, "backup_id"),
        kind=kind,
        parent=_parent(fields, kind),
        parent_manifest_sha256_hex=None
        if kind is Kind.FULL
        else fields.sha256("parent_manifest_sha256"),
        snapshot=SnapshotFacts(
            name=None if snapshot.absent("name") else snapshot.file_name("name"),
            uuid=snapshot.uuid("uuid"),
            parent_uuid=None if snapshot.absent("parent_uuid") else snapshot.uuid("parent_uuid"),
            received_uuid=None
            if snapshot.absent("received_uuid")
            else snapshot.uuid("received_uuid"),
            ctransid=snapshot.integer("ctransid"),
            otime=snapshot.time("otime"),
        ),
        stream=_stream(fields.nested("stream"), kind),
        protocol=send.integer("protocol", 1, 3),
        compressed_data=send.boolean("compressed_data"),
        kernel=send.text("kernel"),
        progs=send.text("progs"),
        raw_size_bytes=fields.integer("raw_size"),
        stored_size_bytes=fields.integer("stored_size"),
        chunk_count=fields.integer("chunk_count", 1),
        chunk_size_bytes=fields.integer("chunk_size", 1),
        index=_ref(fields.nested("index")),
        catalog=None if fields.absent("catalog") else _ref(fields.nested("catalog")),
        requests=fields.integers_by_name("requests"),
        started=fields.time("started"),
        finished=fields.time("finished"),
        data_class=storage.text("data", 64),
        metadata_class=storage.text("metadata", 64),
        lock=None if fields.absent("lock") else fields.texts_by_name("lock"),
        origin_repository_id=None
        if fields.absent("origin_repository_id")
        else fields.text("origin_repository_id", 64),
    )


def _origin_member(manifest: Manifest) -> dict[str, object]:
    """Only copies have it, so that all other manifests stay as they always were."""
    if manifest.origin_repository_id is None:
        return {}
    return {"origin_repository_id": manifest.origin_repository_id}


def encode_head(head: Head) -> bytes:
    """The bytes of a head."""
    return encode_line(
        {
            "format": FORMAT_VERSION,
            "source_id": str(head.source_id),
            "repository_id": head.repository_id,
            "sequence": head.sequence,
            "host_id": head.host_id,
            "host_name": head.host_name,
            "subvolume_uuid": str(head.subvolume_uuid),
            "writer": head.writer,
            "written": encode_time(head.written),
            "backups": [entry_members(entry) for entry in head.backups],
        }
    )


def decode_head(data: bytes, what: str) -> Head:
    """Read a head; ``what`` (its key) names it in an ``IntegrityError``."""
    fields = Fields.parse(data, what)
    entries = tuple(head_entry(item) for item in fields.objects("backups"))
    sequences = [entry.sequence for entry in entries]
    if sequences != sorted(set(sequences)):
        raise IntegrityError(f"{what}: the backups' sequence numbers do not grow")
    if len({entry.backup_id for entry in entries}) != len(entries):
        raise IntegrityError(f"{what}: a backup is listed twice")
    return Head(
        source_id=source_id_member(fields, "source_id"),
        repository_id=fields.text("repository_id", 64),
        sequence=fields.integer("sequence", sequences[-1] if sequences else 0),
        host_id=fields.text("host_id", 64),
        host_name=fields.text("host_name", 255),
        subvolume_uuid=fields.uuid("subvolume_uuid"),
        writer=fields.text("writer"),
        written=fields.time("written"),
        backups=entries,
    )


def entry_members(entry: HeadEntry) -> dict[str, object]:
    """The members of a live backup's entry, as local journals keep them too."""
    return {
        "id": str(entry.backup_id),
        "parent": _optional(entry.parent),
        "sequence": entry.sequence,
        "kind": entry.kind.value,
        "manifest_sha256": entry.manifest_sha256_hex,
        "stream": _stream_members(entry.stream),
        "snapshot": {
            "uuid": str(entry.snapshot_uuid),
            "ctransid": entry.snapshot_ctransid,
            "otime": encode_time(entry.snapshot_time),
        },
        "finished": encode_time(entry.finished),
        "raw_size": entry.raw_size_bytes,
        "stored_size": entry.stored_size_bytes,
        "chunk_count": entry.chunk_count,
        "data_class": entry.data_class,
        **_requests_member(entry.requests),
    }


def head_entry(fields: Fields) -> HeadEntry:
    """Read a live backup's entry; ``IntegrityError`` when it does not follow the format."""
    snapshot = fields.nested("snapshot")
    kind = _kind(fields)
    return HeadEntry(
        backup_id=backup_id_member(fields, "id"),
        parent=_parent(fields, kind),
        sequence=fields.integer("sequence", 1),
        kind=kind,
        manifest_sha256_hex=fields.sha256("manifest_sha256"),
        stream=_stream(fields.nested("stream"), kind),
        snapshot_uuid=snapshot.uuid("uuid"),
        snapshot_ctransid=snapshot.integer("ctransid"),
        snapshot_time=snapshot.time("otime"),
        finished=fields.time("finished"),
        raw_size_bytes=fields.integer("raw_size"),
        stored_size_bytes=fields.integer("stored_size"),
        chunk_count=fields.integer("chunk_count", 1),
        data_class=fields.text("data_class", 64),
        requests=None if fields.absent("requests") else _requests(fields.nested("requests")),
    )


def _requests_member(record: RequestRecord | None) -> dict[str, object]:
    """Absent where it is unknown, so that entries of older heads stay as they were written."""
    if record is None:
        return {}
    members = {
        "counts": dict(record.counts),
        "metadata_class": record.metadata_class,
        "metadata_objects": record.metadata_objects,
    }
    return {"requests": members}


def _requests(fields: Fields) -> RequestRecord:
    return RequestRecord(
        fields.integers_by_name("counts"),
        fields.text("metadata_class", 64),
        fields.integer("metadata_objects"),
    )


def _kind(fields: Fields) -> Kind:
    kind = _KINDS.get(fields.text("kind", 16))
    if kind is None:
        raise IntegrityError(f"{fields.what}: member 'kind' must be {' or '.join(_KINDS)}")
    return kind


def _parent(fields: Fields, kind: Kind) -> BackupId | None:
    if (kind is Kind.FULL) != fields.absent("parent"):
        raise IntegrityError(f"{fields.what}: a parent must be named exactly by increments")
    return None if kind is Kind.FULL else backup_id_member(fields, "parent")


def _stream_members(stream: StreamIdentity) -> dict[str, object]:
    return {
        "uuid": str(stream.uuid),
        "transid": stream.transid,
        "parent_uuid": _optional(stream.parent_uuid),
        "parent_transid": stream.parent_transid,
    }


def _stream(fields: Fields, kind: Kind) -> StreamIdentity:
    if kind is Kind.FULL:
        if not (fields.absent("parent_uuid") and fields.absent("parent_transid")):
            raise IntegrityError(f"{fields.what}: a full stream must not name a parent")
        return StreamIdentity(fields.uuid("uuid"), fields.integer("transid"))
    return StreamIdentity(
        fields.uuid("uuid"),
        fields.integer("transid"),
        fields.uuid("parent_uuid"),
        fields.integer("parent_transid"),
    )


def _ref_members(ref: ObjectRef) -> dict[str, object]:
    return {"key": ref.key, "size": ref.size_bytes, "sha256": ref.sha256_hex}


def _ref(fields: Fields) -> ObjectRef:
    return ObjectRef(fields.text("key", 1024), fields.integer("size"), fields.sha256("sha256"))


def _optional(value: object | None) -> str | None:
    return None if value is None else str(value)
