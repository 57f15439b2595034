"""The chunks of one backup from one repository to another, as stored bytes.

Inside the service where it will do that; else downloaded and uploaded, every part checked on its
way. Threads: one feeder, ``concurrency`` workers with a chunk each. Memory: ``concurrency`` parts
of the size that the origin's index records, and a constant.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import secrets
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import (
    AccessDeniedError,
    BtrfsToS3Error,
    ConditionFailedError,
    IntegrityError,
    MissingObjectError,
    RepositoryError,
    UnreachableError,
)
from btrfs_to_s3.format import keys
from btrfs_to_s3.model.objects import Role, StoredObject
from btrfs_to_s3.operations.backup.transfer import ChunkTransfer, SendAgainError
from btrfs_to_s3.operations.repository.intact import read_intact
from btrfs_to_s3.stream.buffers import Buffer
from btrfs_to_s3.stream.cancel import DeadlineCancellation
from btrfs_to_s3.stream.chunks import ChunkShape, Part
from btrfs_to_s3.stream.pump import Channel, Pump

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from btrfs_to_s3.model.backup import ChunkRecord
    from btrfs_to_s3.model.objects import UploadedPart
    from btrfs_to_s3.operations.backup.upload import UploadTarget
    from btrfs_to_s3.operations.backup.upload_journal import KnownChunk, UploadJournal
    from btrfs_to_s3.ports import Cancellation, ObjectStore, Reporter

SINGLE_COPY_LIMIT_BYTES = 5 * 1024**3
"""S3 API, CopyObject: the largest object that one request copies."""
_CLEAN_UP_S = 3.0
_log = logging.getLogger(__name__)


class ChunkCopies:
    """Copies a backup's chunks. ``run`` once; then ``inside`` says whether the service did it."""

    def __init__(
        self,
        origin: ObjectStore,
        store: ObjectStore,
        target: UploadTarget,
        journal: UploadJournal,
        concurrency: int,
        reporter: Reporter,
        cancel: Cancellation,
        single_copy_limit_bytes: int = SINGLE_COPY_LIMIT_BYTES,
    ) -> None:
        self.inside: bool | None = None
        self._target = target
        self._journal = journal
        self._concurrency = concurrency
        self._reporter = reporter
        self._limit = single_copy_limit_bytes
        self._pump = Pump(cancel)
        self._origin = origin.bound(self._pump.cancel)
        self._base_store = store
        self._store = store.bound(self._pump.cancel)
        self._todo: Channel[ChunkRecord] = self._pump.channel(1)
        self._refused = False
        self._unfinished: dict[str, str] = {}

    def run(self, chunks: Iterable[ChunkRecord], known: Mapping[int, KnownChunk]) -> None:
        """Copy all but those ``known``; each is journalled when its object is there.

        ``IntegrityError``, ``MissingObjectError``, ``NotReadableYetError`` of the origin; errors
        of either service. Whatever is raised leaves the journal fit to go on from.
        """
        self._pump.start("feeder", lambda: self._feed(chunks, known))
        for number in range(self._concurrency):
            self._pump.start(f"copy-{number}", self._work)
        try:
            self._pump.run()
        except BaseException:
            self._abort_unfinished()
            raise

    def _feed(self, chunks: Iterable[ChunkRecord], known: Mapping[int, KnownChunk]) -> None:
        for record in chunks:
            if record.number in known:
                self._reporter.advance(record.raw_size_bytes, 0, 1)
            else:
                self._todo.put(record)
        self._todo.close()

    def _work(self) -> None:
        for record in self._todo:
            copied = self._inside(record)
            if copied is None:
                copied = self._retried(record)
            self._journal.chunk_stored(copied)
            self._reporter.advance(record.raw_size_bytes, record.stored_size_bytes, 1)

    def _key(self, record: ChunkRecord, attempt: str | None = None) -> str:
        target = self._target
        name = attempt or target.attempt
        return keys.chunk(target.source_id, target.backup_id, record.number, name)

    def _inside(self, record: ChunkRecord) -> ChunkRecord | None:
        """Have the service copy it; None where it cannot, which is asked once."""
        source = self._origin.copy_source(record.key, record.etag, record.version_id)
        if self._refused or not self._store.copies_from(source):
            return None
        try:
            if record.stored_size_bytes <= self._limit:
                stored = self._copy_whole(record)
            else:
                stored = self._copy_parts(record)
        except UnreachableError:
            raise
        except (RepositoryError, MissingObjectError) as error:
            self._refused = True
            level = logging.INFO if isinstance(error, AccessDeniedError) else logging.WARNING
            _log.log(level, "the service does not copy inside itself: %s", error)
            return None
        self.inside = self.inside is not False
        return _record(record, stored)

    def _copy_whole(self, record: ChunkRecord) -> StoredObject:
        source = self._origin.copy_source(record.key, record.etag, record.version_id)
        state = self._store.copy(self._key(record), source, Role.DATA)
        told = state.sha256_hex
        if state.size_bytes != record.stored_size_bytes or told not in (
            None,
            record.stored_sha256_hex,
        ):
            raise IntegrityError(
                f"the service copied {record.key}, but {state.key} is not the same",
                hint="run 'btrfs-to-s3 verify --level data' on the repository copied from",
                key=record.key,
            )
        return StoredObject(state.key, state.size_bytes, state.etag, state.version_id)

    def _copy_parts(self, record: ChunkRecord) -> StoredObject:
        """Ranges as the index records them, so that their digests are known to the service."""
        key = self._key(record)
        source = self._origin.copy_source(record.key, record.etag, record.version_id)
        upload_id = self._store.create_upload(key, Role.DATA)
        self._unfinished[key] = upload_id
        self._journal.upload_started(key, upload_id)
        parts: list[UploadedPart] = []
        for number, sha256_hex in enumerate(record.part_sha256_hex):
            offset = number * record.part_size_bytes
            size = min(record.part_size_bytes, record.stored_size_bytes - offset)
            parts.append(
                self._store.copy_part(
                    key,
                    upload_id,
                    number + 1,
                    source,
                    offset=offset,
                    size_bytes=size,
                    sha256=bytes.fromhex(sha256_hex),
                )
            )
        stored = self._store.complete_upload(key, upload_id, parts, record.stored_size_bytes)
        del self._unfinished[key]
        return stored

    def _retried(self, record: ChunkRecord) -> ChunkRecord:
        """Download and upload, once more under another key after a conflict."""
        self.inside = False
        try:
            return self._through(record, self._key(record))
        except SendAgainError as error:
            _log.info("chunk %d is copied again: %s", record.number, error)
        attempt = secrets.token_hex(4)
        self._journal.attempt(attempt)
        key = self._key(record, attempt)
        try:
            return self._through(record, key)
        except SendAgainError as error:
            raise ConditionFailedError(f"{key} exists already", key=key) from error

    def _through(self, record: ChunkRecord, key: str) -> ChunkRecord:
        """Download and upload, part by part."""
        if key in self._unfinished:
            self._abort(key)
        transfer = ChunkTransfer(self._store, self._journal, record.number, record.raw_offset, key)
        shape = ChunkShape(
            record.stored_size_bytes,
            record.stored_sha256_hex,
            record.part_sha256_hex,
            record.frame_sizes_bytes,
        )
        transfer.close(shape, record.raw_size_bytes, record.raw_sha256_hex)
        buffer = Buffer(min(record.part_size_bytes, record.stored_size_bytes))
        done: ChunkRecord | None = None
        try:
            for number in range(len(record.part_sha256_hex)):
                read_intact(partial(self._read, record, number, buffer))
                digest = bytes.fromhex(record.part_sha256_hex[number])
                alone = len(record.part_sha256_hex) == 1
                part = Part(number + 1, buffer, digest, alone)
                done = transfer.send(part, record.part_size_bytes)
        except BaseException:
            if transfer.upload_id is not None:
                self._unfinished[key] = transfer.upload_id
            raise
        if done is None:
            raise AssertionError("the last part completes the chunk")
        return done

    def _read(self, record: ChunkRecord, number: int, buffer: Buffer) -> None:
        offset = number * record.part_size_bytes
        buffer.used = min(record.part_size_bytes, record.stored_size_bytes - offset)
        self._origin.get_into(record.key, buffer.view, offset=offset, version_id=record.version_id)
        if hashlib.sha256(buffer.view).hexdigest() != record.part_sha256_hex[number]:
            raise IntegrityError(
                f"{record.key}: part {number + 1} is damaged: it does not have the SHA-256 that "
                "the index records",
                hint="'btrfs-to-s3 verify --level data' says which backups can be copied",
                key=record.key,
            )

    def _abort(self, key: str) -> None:
        store = self._base_store.bound(DeadlineCancellation(_CLEAN_UP_S))
        with contextlib.suppress(BtrfsToS3Error):
            store.abort_upload(key, self._unfinished.pop(key))

    def _abort_unfinished(self) -> None:
        for key in list(self._unfinished):
            # The journal names the upload too, so the next run tries again.
            self._abort(key)


def _record(record: ChunkRecord, stored: StoredObject) -> ChunkRecord:
    return replace(record, key=stored.key, etag=stored.etag, version_id=stored.version_id)
