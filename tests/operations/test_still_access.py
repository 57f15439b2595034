"""What decides about one moment reads everything once, and commits nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.operations.repository.listing import read_heads
from btrfs_to_s3.operations.repository.still import StillAccess

if TYPE_CHECKING:
    from tests.operations.repositories import SyntheticRepository


def _still(repository: SyntheticRepository) -> StillAccess:
    known = repository.access
    access = StillAccess(
        known.store, repository.services.state, known.host, repository.listener, known.clock
    )
    access.open()
    return access


def test_listings_and_heads_are_read_once(repository: SyntheticRepository) -> None:
    repository.backup()
    access = _still(repository)
    first = access.heads()
    before = repository.store.request_counts()
    assert access.heads() == first
    assert [access.head(repository.source_id)] == first
    assert repository.store.request_counts() == before


def test_what_was_read_stays_what_it_was(repository: SyntheticRepository) -> None:
    full = repository.backup()
    access = _still(repository)
    assert access.head(repository.source_id) == repository.access.head(repository.source_id)
    repository.backup(full)
    (seen,) = access.heads()
    assert [each.backup_id for each in seen.backups] == [full.backup_id]
    (now,) = read_heads(repository.services).heads
    assert len(now.backups) == 2


def test_it_cannot_commit(repository: SyntheticRepository) -> None:
    repository.backup()
    with pytest.raises(AssertionError, match="as it is"):
        _still(repository).commit(repository.source_id, lambda head: head)
