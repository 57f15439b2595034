"""One stream becomes chunks: read, digest, compress, cut, upload (design §4).

Threads: one reader, one digester, ``compression_threads`` compressors, one assembler,
``concurrency`` uploaders. The reader only reads: while it does anything else, the pipe fills and
``btrfs send`` stands still.
Memory: ``(concurrency + 2) * part size + (compression_threads + 3) * 2 * 4 MiB`` and a constant;
never the size of the stream or of a chunk. Uploads that share a stream each take as much
(``operations.shared_send``).
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import BtrfsToS3Error, SendError
from btrfs_to_s3.format import keys
from btrfs_to_s3.format.trailer import TRAILER_LIMIT_BYTES, Trailer, encode_trailer
from btrfs_to_s3.model.backup import FRAME_SIZE_BYTES
from btrfs_to_s3.operations.backup.transfer import ChunkTransfer, SendAgainError
from btrfs_to_s3.stream.buffers import Buffer, BufferPool
from btrfs_to_s3.stream.cancel import DeadlineCancellation
from btrfs_to_s3.stream.chunks import ChunkEncoder, Part, part_size_for
from btrfs_to_s3.stream.commands import StreamFacts, StreamInspector
from btrfs_to_s3.stream.frames import FrameCompressor
from btrfs_to_s3.stream.pump import Channel, OrderedPool, Pump

if TYPE_CHECKING:
    from collections.abc import Mapping

    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.operations.backup.upload_journal import KnownChunk, UploadJournal
    from btrfs_to_s3.ports import Cancellation, ObjectStore, Reporter, SendStream

_CLEAN_UP_S = 3.0
"""How long a failed upload may take to abort its multipart uploads; the journal knows the rest."""


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """How a stream is cut, compressed and sent. Sizes in bytes."""

    chunk_size_bytes: int
    part_size_bytes: int
    compression_level: int
    compression_threads: int
    concurrency: int


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """Which backup the chunks belong to; ``attempt`` is journalled before it is used."""

    repository_id: str
    source_id: SourceId
    backup_id: BackupId
    attempt: str


@dataclass(frozen=True, slots=True)
class _Block:
    """Raw bytes of one frame-to-be, and the number of the chunk they belong to.

    The last one of a stream is empty when the stream ends where a chunk does.
    """

    number: int
    buffer: Buffer
    ends_chunk: bool
    ends_stream: bool


@dataclass(frozen=True, slots=True)
class _Frame:
    """A compressed block."""

    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _ChunkEnd:
    """The raw end of a chunk, as the digester saw it."""

    number: int
    raw_size_bytes: int
    raw_sha256_hex: str


class Upload:
    """One pass of a stream. ``run`` once.

    Afterwards ``reused_bytes`` and ``reused_chunks`` tell what was not sent.
    """

    def __init__(
        self,
        target: UploadTarget,
        settings: UploadSettings,
        store: ObjectStore,
        journal: UploadJournal,
        reusable: Mapping[int, KnownChunk],
        reporter: Reporter,
        cancel: Cancellation,
    ) -> None:
        self.reused_bytes = 0
        self.reused_chunks = 0
        self._target = target
        self._settings = settings
        self._part_size = part_size_for(
            settings.chunk_size_bytes, settings.part_size_bytes, TRAILER_LIMIT_BYTES
        )
        self._base_store = store
        self._journal = journal
        self._reusable = reusable
        self._reporter = reporter
        self._pump = Pump(cancel)
        self._store = store.bound(self._pump.cancel)
        self._inspector = StreamInspector(SendError)
        self._compressor = FrameCompressor(settings.compression_level)
        threads = settings.compression_threads
        self._blocks = BufferPool(threads + 3, FRAME_SIZE_BYTES, self._pump.cancel)
        self._buffers = BufferPool(settings.concurrency + 2, self._part_size, self._pump.cancel)
        self._raw: Channel[_Block] = self._pump.channel(2)
        self._frames: OrderedPool[_Block | _ChunkEnd, _Frame | _ChunkEnd] = OrderedPool(
            self._pump, "compress", threads, self._compress, threads + 3
        )
        self._parts: Channel[tuple[ChunkTransfer, Part]] = self._pump.channel(1)
        self._unfinished: dict[str, ChunkTransfer] = {}

    def run(self, send: SendStream) -> StreamFacts:
        """Upload the whole stream; every chunk is journalled when its object exists.

        ``SendAgainError`` when a reusable chunk differs or the service reported a conflict: the
        stream must be sent again. Any other error leaves the journal fit to go on from.
        """
        self._pump.start("send-reader", lambda: self._read(send))
        self._pump.start("digester", self._digest)
        self._pump.start("assembler", self._assemble)
        for number in range(self._settings.concurrency):
            self._pump.start(f"upload-{number}", self._upload)
        self._pump.on_cancel(send.kill)
        try:
            self._pump.run()
        except BaseException:
            self._abort_unfinished()
            raise
        return self._inspector.result()

    def _read(self, send: SendStream) -> None:
        number, ended, left = 0, False, self._settings.chunk_size_bytes
        while not ended:
            buffer = self._blocks.acquire()
            wanted = min(FRAME_SIZE_BYTES, left)
            while buffer.used < wanted and not ended:
                count = send.readinto(buffer.data[buffer.used : wanted])
                buffer.used += count
                ended = not count
            left -= buffer.used
            if ended:
                send.finish()
            self._raw.put(_Block(number, buffer, ends_chunk=ended or not left, ends_stream=ended))
            if not left:
                number, left = number + 1, self._settings.chunk_size_bytes
        self._raw.close()

    def _digest(self) -> None:
        digest, size, chunks = hashlib.sha256(), 0, 0
        for block in self._raw:
            known = self._reusable.get(block.number)
            self._inspector.update(block.buffer.view)
            digest.update(block.buffer.view)
            size += block.buffer.used
            if known is None and block.buffer.used:
                self._frames.submit(block)
            else:
                self._blocks.release(block.buffer)
            if block.ends_stream:
                self._inspector.finish()
            if block.ends_chunk:
                self._end_chunk(block.number, known, size, digest.hexdigest())
                digest, size, chunks = hashlib.sha256(), 0, block.number + 1
        if any(known >= chunks for known in self._reusable):
            self._journal.reuse_none_from(chunks)
        self._frames.close()

    def _end_chunk(self, number: int, known: KnownChunk | None, size: int, digest: str) -> None:
        if known is not None:
            self._reuse(known, size, digest)
        elif size:
            self._frames.submit(_ChunkEnd(number, size, digest))

    def _reuse(self, known: KnownChunk, size_bytes: int, sha256_hex: str) -> None:
        if known.raw_size_bytes != size_bytes or known.raw_sha256_hex != sha256_hex:
            self._journal.reuse_none_from(known.number)
            raise SendAgainError(f"chunk {known.number} is not what the journal says")
        self.reused_bytes += size_bytes
        self.reused_chunks += 1
        self._reporter.advance(size_bytes, 0, 1)

    def _compress(self, item: _Block | _ChunkEnd) -> _Frame | _ChunkEnd:
        if isinstance(item, _ChunkEnd):
            return item
        data = self._compressor.compress(item.buffer.view)
        size = item.buffer.used
        self._blocks.release(item.buffer)
        self._reporter.advance(size, 0, 0)
        return _Frame(item.number, data)

    def _assemble(self) -> None:
        encoder: ChunkEncoder | None = None
        transfer: ChunkTransfer | None = None
        for item in self._frames:
            if encoder is None or transfer is None:
                encoder, transfer = ChunkEncoder(self._buffers), self._begin(item.number)
            if isinstance(item, _Frame):
                parts = encoder.update(item.data)
            else:
                parts = encoder.finish(self._trailer(item))
                transfer.close(encoder.result(), item.raw_size_bytes, item.raw_sha256_hex)
            for part in parts:
                self._parts.put((transfer, part))
            if isinstance(item, _ChunkEnd):
                encoder = transfer = None
        self._parts.close()

    def _begin(self, number: int) -> ChunkTransfer:
        target = self._target
        key = keys.chunk(target.source_id, target.backup_id, number, target.attempt)
        transfer = ChunkTransfer(self._store, self._journal, number, self._raw_offset(number), key)
        self._unfinished[key] = transfer
        return transfer

    def _trailer(self, end: _ChunkEnd) -> bytes:
        return encode_trailer(
            Trailer(
                repository_id=self._target.repository_id,
                backup_id=str(self._target.backup_id),
                name=self._inspector.result().name,
                number=end.number,
                raw_offset=self._raw_offset(end.number),
                raw_size_bytes=end.raw_size_bytes,
                raw_sha256_hex=end.raw_sha256_hex,
            )
        )

    def _raw_offset(self, number: int) -> int:
        return number * self._settings.chunk_size_bytes

    def _upload(self) -> None:
        for transfer, part in self._parts:
            record = transfer.send(part, self._part_size)
            size = part.buffer.used
            self._buffers.release(part.buffer)
            if record is not None:
                self._journal.chunk_stored(record)
                del self._unfinished[transfer.key]
            self._reporter.advance(0, size, 0 if record is None else 1)

    def _abort_unfinished(self) -> None:
        store = self._base_store.bound(DeadlineCancellation(_CLEAN_UP_S))
        for transfer in self._unfinished.values():
            if transfer.upload_id is not None:
                # The journal names the upload too, so the next run tries again.
                with contextlib.suppress(BtrfsToS3Error):
                    store.abort_upload(transfer.key, transfer.upload_id)
