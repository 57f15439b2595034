"""The index: a line per chunk (docs/format.md §4)."""

from __future__ import annotations

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.format.jsonio import Fields, encode_line
from btrfs_to_s3.format.trailer import TRAILER_LIMIT_BYTES
from btrfs_to_s3.model.backup import FRAME_SIZE_BYTES, ChunkRecord

LINE_LIMIT_BYTES = 8 * 1024 * 1024
"""A 1 TiB chunk's line, 262,144 frames and 10,000 parts, stays below this."""


def encode_chunk_record(record: ChunkRecord) -> bytes:
    """One line of the index."""
    return encode_line(chunk_members(record))


def chunk_members(record: ChunkRecord) -> dict[str, object]:
    """The members of a chunk's line, as the journal keeps them too."""
    return {
        "n": record.number,
        "key": record.key,
        "raw_offset": record.raw_offset,
        "raw_size": record.raw_size_bytes,
        "raw_sha256": record.raw_sha256_hex,
        "stored_size": record.stored_size_bytes,
        "stored_sha256": record.stored_sha256_hex,
        "etag": record.etag,
        "version_id": record.version_id,
        "part_size": record.part_size_bytes,
        "parts": list(record.part_sha256_hex),
        "frames": list(record.frame_sizes_bytes),
    }


def decode_chunk_record(line: bytes, what: str) -> ChunkRecord:
    """Read one line; ``IntegrityError`` when its sizes do not fit together."""
    return chunk_record(Fields.parse(line, what, versioned=False))


def chunk_record(fields: Fields) -> ChunkRecord:
    """Read a chunk's members; ``IntegrityError`` when its sizes do not fit together."""
    record = ChunkRecord(
        number=fields.integer("n"),
        key=fields.text("key", 1024),
        raw_offset=fields.integer("raw_offset"),
        raw_size_bytes=fields.integer("raw_size", 1),
        raw_sha256_hex=fields.sha256("raw_sha256"),
        stored_size_bytes=fields.integer("stored_size", 1),
        stored_sha256_hex=fields.sha256("stored_sha256"),
        etag=fields.text("etag", 256),
        version_id=None if fields.absent("version_id") else fields.text("version_id", 1024),
        part_size_bytes=fields.integer("part_size", 1),
        part_sha256_hex=fields.sha256s("parts"),
        frame_sizes_bytes=fields.integers("frames"),
    )
    if len(record.part_sha256_hex) != -(-record.stored_size_bytes // record.part_size_bytes):
        raise IntegrityError(f"{fields.what}: part digests do not cover the stored size")
    if len(record.frame_sizes_bytes) != -(-record.raw_size_bytes // FRAME_SIZE_BYTES):
        raise IntegrityError(f"{fields.what}: frames do not cover the raw size")
    if not 0 < record.stored_size_bytes - sum(record.frame_sizes_bytes) <= TRAILER_LIMIT_BYTES:
        raise IntegrityError(f"{fields.what}: frames and trailer do not make the stored size")
    return record
