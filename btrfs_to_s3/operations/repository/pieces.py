"""A metadata object read piece by piece, where it may be larger than memory should hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.operations.repository.metadata import explaining_archived

if TYPE_CHECKING:
    from collections.abc import Iterator

    from btrfs_to_s3.model.backup import ObjectRef
    from btrfs_to_s3.ports import ObjectStore

_PIECE_BYTES = 8 * 1024 * 1024


def pieces(store: ObjectStore, ref: ObjectRef) -> Iterator[bytes]:
    """The object's bytes in order, not yet checked; errors as ``ObjectStore.get``."""
    for offset in range(0, ref.size_bytes, _PIECE_BYTES):
        size = min(_PIECE_BYTES, ref.size_bytes - offset)
        with explaining_archived(store, ref.key):
            piece = store.get(ref.key, offset=offset, size_bytes=size)
        yield piece
