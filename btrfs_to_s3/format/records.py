"""``repository.json``, ``sources/<source-id>.json`` and notes (docs/format.md §3 and §6)."""

from __future__ import annotations

from btrfs_to_s3.errors import IntegrityError, UsageError
from btrfs_to_s3.format.jsonio import Fields, encode_line, encode_time
from btrfs_to_s3.model.backup import FORMAT_VERSION, Repository, SourceRecord
from btrfs_to_s3.model.hold import HoldAction, HoldNote
from btrfs_to_s3.model.identity import BackupId, SourceId

RECORD_LIMIT_BYTES = 64 * 1024
"""No record, and no manifest, is larger."""
HOLD_REASON_LIMIT = 1000
"""Characters of a hold's reason."""


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


def encode_hold_note(note: HoldNote) -> bytes:
    """The bytes of a ``hold`` or ``release`` note."""
    return encode_line(
        {
            "format": FORMAT_VERSION,
            "source_id": str(note.source_id),
            "backup_id": str(note.backup_id),
            "what": note.action.value,
            "time": encode_time(note.time),
            "writer": note.writer,
            "reason": note.reason,
        }
    )


def decode_hold_note(data: bytes, what: str) -> HoldNote:
    """Read a note; ``IntegrityError`` when it does not follow the format."""
    fields = Fields.parse(data, what)
    action = fields.text("what", 16)
    if action not in set(HoldAction):
        raise IntegrityError(f"{what}: {action!r} is no note of a hold")
    return HoldNote(
        source_id=source_id_member(fields, "source_id"),
        backup_id=backup_id_member(fields, "backup_id"),
        action=HoldAction(action),
        time=fields.time("time"),
        writer=fields.text("writer"),
        reason=None if fields.absent("reason") else fields.text("reason", HOLD_REASON_LIMIT),
    )


def source_id_member(fields: Fields, name: str) -> SourceId:
    """A member that holds a source id."""
    try:
        return SourceId.parse(fields.text(name, 80))
    except UsageError as error:
        raise IntegrityError(f"{fields.what}: {error}") from error


def backup_id_member(fields: Fields, name: str) -> BackupId:
    """A member that holds a backup id."""
    try:
        return BackupId.parse(fields.text(name, 80))
    except UsageError as error:
        raise IntegrityError(f"{fields.what}: {error}") from error
