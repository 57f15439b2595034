"""Guarantee 3: the sink gets no byte of a part that is not the one that was stored."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.operations.repository.index import StoredIndex
from btrfs_to_s3.operations.repository.intact import READS
from btrfs_to_s3.operations.restore.download import Download
from tests.operations.repositories import CHUNK_SIZE_BYTES, SETTINGS
from tests.operations.stores import Delegate

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import HeadEntry
    from btrfs_to_s3.ports import ObjectStore
    from tests.operations.conftest import Bucket
    from tests.operations.repositories import SyntheticRepository


def chunk_keys(bucket: Bucket, entry: HeadEntry) -> list[str]:
    return [
        key for key in bucket.listing() if key.startswith("chunks/") and str(entry.backup_id) in key
    ]


def download(
    repository: SyntheticRepository,
    entry: HeadEntry,
    sunk: bytearray,
    store: ObjectStore | None = None,
) -> None:
    services = repository.services
    manifest = repository.access.manifest(repository.source_id, entry)
    with StoredIndex(repository.store, services.state, manifest) as index:
        Download(
            manifest,
            index.chunks(),
            store or repository.store,
            repository.access.repository_id,
            2,
            services.reporter,
            services.cancel,
        ).run(sunk.extend, lambda: None)


def test_a_well_formed_chunk_of_another_backup_gives_the_sink_nothing(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    entry, foreign = repository.backup(), repository.backup()
    whole = bytearray()
    download(repository, entry, whole)
    mine, theirs = chunk_keys(bucket, entry), chunk_keys(bucket, foreign)
    stored = bucket.client.get_object(Bucket=bucket.name, Key=f"{bucket.prefix}/{theirs[1]}")
    bucket.client.put_object(
        Bucket=bucket.name, Key=f"{bucket.prefix}/{mine[1]}", Body=stored["Body"].read()
    )
    sunk = bytearray()

    with pytest.raises(IntegrityError, match=mine[1]):
        download(repository, entry, sunk)

    assert len(sunk) <= CHUNK_SIZE_BYTES
    assert whole.startswith(sunk)


def test_a_chunk_that_holds_only_zeros_takes_no_more_memory_than_any_other(
    repository: SyntheticRepository,
) -> None:
    size = 96 * 1024 * 1024
    large = replace(SETTINGS, chunk_size_bytes=128 * 1024 * 1024)
    entry = repository.backup(content=bytes(size), settings=large)
    sizes: list[int] = []
    services = repository.services
    manifest = repository.access.manifest(repository.source_id, entry)

    tracemalloc.start()
    with StoredIndex(repository.store, services.state, manifest) as index:
        Download(
            manifest,
            index.chunks(),
            repository.store,
            repository.access.repository_id,
            2,
            services.reporter,
            services.cancel,
        ).run(lambda raw: sizes.append(len(raw)), lambda: None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert sum(sizes) == manifest.raw_size_bytes > size
    assert manifest.chunk_count == 1
    assert peak < size / 2


class NoisyWay(Delegate):
    """A store whose first answers about chunks are damaged on their way, ``times`` of each part."""

    def __init__(self, inner: ObjectStore, times: int) -> None:
        super().__init__(inner)
        self.times = times
        self.seen: Counter[tuple[str, int]] = Counter()

    def get_into(
        self, key: str, buffer: memoryview, *, offset: int, version_id: str | None = None
    ) -> None:
        """Turn one bit over, at first."""
        super().get_into(key, buffer, offset=offset, version_id=version_id)
        self.seen[key, offset] += 1
        if key.startswith("chunks/") and self.seen[key, offset] <= self.times:
            buffer[0] ^= 1


def test_what_was_damaged_on_its_way_only_is_read_again(repository: SyntheticRepository) -> None:
    entry = repository.backup()
    expected, sunk = bytearray(), bytearray()
    download(repository, entry, expected)

    download(repository, entry, sunk, NoisyWay(repository.store, READS - 1))

    assert sunk == expected


def test_what_is_damaged_every_time_is_damaged(repository: SyntheticRepository) -> None:
    entry = repository.backup()
    noisy = NoisyWay(repository.store, READS)
    sunk = bytearray()

    with pytest.raises(IntegrityError, match="is damaged"):
        download(repository, entry, sunk, noisy)

    assert sunk == b""
    assert max(noisy.seen.values()) == READS
