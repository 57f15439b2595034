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
_LEVEL = 9
_READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Compressed:
    """What was written: size in bytes and SHA-256."""

    size_bytes: int
    sha256: bytes


def compress_lines(lines: Iterable[bytes], out: BinaryIO) -> Compressed:
    """Write whole lines as zstd frames of up to 1024 lines; memory: one frame's lines."""
    digest, size = hashlib.sha256(), 0
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)

    def write(batch: list[bytes]) -> int:
        frame = compressor.compress(b"".join(batch))
        digest.update(frame)
        return out.write(frame)

    batch: list[bytes] = []
    for line in lines:
        batch.append(line)
        if len(batch) == _LINES_PER_FRAME:
            size += write(batch)
            batch = []
    if batch or not size:
        size += write(batch)
    return Compressed(size, digest.digest())


def decompress_lines(source: BinaryIO, line_limit_bytes: int, what: str) -> Iterator[bytes]:
    """Lines of an object whose digest was checked; ``IntegrityError`` when it is not of this form.

    Memory: one line and 256 KiB, whatever the object announces. An object cut within a frame may
    end early without an error: callers know its digest and how many lines there must be.
    """
    pending = bytearray()
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_LIMIT_BYTES)
    try:
        reader = decompressor.stream_reader(source, read_across_frames=True, closefd=False)
        while block := reader.read(_READ_BYTES):
            pending += block
            *lines, rest = pending.split(b"\n")
            pending = bytearray(rest)
            if len(pending) > line_limit_bytes:
                raise IntegrityError(f"{what}: a line is longer than {line_limit_bytes} bytes")
            yield from (bytes(line) for line in lines)
    except zstandard.ZstdError as error:
        raise IntegrityError(f"{what} does not decompress: {error}") from error
    if pending:
        raise IntegrityError(f"{what} ends within a line")
