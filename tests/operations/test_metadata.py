"""Metadata that a lifecycle rule moved to an archive class: named, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import BtrfsToS3Error, ExitCode, NotReadableYetError
from btrfs_to_s3.format import keys
from btrfs_to_s3.operations.repository.index import StoredIndex
from btrfs_to_s3.operations.repository.listing import list_backups, show_backup
from btrfs_to_s3.operations.repository.prepare import prepare_to_read

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.operations.conftest import Bucket
    from tests.operations.repositories import SyntheticRepository


def open_(repository: SyntheticRepository) -> None:
    prepare_to_read(repository.services)


def list_all(repository: SyntheticRepository) -> None:
    list_backups(repository.services, None)


def show(repository: SyntheticRepository) -> None:
    show_backup(repository.services, str(repository.head().backups[0].backup_id))


def index(repository: SyntheticRepository) -> None:
    head = repository.head()
    manifest = repository.access.manifest(head.source_id, head.backups[0])
    with StoredIndex(repository.store, repository.state, manifest):
        pass


@pytest.mark.parametrize(
    ("kind", "work"),
    [
        (keys.REPOSITORY, open_),
        (keys.HEADS, list_all),
        (keys.MANIFESTS, show),
        (keys.INDEXES, index),
    ],
)
def test_archived_metadata_is_named_with_its_class_and_the_remedy(
    repository: SyntheticRepository,
    bucket: Bucket,
    kind: str,
    work: Callable[[SyntheticRepository], None],
) -> None:
    repository.backup()
    [key] = [key for key in bucket.listing() if key.startswith(kind)]
    bucket.write(key, bucket.read(key), "GLACIER")
    fresh = repository.from_host("another") if kind != keys.REPOSITORY else repository

    with pytest.raises(NotReadableYetError) as caught:
        work(fresh)

    error: BtrfsToS3Error = caught.value
    assert error.exit_code is ExitCode.NOT_READABLE_YET
    assert key in error.message
    assert "GLACIER" in error.message
    assert error.context["storage_class"] == "GLACIER"
    assert "never be archived" in (error.hint or "")
    assert "--storage-class STANDARD" in (error.hint or "")
    assert "doctor" in (error.hint or "")
