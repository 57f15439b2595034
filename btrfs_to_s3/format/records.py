"""``repository.json`` and ``sources/<source-id>.json`` (docs/format.md §3)."""

from __future__ import annotations

from functools import lru_cache

from btrfs_to_s3.errors import IntegrityError, UsageError
from btrfs_to_s3.format.jsonio import Fields, encode_line, encode_time
from btrfs_to_s3.model.backup import FORMAT_VERSION, Repository, SourceRecord
from btrfs_to_s3.model.identity import BackupId, SourceId

RECORD_LIMIT_BYTES = 64 * 1024
"""No record, and no manifest, is larger."""


def encode_repository(repository: Repository) -> bytes:
    """The bytes of ``repository.json``."""
    return encode_line(
        {
            "format": FORMAT_VERSION,
            "repository_id": repository.repository_id,
            "created": encode_time(repository.created),
            "program": repository.program,
            "encryption": {"mode": repository.encryption},
        }
    )


def decode_repository(data: bytes) -> Repository:
    """Read ``repository.json``; ``IntegrityError`` when it does not follow the format."""
    fields = Fields.parse(data, "repository.json")
    return Repository(
        repository_id=fields.text("repository_id", 64),
        created=fields.time("created"),
        program=fields.text("program"),
        encryption=fields.nested("encryption").text("mode", 16),
    )


def encode_source(record: SourceRecord) -> bytes:
    """The bytes of a source's record."""
    return encode_line(
        {
            "format": FORMAT_VERSION,
            "source_id": str(record.source_id),
            "host_id": record.host_id,
            "host_name": record.host_name,
            "path": record.path,
            "subvolume_uuid": str(record.subvolume_uuid),
            "created": encode_time(record.created),
        }
    )


def decode_source(data: bytes, what: str) -> SourceRecord:
    """Read a source's record; ``IntegrityError`` when it does not follow the format."""
    fields = Fields.parse(data, what)
    return SourceRecord(
        source_id=source_id_member(fields, "source_id"),
        host_id=fields.text("host_id", 64),
        host_name=fields.text("host_name", 255),
        path=None if fields.absent("path") else fields.text("path"),
        subvolume_uuid=fields.uuid("subvolume_uuid"),
        created=fields.time("created"),
    )


@lru_cache(maxsize=4096)
def _backup_id(text: str) -> BackupId:
    """In a head most ids stand twice: as a backup's own and as its child's parent."""
    return BackupId.parse(text)


def source_id_member(fields: Fields, name: str) -> SourceId:
    """A member that holds a source id."""
    try:
        return SourceId.parse(fields.text(name, 80))
    except UsageError as error:
        raise IntegrityError(f"{fields.what}: {error}") from error


def backup_id_member(fields: Fields, name: str) -> BackupId:
    """A member that holds a backup id."""
    try:
        return _backup_id(fields.text(name, 80))
    except UsageError as error:
        raise IntegrityError(f"{fields.what}: {error}") from error
