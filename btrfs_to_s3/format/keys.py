"""Where objects stand below the repository's prefix (docs/format.md §2)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.model.hold import NoteKey
from btrfs_to_s3.model.identity import BackupId, SourceId

REPOSITORY = "repository.json"
SOURCES = "sources/"
HEADS = "heads/"
MANIFESTS = "manifests/"
INDEXES = "indexes/"
CATALOGS = "catalogs/"
NOTES = "notes/"
CHUNKS = "chunks/"

_MAX_CHUNK_NUMBER = 99_999_999
_OF_BACKUP = re.compile(
    r"(?P<kind>manifests|indexes|catalogs|notes|chunks)/(?P<source>[^/]+)/(?P<backup>[^/.]+)[/.]"
)
_NOTE = re.compile(r"notes/[^/]+/[^/]+/(?P<time>\d{8}T\d{6}\.\d{6}Z)-(?P<what>[a-z0-9-]+)\.json")
_NOTE_TIME = "%Y%m%dT%H%M%S.%fZ"
_HEAD = re.compile(r"heads/(?P<source>[^/]+)/current\.json")
_RECORD = re.compile(r"sources/(?P<source>[^/]+)\.json")


def source(source_id: SourceId) -> str:
    """Key of a source's record."""
    return f"{SOURCES}{source_id}.json"


def head(source_id: SourceId) -> str:
    """Key of a source's head."""
    return f"{HEADS}{source_id}/current.json"


def manifest(source_id: SourceId, backup_id: BackupId) -> str:
    """Key of a backup's manifest."""
    return f"{MANIFESTS}{source_id}/{backup_id}.json"


def index(source_id: SourceId, backup_id: BackupId) -> str:
    """Key of a backup's index."""
    return f"{INDEXES}{source_id}/{backup_id}.jsonl.zst"


def chunks(source_id: SourceId, backup_id: BackupId) -> str:
    """Prefix of a backup's chunks."""
    return f"{CHUNKS}{source_id}/{backup_id}/"


def chunk(source_id: SourceId, backup_id: BackupId, number: int, attempt: str) -> str:
    """Key of one attempt at a chunk."""
    if not 0 <= number <= _MAX_CHUNK_NUMBER:
        raise UsageError(
            f"chunk {number} does not fit the format's eight digits", hint="use larger chunks"
        )
    return f"{chunks(source_id, backup_id)}{number:08d}-{attempt}.zst"


def notes(source_id: SourceId, backup_id: BackupId | None = None) -> str:
    """Prefix of the notes of a source's backups, or of one of them."""
    return f"{NOTES}{source_id}/" + ("" if backup_id is None else f"{backup_id}/")


def note(source_id: SourceId, backup_id: BackupId, time: datetime, what: str) -> str:
    """Key of a note about a backup."""
    utc = time.astimezone(UTC)
    return f"{notes(source_id, backup_id)}{utc:{_NOTE_TIME}}-{what}.json"


def note_of(key: str) -> NoteKey | None:
    """What a note's key says, None when it is not the key of a note."""
    match, found = _NOTE.fullmatch(key), owner(key)
    if match is None or found is None:
        return None
    try:
        time = datetime.strptime(match["time"], _NOTE_TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return NoteKey(found[1], time, match["what"])


def owner(key: str) -> tuple[SourceId, BackupId] | None:
    """Which backup an object belongs to, None when its key is not of that form."""
    match = _OF_BACKUP.match(key)
    if match is None:
        return None
    try:
        return SourceId.parse(match["source"]), BackupId.parse(match["backup"])
    except UsageError:
        return None


def source_of_head(key: str) -> SourceId | None:
    """Whose head a key is, None when it is not a head's key."""
    return _source_in(_HEAD, key)


def source_of_record(key: str) -> SourceId | None:
    """Whose record a key is, None when it is not a source record's key."""
    return _source_in(_RECORD, key)


def _source_in(pattern: re.Pattern[str], key: str) -> SourceId | None:
    match = pattern.fullmatch(key)
    if match is None:
        return None
    try:
        return SourceId.parse(match["source"])
    except UsageError:
        return None
