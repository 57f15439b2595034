"""Guarantee 3: the sink gets no byte of a part that is not the one that was stored."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.operations.download import Download
from btrfs_to_s3.operations.index import StoredIndex
from tests.operations.repositories import CHUNK_SIZE_BYTES, SETTINGS

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import HeadEntry
    from tests.operations.conftest import Bucket
    from tests.operations.repositories import SyntheticRepository


def chunk_keys(bucket: Bucket, entry: HeadEntry) -> list[str]:
    return [
        key for key in bucket.listing() if key.startswith("chunks/") and str(entry.backup_id) in key
    ]


def download(repository: SyntheticRepository, entry: HeadEntry, sunk: bytearray) -> None:
    services = repository.services
    manifest = repository.access.manifest(repository.source_id, entry)
    with StoredIndex(repository.store, services.state, manifest) as index:
        Download(
            manifest,
            index.chunks(),
            repository.store,
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
