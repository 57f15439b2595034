"""Frames: 4 MiB of raw stream as one zstd frame (docs/format.md §5; RFC 8878)."""

from __future__ import annotations

import threading

import zstandard

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.model.backup import FRAME_SIZE_BYTES

WINDOW_LIMIT_BYTES = 8 * 1024 * 1024


def worst_frame_size(raw_size_bytes: int) -> int:
    """Largest size a frame of so many raw bytes can have (zstd.h, ZSTD_COMPRESSBOUND)."""
    margin = (128 * 1024 - raw_size_bytes) >> 11 if raw_size_bytes < 128 * 1024 else 0
    return raw_size_bytes + (raw_size_bytes >> 8) + margin + 64


class FrameCompressor:
    """Compresses frames on any thread; each thread keeps a zstd context of its own."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._contexts = threading.local()

    def compress(self, raw: memoryview) -> bytes:
        """One frame with content size and checksum."""
        context = getattr(self._contexts, "context", None)
        if context is None:
            context = zstandard.ZstdCompressor(
                level=self._level, write_checksum=True, write_content_size=True
            )
            self._contexts.context = context
        return bytes(context.compress(raw))


def decompress_frame(frame: bytes | memoryview, raw_size_bytes: int, what: str) -> bytes:
    """The frame's raw bytes; ``IntegrityError`` unless it holds exactly ``raw_size_bytes``.

    The header is checked before anything is allocated, so that a crafted frame costs no memory.
    """
    try:
        parameters = zstandard.get_frame_parameters(frame)
        if parameters.content_size != raw_size_bytes or raw_size_bytes > FRAME_SIZE_BYTES:
            raise IntegrityError(f"{what}: a frame announces the wrong size")
        if parameters.window_size > WINDOW_LIMIT_BYTES:
            raise IntegrityError(f"{what}: a frame needs a larger window than the format allows")
        return zstandard.ZstdDecompressor().decompress(
            frame, max_output_size=raw_size_bytes, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise IntegrityError(f"{what}: a frame does not decompress: {error}") from error
