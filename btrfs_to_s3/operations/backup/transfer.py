"""One chunk on its way up: its parts, its multipart upload, and the line the index gets."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import ConditionFailedError
from btrfs_to_s3.model.backup import ChunkRecord
from btrfs_to_s3.model.objects import Create, Role

if TYPE_CHECKING:
    from btrfs_to_s3.model.objects import StoredObject, UploadedPart
    from btrfs_to_s3.operations.backup.upload_journal import UploadJournal
    from btrfs_to_s3.ports import ObjectStore
    from btrfs_to_s3.stream.chunks import ChunkShape, Part


class SendAgainError(Exception):
    """The stream must be sent once more; what is already stored is reused."""


class ChunkTransfer:
    """Sends the parts of one chunk from any thread and completes the object after the last one.

    ``close`` must be called before the last part is handed to ``send``. The upload id is journalled
    before the first part is sent, the finished chunk after its object exists.
    """

    def __init__(
        self, store: ObjectStore, journal: UploadJournal, number: int, raw_offset: int, key: str
    ) -> None:
        self.key = key
        self.upload_id: str | None = None
        self._store = store
        self._journal = journal
        self._number = number
        self._raw_offset = raw_offset
        self._lock = threading.Lock()
        self._sent: dict[int, UploadedPart] = {}
        self._shape: ChunkShape | None = None
        self._raw_size = 0
        self._raw_sha256_hex = ""

    def close(self, shape: ChunkShape, raw_size_bytes: int, raw_sha256_hex: str) -> None:
        """Say how the chunk ends."""
        self._raw_size, self._raw_sha256_hex = raw_size_bytes, raw_sha256_hex
        self._shape = shape

    def send(self, part: Part, part_size_bytes: int) -> ChunkRecord | None:
        """Send one part; the chunk's record once its object is complete, else None.

        ``SendAgainError`` when the service reports a conflict for the finished object.
        """
        body = part.buffer.view
        try:
            if part.alone:
                stored = self._store.put(
                    self.key, body, sha256=part.sha256, role=Role.DATA, condition=Create.ONLY_NEW
                )
            else:
                sent = self._store.upload_part(
                    self.key, self._open(), part.number, body, part.sha256
                )
                if not self._is_last(sent):
                    return None
                stored = self._complete()
        except ConditionFailedError as error:
            raise SendAgainError(str(error)) from error
        return self._record(stored, part_size_bytes)

    def _open(self) -> str:
        with self._lock:
            if self.upload_id is None:
                self.upload_id = self._store.create_upload(self.key, Role.DATA)
                self._journal.upload_started(self.key, self.upload_id)
            return self.upload_id

    def _is_last(self, sent: UploadedPart) -> bool:
        with self._lock:
            self._sent[sent.number] = sent
            return self._shape is not None and len(self._sent) == len(self._shape.part_sha256_hex)

    def _complete(self) -> StoredObject:
        if self._shape is None or self.upload_id is None:
            raise AssertionError("completed before it was closed")
        parts = [self._sent[number] for number in sorted(self._sent)]
        stored = self._store.complete_upload(
            self.key, self.upload_id, parts, self._shape.stored_size_bytes
        )
        self.upload_id = None
        return stored

    def _record(self, stored: StoredObject, part_size_bytes: int) -> ChunkRecord:
        shape = self._shape
        if shape is None:
            raise AssertionError("recorded before it was closed")
        return ChunkRecord(
            number=self._number,
            key=self.key,
            raw_offset=self._raw_offset,
            raw_size_bytes=self._raw_size,
            raw_sha256_hex=self._raw_sha256_hex,
            stored_size_bytes=shape.stored_size_bytes,
            stored_sha256_hex=shape.stored_sha256_hex,
            etag=stored.etag,
            version_id=stored.version_id,
            part_size_bytes=part_size_bytes,
            part_sha256_hex=shape.part_sha256_hex,
            frame_sizes_bytes=shape.frame_sizes_bytes,
        )
