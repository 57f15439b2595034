"""A stored backup's index, checked against its manifest before a line of it is used."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Self

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.format.index import LINE_LIMIT_BYTES, decode_chunk_record
from btrfs_to_s3.operations.repository.intact import read_intact
from btrfs_to_s3.operations.repository.pieces import pieces
from btrfs_to_s3.stream.lines import decompress_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from btrfs_to_s3.model.backup import ChunkRecord, Manifest
    from btrfs_to_s3.ports import LocalState, ObjectStore


class StoredIndex:
    """A context manager over a downloaded index. Memory: one line; the rest is a local file."""

    def __init__(self, store: ObjectStore, state: LocalState, manifest: Manifest) -> None:
        self._manifest = manifest
        self._file = state.temporary()
        try:
            read_intact(lambda: _download(store, manifest, self._file))
        except BaseException:
            self._file.close()
            raise

    def chunks(self) -> Iterator[ChunkRecord]:
        """The lines in order; ``IntegrityError`` when they do not cover the manifest's stream."""
        manifest, key = self._manifest, self._manifest.index.key
        self._file.seek(0)
        number = offset = stored = 0
        for line in decompress_lines(self._file, LINE_LIMIT_BYTES, key):
            record = decode_chunk_record(line, f"{key}, line {number + 1}")
            last = number == manifest.chunk_count - 1
            whole = record.raw_size_bytes == manifest.chunk_size_bytes
            if (record.number, record.raw_offset) != (number, offset) or not (whole or last):
                raise IntegrityError(f"{key}: line {number + 1} is not chunk {number}", key=key)
            number, offset = number + 1, offset + record.raw_size_bytes
            stored += record.stored_size_bytes
            yield record
        expected = (manifest.chunk_count, manifest.raw_size_bytes, manifest.stored_size_bytes)
        if (number, offset, stored) != expected:
            raise IntegrityError(f"{key} does not cover the stream its manifest describes", key=key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _download(store: ObjectStore, manifest: Manifest, file: BinaryIO) -> None:
    ref = manifest.index
    digest = hashlib.sha256()
    file.seek(0)
    file.truncate()
    for piece in pieces(store, ref):
        digest.update(piece)
        file.write(piece)
    if digest.hexdigest() != ref.sha256_hex:
        raise IntegrityError(
            f"{ref.key} is damaged: it does not have the SHA-256 that its manifest records",
            hint="on a versioned bucket restore its older version",
            key=ref.key,
        )
