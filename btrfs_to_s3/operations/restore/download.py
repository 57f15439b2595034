"""Chunks become the stream again: download ahead, check, decode, check, hand over (design §4).

Threads: one feeder, ``concurrency`` downloaders, one decoder, one writer. Memory:
``(concurrency + 2) * part size + 6 * 4 MiB`` and a constant; never the size of a chunk or of the
stream. The sink gets no byte whose part did
not have the SHA-256 that the index records.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError, NotReadableYetError
from btrfs_to_s3.format.trailer import Trailer, decode_trailer
from btrfs_to_s3.operations.repository.intact import read_intact
from btrfs_to_s3.stream.buffers import Buffer, BufferPool
from btrfs_to_s3.stream.chunks import ChunkDecoder
from btrfs_to_s3.stream.commands import StreamFacts, StreamInspector
from btrfs_to_s3.stream.pump import Channel, OrderedPool, Pump

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from btrfs_to_s3.model.backup import ChunkRecord, Manifest
    from btrfs_to_s3.ports import Cancellation, ObjectStore, Reporter

_DECODED_BLOCKS = 4
"""Raw frames that may wait for the sink."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One ranged GET into a buffer."""

    chunk: ChunkRecord
    number: int
    last: bool
    buffer: Buffer


class Download:
    """One pass over a backup's chunks into ``sink``. ``run`` once.

    ``sink`` is called on one thread with raw bytes in order. ``unblock`` ends a sink that hangs;
    it is called when the transfer is cancelled. ``thaw_again`` returns once a chunk that the
    service refused as archived can be read; without it that is an error.
    """

    def __init__(
        self,
        manifest: Manifest,
        chunks: Iterable[ChunkRecord],
        store: ObjectStore,
        repository_id: str,
        concurrency: int,
        reporter: Reporter,
        cancel: Cancellation,
        thaw_again: Callable[[ChunkRecord, Cancellation], None] | None = None,
    ) -> None:
        self._thaw_again = thaw_again
        self._manifest = manifest
        self._chunks = chunks
        self._repository_id = manifest.origin_repository_id or repository_id
        self._reporter = reporter
        self._pump = Pump(cancel)
        self._store = store.bound(self._pump.cancel)
        self._inspector = StreamInspector(IntegrityError)
        self._fetched: OrderedPool[_Part, _Part] = OrderedPool(
            self._pump, "download", concurrency, self._fetch, concurrency + 1
        )
        self._buffers = BufferPool(concurrency + 2, 0, self._pump.cancel)
        self._raw: Channel[bytes] = self._pump.channel(_DECODED_BLOCKS)

    def run(self, sink: Callable[[bytes], None], unblock: Callable[[], None]) -> StreamFacts:
        """Feed the whole verified stream to ``sink``.

        ``IntegrityError`` (with the chunk's key) at the first byte that is not what was stored,
        ``MissingObjectError``, ``NotReadableYetError``; or whatever the sink raised. That the
        stream is the manifest's is known before the first byte, that it is whole only when this
        returns.
        """
        self._pump.start("feeder", self._feed)
        self._pump.start("decoder", self._decode)
        self._pump.start("writer", lambda: self._write(sink))
        self._pump.on_cancel(unblock)
        self._pump.run()
        self._inspector.finish()
        return self._inspector.result()

    def _feed(self) -> None:
        for chunk in self._chunks:
            last = len(chunk.part_sha256_hex) - 1
            for number in range(last + 1):
                buffer = self._buffers.acquire(chunk.part_size_bytes)
                self._fetched.submit(_Part(chunk, number, number == last, buffer))
        self._fetched.close()

    def _fetch(self, part: _Part) -> _Part:
        while True:
            try:
                read_intact(lambda: self._read(part))
            except NotReadableYetError:
                if self._thaw_again is None:
                    raise
                self._thaw_again(part.chunk, self._pump.cancel)
            else:
                return part

    def _read(self, part: _Part) -> None:
        chunk, buffer = part.chunk, part.buffer
        offset = part.number * chunk.part_size_bytes
        buffer.used = min(chunk.part_size_bytes, chunk.stored_size_bytes - offset)
        self._store.get_into(chunk.key, buffer.view, offset=offset, version_id=chunk.version_id)
        if hashlib.sha256(buffer.view).hexdigest() != chunk.part_sha256_hex[part.number]:
            raise IntegrityError(
                f"{chunk.key}: part {part.number + 1} is damaged: it does not have the SHA-256 "
                "that the index records",
                key=chunk.key,
            )

    def _decode(self) -> None:
        decoder: ChunkDecoder | None = None
        for fetched in self._fetched:
            chunk = fetched.chunk
            if decoder is None:
                decoder = ChunkDecoder(
                    chunk.frame_sizes_bytes, chunk.raw_size_bytes, chunk.raw_sha256_hex, chunk.key
                )
            size = fetched.buffer.used
            for raw in decoder.update(fetched.buffer.view):
                self._raw.put(raw)
            self._buffers.release(fetched.buffer)
            if fetched.last:
                decoder.finish()
                self._check_place(chunk, decoder.result())
                decoder = None
            self._reporter.advance(0, size, int(fetched.last))
        self._raw.close()

    def _check_place(self, chunk: ChunkRecord, trailer: bytes) -> None:
        found = decode_trailer(trailer, chunk.key)
        expected = Trailer(
            repository_id=self._repository_id,
            backup_id=str(self._manifest.backup_id),
            name=self._manifest.snapshot.name or found.name,
            number=chunk.number,
            raw_offset=chunk.raw_offset,
            raw_size_bytes=chunk.raw_size_bytes,
            raw_sha256_hex=chunk.raw_sha256_hex,
        )
        if found != expected:
            raise IntegrityError(
                f"{chunk.key} belongs to another place than the index says", key=chunk.key
            )

    def _write(self, sink: Callable[[bytes], None]) -> None:
        checked = False
        for raw in self._raw:
            self._inspector.update(raw)
            if not checked:
                self._require_identity(self._inspector.result())
                checked = True
            sink(raw)
            self._reporter.advance(len(raw), 0, 0)

    def _require_identity(self, facts: StreamFacts) -> None:
        """The first frame always holds the whole first command: it is far below 4 MiB."""
        manifest = self._manifest
        names = {facts.name, manifest.snapshot.name or facts.name}
        if facts.identity != manifest.stream or len(names) > 1:
            raise IntegrityError(
                f"the stream of {manifest.backup_id} is not the one its manifest describes"
            )
