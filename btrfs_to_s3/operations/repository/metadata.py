"""Metadata: created once, readable at once; that it was archived is explained."""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import NotReadableYetError
from btrfs_to_s3.model.objects import Create, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from btrfs_to_s3.ports import ObjectStore


def create_metadata(store: ObjectStore, key: str, data: bytes) -> None:
    """Write a small metadata object; ``ConditionFailedError`` when another one holds the key."""
    store.put(
        key,
        data,
        sha256=sha256(data).digest(),
        role=Role.METADATA,
        condition=Create.ONLY_NEW,
    )


def read_metadata(store: ObjectStore, key: str, *, limit_bytes: int) -> tuple[bytes, str]:
    """As ``ObjectStore.get_whole``."""
    with explaining_archived(store, key):
        return store.get_whole(key, limit_bytes=limit_bytes)


@contextmanager
def explaining_archived(store: ObjectStore, key: str) -> Iterator[None]:
    """Say what to do where a lifecycle rule moved a metadata object to an archive class."""
    try:
        yield
    except NotReadableYetError as error:
        state = store.head(key)
        name = "an archive class" if state is None else state.storage_class
        thawing = state is not None and (state.thawing or state.thawed_until is not None)
        where = f"{store.url}/{key}"
        thaw = "its thaw is under way; then " if thawing else "thaw it (aws s3api restore-object), "
        raise NotReadableYetError(
            f"{key} is metadata and lies in {name}: a lifecycle rule moved it there, or a person",
            hint="metadata must never be archived, no command works without it: "
            f"{thaw}copy it back (aws s3 cp {where} {where} --storage-class STANDARD), and let "
            "lifecycle rules concern chunks/ only; 'btrfs-to-s3 doctor' shows the bucket's rules",
            key=key,
            storage_class=name,
        ) from error
