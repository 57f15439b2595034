"""Chunks: frames and a trailer cut into parts, and back (docs/format.md §5)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError, UsageError
from btrfs_to_s3.model.backup import FRAME_SIZE_BYTES
from btrfs_to_s3.stream.frames import decompress_frame, worst_frame_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from btrfs_to_s3.stream.buffers import Buffer, BufferPool

MAX_PARTS = 10_000
MAX_PART_SIZE_BYTES = 5 * 1024**3
_MIB = 1024 * 1024


def part_size_for(chunk_size_bytes: int, wanted_bytes: int, trailer_bytes: int) -> int:
    """The part size to use: the wanted one, raised in whole MiB until 10,000 parts suffice.

    S3 User Guide, "Amazon S3 multipart upload limits". ``UsageError`` when no part size does.
    """
    frames, rest = divmod(chunk_size_bytes, FRAME_SIZE_BYTES)
    worst = frames * worst_frame_size(FRAME_SIZE_BYTES) + trailer_bytes
    if rest:
        worst += worst_frame_size(rest)
    needed = -(-worst // MAX_PARTS)
    size = max(wanted_bytes, -(-needed // _MIB) * _MIB)
    if size > MAX_PART_SIZE_BYTES:
        raise UsageError(f"a chunk of {chunk_size_bytes} bytes does not fit 10,000 parts")
    return size


@dataclass(frozen=True, slots=True)
class Part:
    """A part ready to be sent; ``alone`` when it is the whole chunk. Numbers start at 1."""

    number: int
    buffer: Buffer
    sha256: bytes
    alone: bool


@dataclass(frozen=True, slots=True)
class ChunkShape:
    """What the index says of a chunk's stored bytes."""

    stored_size_bytes: int
    stored_sha256_hex: str
    part_sha256_hex: tuple[str, ...]
    frame_sizes_bytes: tuple[int, ...]


class ChunkEncoder:
    """Cuts one chunk's frames into parts of the pool's buffer size.

    ``update`` and ``finish`` return the parts that became ready; their buffers belong to the
    caller, who releases them. A part is ready only when more follows it, so that the caller
    learns from ``Part.alone`` that a chunk is a single one. Waits for the pool.
    """

    def __init__(self, pool: BufferPool) -> None:
        self._pool = pool
        self._current: Buffer | None = None
        self._stored = hashlib.sha256()
        self._stored_size = 0
        self._parts: list[bytes] = []
        self._frames: list[int] = []

    def update(self, frame: bytes) -> list[Part]:
        """Add one frame."""
        self._frames.append(len(frame))
        return self._add(frame)

    def finish(self, trailer: bytes) -> list[Part]:
        """Add the trailer and end the chunk."""
        parts = self._add(trailer)
        parts.append(self._ready(last=True))
        return parts

    def result(self) -> ChunkShape:
        """What was made; only after ``finish``."""
        return ChunkShape(
            stored_size_bytes=self._stored_size,
            stored_sha256_hex=self._stored.hexdigest(),
            part_sha256_hex=tuple(digest.hex() for digest in self._parts),
            frame_sizes_bytes=tuple(self._frames),
        )

    def discard(self) -> None:
        """Give back the buffer of an unfinished chunk."""
        if self._current is not None:
            self._pool.release(self._current)
            self._current = None

    def _add(self, data: bytes) -> list[Part]:
        self._stored.update(data)
        self._stored_size += len(data)
        parts: list[Part] = []
        rest = memoryview(data)
        while rest:
            if self._current is not None and self._current.used == self._pool.size_bytes:
                parts.append(self._ready(last=False))
            if self._current is None:
                self._current = self._pool.acquire()
            buffer = self._current
            size = min(len(rest), self._pool.size_bytes - buffer.used)
            buffer.data[buffer.used : buffer.used + size] = rest[:size]
            buffer.used += size
            rest = rest[size:]
        return parts

    def _ready(self, *, last: bool) -> Part:
        buffer = self._current
        if buffer is None:
            raise AssertionError("a chunk without bytes has no part")
        self._current = None
        alone = last and not self._parts
        # A chunk of one part is its own stored digest: no second pass over the bytes.
        digest = self._stored.digest() if alone else hashlib.sha256(buffer.view).digest()
        self._parts.append(digest)
        return Part(len(self._parts), buffer, digest, alone)


class ChunkDecoder:
    """Turns verified stored bytes of one chunk back into raw frames.

    ``finish`` rejects a chunk that is truncated, whose raw bytes do not have the recorded digest.
    """

    def __init__(
        self, frame_sizes_bytes: Sequence[int], raw_size_bytes: int, raw_sha256_hex: str, what: str
    ) -> None:
        self._sizes = iter(frame_sizes_bytes)
        self._wanted = next(self._sizes, None)
        self._raw_left = raw_size_bytes
        self._expected = raw_sha256_hex
        self._digest = hashlib.sha256()
        self._carry = bytearray()
        self._what = what

    def update(self, stored: bytes | memoryview) -> Iterator[bytes]:
        """The raw frames that are complete now, in order.

        One at a time, because a few stored bytes can hold gigabytes of zeros. ``stored`` may be
        overwritten once all have been taken.
        """
        rest = memoryview(stored)
        while rest and self._wanted is not None:
            piece = rest[: self._wanted - len(self._carry)]
            rest = rest[len(piece) :]
            if not self._carry and len(piece) == self._wanted:
                yield self._decode(piece)
            else:
                self._carry += piece
                if len(self._carry) < self._wanted:
                    return
                frame, self._carry = self._carry, bytearray()
                yield self._decode(memoryview(frame))
            self._wanted = next(self._sizes, None)
        self._carry += rest

    def finish(self) -> None:
        """``IntegrityError`` unless every frame came and the raw bytes have the right digest."""
        if self._wanted is not None or self._raw_left:
            raise IntegrityError(f"{self._what}: the chunk ends too early")
        if self._digest.hexdigest() != self._expected:
            raise IntegrityError(f"{self._what}: the raw bytes do not have the recorded SHA-256")

    def result(self) -> bytes:
        """What follows the frames: the trailer."""
        return bytes(self._carry)

    def _decode(self, frame: memoryview) -> bytes:
        raw = decompress_frame(frame, min(self._raw_left, FRAME_SIZE_BYTES), self._what)
        self._raw_left -= len(raw)
        self._digest.update(raw)
        return raw
