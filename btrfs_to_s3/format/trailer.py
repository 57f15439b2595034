"""The skippable frame that ends every chunk (docs/format.md §5; RFC 8878 §3.1.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.format.jsonio import Fields, encode_line

_MAGIC = 0x184D2A5B
_HEADER = struct.Struct("<II")
TRAILER_LIMIT_BYTES = 1024
"""No trailer is larger, header included; counted into a chunk's worst-case stored size."""


@dataclass(frozen=True, slots=True)
class Trailer:
    """Where a chunk belongs and what its raw bytes must hash to; ``name`` is the snapshot's."""

    repository_id: str
    backup_id: str
    name: str
    number: int
    raw_offset: int
    raw_size_bytes: int
    raw_sha256_hex: str


def encode_trailer(trailer: Trailer) -> bytes:
    """The whole skippable frame."""
    payload = encode_line(
        {
            "repository_id": trailer.repository_id,
            "backup_id": trailer.backup_id,
            "name": trailer.name,
            "n": trailer.number,
            "raw_offset": trailer.raw_offset,
            "raw_size": trailer.raw_size_bytes,
            "raw_sha256": trailer.raw_sha256_hex,
        }
    )
    return _HEADER.pack(_MAGIC, len(payload)) + payload


def decode_trailer(data: bytes, what: str) -> Trailer:
    """Read a whole skippable frame; ``IntegrityError`` when it is not exactly one of ours."""
    if len(data) < _HEADER.size:
        raise IntegrityError(f"{what}: the chunk ends without its trailer")
    magic, size = _HEADER.unpack_from(data)
    if magic != _MAGIC or size != len(data) - _HEADER.size:
        raise IntegrityError(f"{what}: the chunk does not end with its trailer")
    fields = Fields.parse(data[_HEADER.size :], what, versioned=False)
    return Trailer(
        repository_id=fields.text("repository_id", 64),
        backup_id=fields.text("backup_id", 80),
        name=fields.file_name("name"),
        number=fields.integer("n"),
        raw_offset=fields.integer("raw_offset"),
        raw_size_bytes=fields.integer("raw_size", 1),
        raw_sha256_hex=fields.sha256("raw_sha256"),
    )
