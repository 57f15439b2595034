"""Reading every byte of a backup as a restore would, and dropping it."""

from __future__ import annotations

import hashlib
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError, NotReadableYetError
from btrfs_to_s3.format import keys
from btrfs_to_s3.operations.repository.index import StoredIndex
from btrfs_to_s3.operations.repository.intact import read_intact
from btrfs_to_s3.operations.repository.pieces import pieces
from btrfs_to_s3.operations.restore.download import Download
from btrfs_to_s3.operations.verify.records import problem_of
from btrfs_to_s3.operations.verify.report import Problem, Raw
from btrfs_to_s3.stream.pump import OrderedPool, Pump

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import ChunkRecord, Manifest
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.operations.verify.report import Counts, Findings
    from btrfs_to_s3.ports import ObjectStore, Reporter

_ReadError = IntegrityError | NotReadableYetError


class DataCheck:
    """Downloads one backup after another. Memory: ``(concurrency + 2)`` parts and a few frames."""

    def __init__(
        self, services: Services, found: Findings, counts: Counts, concurrency: int
    ) -> None:
        self._services = services
        self._store = services.access.store.bound(services.cancel)
        self._found = found
        self._counts = counts
        self._concurrency = concurrency

    def check(self, manifest: Manifest) -> None:
        """Read the whole backup; every damaged chunk of it becomes a finding."""
        reporter = self._services.reporter
        reporter.begin(str(manifest.backup_id), "verify", manifest.raw_size_bytes)
        try:
            with StoredIndex(self._store, self._services.state, manifest) as index:
                self._stream(manifest, index)
            self._catalog(manifest)
        except (IntegrityError, NotReadableYetError) as error:
            problem, key = problem_of(error, Problem.INDEX), manifest.index.key
            self._found.add(Raw(problem, manifest.backup_id, key, error.message))
        finally:
            reporter.end()

    def _stream(self, manifest: Manifest, index: StoredIndex) -> None:
        """All digests, the trailers, the stream's identity and its END."""
        progress = _Progress(self._services.reporter)
        download = Download(
            manifest,
            index.chunks(),
            self._services.access.store,
            self._services.access.repository_id,
            self._concurrency,
            progress,
            self._services.cancel,
        )
        try:
            download.run(lambda _: None, lambda: None)
        except (IntegrityError, NotReadableYetError) as error:
            self._rest(manifest, index, progress.chunks)
            self._add(manifest, error)
        finally:
            self._counts.bytes_checked += progress.stored_bytes

    def _rest(self, manifest: Manifest, index: StoredIndex, done: int) -> None:
        """After a fault: the stored digests of every chunk behind the last good one."""
        pump = Pump(self._services.cancel)
        store = self._services.access.store.bound(pump.cancel)
        results: OrderedPool[ChunkRecord, tuple[int, _ReadError | None]] = OrderedPool(
            pump, "verify", self._concurrency, lambda chunk: _read(chunk, store), self._concurrency
        )

        def feed() -> None:
            for chunk in islice(index.chunks(), done, None):
                results.submit(chunk)
            results.close()

        def judge() -> None:
            for read_bytes, error in results:
                self._counts.bytes_checked += read_bytes
                self._services.reporter.advance(0, read_bytes, 1)
                if error is not None:
                    self._add(manifest, error)

        pump.start("feeder", feed)
        pump.start("judge", judge)
        pump.run()

    def _add(self, manifest: Manifest, error: _ReadError) -> None:
        backup_id = manifest.backup_id
        if isinstance(error, NotReadableYetError):
            message = f"chunks of {backup_id} lie in an archive class ({manifest.data_class})"
            advice = "thaw it (btrfs-to-s3 thaw), then verify it again"
            place = keys.chunks(manifest.source_id, backup_id)  # one finding for all of them
            self._found.add(Raw(Problem.NOT_READABLE_YET, backup_id, place, message, advice))
            return
        key = error.context.get("key")
        if isinstance(key, str):
            self._found.add(Raw(Problem.CHUNK_DAMAGED, backup_id, key, error.message))
        else:
            self._found.add(Raw(Problem.STREAM, backup_id, None, error.message))

    def _catalog(self, manifest: Manifest) -> None:
        ref = manifest.catalog
        if ref is None:
            return
        digest = hashlib.sha256()
        try:
            for piece in pieces(self._store, ref):
                digest.update(piece)
        except (IntegrityError, NotReadableYetError) as error:
            problem = problem_of(error, Problem.CATALOG)
            self._found.add(Raw(problem, manifest.backup_id, ref.key, error.message))
            return
        if digest.hexdigest() != ref.sha256_hex:
            message = f"{ref.key} does not have the SHA-256 that its manifest records"
            self._found.add(Raw(Problem.CATALOG, manifest.backup_id, ref.key, message))


class _Progress:
    """Passes on what a download reports, and counts it.

    ``chunks`` are the first ones, in order, that were wholly checked.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.chunks = 0
        self.stored_bytes = 0

    def advance(self, raw_bytes: int, stored_bytes: int, chunks: int) -> None:
        """Called by the decoder for stored bytes, by the writer for raw ones."""
        self.chunks += chunks
        self.stored_bytes += stored_bytes
        self._reporter.advance(raw_bytes, stored_bytes, chunks)

    def begin(self, subject: str, activity: str, expected_bytes: int | None) -> None:
        self._reporter.begin(subject, activity, expected_bytes)

    def activity(self, text: str) -> None:
        self._reporter.activity(text)

    def note(self, text: str) -> None:
        self._reporter.note(text)

    def warn(self, text: str) -> None:
        self._reporter.warn(text)

    def end(self) -> None:
        self._reporter.end()


def _read(chunk: ChunkRecord, store: ObjectStore) -> tuple[int, _ReadError | None]:
    """The stored bytes of a chunk that were right, and what stopped the reading."""
    read_bytes = 0
    try:
        for number in range(len(chunk.part_sha256_hex)):
            read_bytes += read_intact(partial(_read_part, chunk, number, store))
    except (IntegrityError, NotReadableYetError) as error:
        return read_bytes, error
    return read_bytes, None


def _read_part(chunk: ChunkRecord, number: int, store: ObjectStore) -> int:
    """The size of a part whose bytes are right."""
    offset = number * chunk.part_size_bytes
    size = min(chunk.part_size_bytes, chunk.stored_size_bytes - offset)
    data = store.get(chunk.key, offset=offset, size_bytes=size, version_id=chunk.version_id)
    if hashlib.sha256(data).hexdigest() != chunk.part_sha256_hex[number]:
        message = f"{chunk.key}: part {number + 1} does not have its recorded SHA-256"
        raise IntegrityError(message, key=chunk.key)
    return size
