"""The journal of one source's upload: what is stored already, so that a later run can go on.

Lines, each with its time ``at``: ``begin`` (which snapshot, sent how), ``attempt`` (before its
first write), ``upload`` (a multipart upload was started), ``chunk`` (an object exists; its index
line), ``mismatch`` (a chunk from this number on was not what it should be: nothing from there on
is reused) and ``sealed`` (the manifest that is about to be written).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.format.index import chunk_members, chunk_record
from btrfs_to_s3.format.jsonio import Fields, encode_time
from btrfs_to_s3.format.records import backup_id_member
from btrfs_to_s3.model.subvolume import SendOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from uuid import UUID

    from btrfs_to_s3.model.backup import ChunkRecord
    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.ports import Journal

_WHAT = "the upload journal"


@dataclass(frozen=True, slots=True)
class UploadBegin:
    """What is being uploaded: enough to send exactly the same stream again."""

    backup_id: BackupId
    parent: BackupId | None
    snapshot_uuid: UUID
    snapshot_ctransid: int
    parent_uuid: UUID | None
    chunk_size_bytes: int
    options: SendOptions
    started: datetime


@dataclass(frozen=True, slots=True)
class KnownChunk:
    """A stored chunk that may be reused if the raw bytes turn out the same."""

    number: int
    key: str
    etag: str
    stored_size_bytes: int
    stored_sha256_hex: str
    raw_size_bytes: int
    raw_sha256_hex: str


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """What the journal tells. Memory: about 300 bytes a chunk, whatever its size."""

    begin: UploadBegin
    chunks: dict[int, KnownChunk]
    uploads: tuple[tuple[str, str], ...]
    sealed: bytes | None
    touched: datetime


class UploadJournal:
    """Typed access to one upload's journal."""

    def __init__(self, journal: Journal, clock: Callable[[], datetime]) -> None:
        self._journal = journal
        self._clock = clock

    def read(self) -> OpenUpload | None:
        """What an earlier run left, None when there is nothing to go on from."""
        begin: UploadBegin | None = None
        chunks: dict[int, KnownChunk] = {}
        uploads: list[tuple[str, str]] = []
        sealed: bytes | None = None
        touched: datetime | None = None
        for fields in self._lines():
            what = fields.text("what")
            touched = fields.time("at")
            if what == "begin":
                begin = _begin(fields)
            elif what == "upload":
                uploads.append((fields.text("key"), fields.text("upload_id")))
            elif what == "chunk":
                known = _known(chunk_record(fields))
                chunks[known.number] = known
            elif what == "mismatch":
                first = fields.integer("n")
                chunks = {number: known for number, known in chunks.items() if number < first}
            elif what == "sealed":
                sealed = fields.text("manifest", 128 * 1024).encode()
        if begin is None or touched is None:
            return None
        return OpenUpload(begin, chunks, tuple(uploads), sealed, touched)

    def begin(self, begin: UploadBegin) -> None:
        """Start a journal."""
        self._append(
            {
                "what": "begin",
                "backup_id": str(begin.backup_id),
                "parent": None if begin.parent is None else str(begin.parent),
                "snapshot_uuid": str(begin.snapshot_uuid),
                "snapshot_ctransid": begin.snapshot_ctransid,
                "parent_uuid": None if begin.parent_uuid is None else str(begin.parent_uuid),
                "chunk_size": begin.chunk_size_bytes,
                "protocol": begin.options.protocol,
                "compressed_data": begin.options.compressed_data,
                "started": encode_time(begin.started),
            }
        )

    def attempt(self, attempt: str) -> None:
        """Note an attempt's name before its first write."""
        self._append({"what": "attempt", "attempt": attempt})

    def upload_started(self, key: str, upload_id: str) -> None:
        """Note a multipart upload before its first part."""
        self._append({"what": "upload", "key": key, "upload_id": upload_id})

    def chunk_stored(self, record: ChunkRecord) -> None:
        """Note a chunk whose object exists."""
        self._append({"what": "chunk", **chunk_members(record)})

    def reuse_none_from(self, number: int) -> None:
        """Note that no chunk from this number on may be reused."""
        self._append({"what": "mismatch", "n": number})

    def seal(self, manifest: bytes) -> None:
        """Note the manifest's bytes before index and manifest are written."""
        self._append({"what": "sealed", "manifest": manifest.decode()})

    def remove(self) -> None:
        """The upload is committed or given up."""
        self._journal.remove()

    def records_in_order(self) -> Iterator[ChunkRecord]:
        """The index's lines in chunk order.

        Reads the journal twice. Memory: 100 bytes a chunk, and the few records that finished
        before a lower-numbered one.
        """
        valid = self._last_lines()
        waiting: list[tuple[int, int]] = []
        held: dict[int, ChunkRecord] = {}
        expected = 0
        for line, fields in enumerate(self._lines()):
            if fields.text("what") != "chunk":
                continue
            record = chunk_record(fields)
            if valid.get(record.number) != line:
                continue
            heapq.heappush(waiting, (record.number, line))
            held[record.number] = record
            while waiting and waiting[0][0] == expected:
                heapq.heappop(waiting)
                yield held.pop(expected)
                expected += 1
        if waiting:
            raise IntegrityError(f"{_WHAT} lacks chunk {expected}")

    def _last_lines(self) -> dict[int, int]:
        """The line that counts for each chunk number."""
        valid: dict[int, int] = {}
        for line, fields in enumerate(self._lines()):
            what = fields.text("what")
            if what == "chunk":
                valid[fields.integer("n")] = line
            elif what == "mismatch":
                first = fields.integer("n")
                valid = {number: kept for number, kept in valid.items() if number < first}
        return valid

    def _append(self, record: dict[str, object]) -> None:
        self._journal.append({**record, "at": encode_time(self._clock())})

    def _lines(self) -> Iterator[Fields]:
        for record in self._journal.records():
            yield Fields(record, _WHAT)


def _begin(fields: Fields) -> UploadBegin:
    return UploadBegin(
        backup_id=backup_id_member(fields, "backup_id"),
        parent=None if fields.absent("parent") else backup_id_member(fields, "parent"),
        snapshot_uuid=fields.uuid("snapshot_uuid"),
        snapshot_ctransid=fields.integer("snapshot_ctransid"),
        parent_uuid=None if fields.absent("parent_uuid") else fields.uuid("parent_uuid"),
        chunk_size_bytes=fields.integer("chunk_size", 1),
        options=SendOptions(fields.integer("protocol"), fields.boolean("compressed_data")),
        started=fields.time("started"),
    )


def _known(record: ChunkRecord) -> KnownChunk:
    return KnownChunk(
        number=record.number,
        key=record.key,
        etag=record.etag,
        stored_size_bytes=record.stored_size_bytes,
        stored_sha256_hex=record.stored_sha256_hex,
        raw_size_bytes=record.raw_size_bytes,
        raw_sha256_hex=record.raw_sha256_hex,
    )
