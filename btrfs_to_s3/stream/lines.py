"""Lines compressed as zstd frames: the form of indexes and catalogs (docs/format.md §4)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import zstandard

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.stream.frames import WINDOW_LIMIT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LINES_PER_FRAME = 1024
_FRAME_TEXT_BYTES = 4 * 1024 * 1024
_LEVEL = 9
_SLICE_BYTES = 1024
"""Fed at once: a block of 4 stored bytes can hold 128 KiB (RFC 8878), so this gives 32 MiB."""


@dataclass(frozen=True, slots=True)
class Compressed:
    """What was written: size in bytes and SHA-256."""

    size_bytes: int
    sha256: bytes


def compress_lines(lines: Iterable[bytes], out: BinaryIO) -> Compressed:
    """Write whole lines as zstd frames of up to 1024 lines or 4 MiB; memory: one frame's lines."""
    digest, size = hashlib.sha256(), 0
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)

    def write(batch: list[bytes]) -> int:
        frame = compressor.compress(b"".join(batch))
        digest.update(frame)
        return out.write(frame)

    batch: list[bytes] = []
    text = 0
    for line in lines:
        batch.append(line)
        text += len(line)
        if len(batch) == _LINES_PER_FRAME or text >= _FRAME_TEXT_BYTES:
            size += write(batch)
            batch, text = [], 0
    if batch or not size:
        size += write(batch)
    return Compressed(size, digest.digest())


def decompress_lines(source: BinaryIO, line_limit_bytes: int, what: str) -> Iterator[bytes]:
    """Lines of an object whose digest was checked; ``IntegrityError`` when it is not of this form.

    Memory: one line and 32 MiB, whatever the object announces.
    """
    pending = bytearray()
    for text in _decompress(source, what):
        pending += text
        *lines, rest = pending.split(b"\n")
        pending = bytearray(rest)
        if len(pending) > line_limit_bytes:
            raise IntegrityError(f"{what}: a line is longer than {line_limit_bytes} bytes")
        yield from (bytes(line) for line in lines)
    if pending:
        raise IntegrityError(f"{what} ends within a line")


def _decompress(source: BinaryIO, what: str) -> Iterator[bytes]:
    """Frame after frame, skippable ones included; a frame that is cut short is an error."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_LIMIT_BYTES)
    frame: zstandard.ZstdDecompressionObj | None = None
    try:
        while stored := source.read(_SLICE_BYTES):
            while stored:
                frame = frame or decompressor.decompressobj()
                yield frame.decompress(stored)
                stored, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    except zstandard.ZstdError as error:
        raise IntegrityError(f"{what} does not decompress: {error}") from error
    if frame is not None:
        raise IntegrityError(f"{what} ends within a frame")
