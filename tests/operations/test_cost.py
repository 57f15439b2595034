"""What a repository costs, read from a real one: heads, and manifests that are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.operations.cost import repository_cost
from btrfs_to_s3.operations.repository.manifests import read_manifests
from btrfs_to_s3.plan.cost.restore import Line
from tests.plan.prices import PRICES

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.operations.cost import RepositoryCost
    from tests.operations.conftest import Bucket
    from tests.operations.repositories import SyntheticRepository

LINE = Line()


def _cost(repository: SyntheticRepository, source: str | None = None) -> RepositoryCost:
    return repository_cost(repository.services, PRICES, LINE, source, 4)


def _gets(repository: SyntheticRepository) -> int:
    return repository.store.request_counts()["get"]


def test_every_source_is_reckoned_from_its_head(repository: SyntheticRepository) -> None:
    full = repository.backup()
    newest = repository.backup(full)
    found = _cost(repository)
    assert found.errors == ()
    (source,) = found.report.sources
    (stored,) = source.classes
    assert stored.stored.size_bytes == full.stored_size_bytes + newest.stored_size_bytes
    assert stored.stored.object_count == full.chunk_count + newest.chunk_count
    assert (source.newest, source.links) == (newest.backup_id, 2)
    # Nothing was counted by the test's own uploads: two PUTs each for manifest and head.
    assert source.requests.counts == {"put": 4}
    assert source.requests.backup_count == 2


def test_a_source_can_be_named(repository: SyntheticRepository) -> None:
    repository.backup()
    assert len(_cost(repository, str(repository.source_id)).report.sources) == 1


def _as_an_older_version_wrote_it(repository: SyntheticRepository) -> None:
    """A head whose entries say nothing of requests."""

    def forget(head: Head | None) -> Head | None:
        assert head is not None
        return replace(head, backups=tuple(replace(entry, requests=None) for entry in head.backups))

    repository.access.commit(repository.source_id, forget)


def test_the_head_alone_tells_what_requests_were_made(repository: SyntheticRepository) -> None:
    repository.backup(repository.backup())
    before = _gets(repository)
    told = _cost(repository).report.sources[0].requests
    assert _gets(repository) == before
    _as_an_older_version_wrote_it(repository)
    assert _cost(repository).report.sources[0].requests == told
    assert _gets(repository) > before


def test_only_recent_manifests_are_read_and_only_once(repository: SyntheticRepository) -> None:
    old = repository.backup()
    repository.clock.advance(days=31)
    repository.backup(old)
    _as_an_older_version_wrote_it(repository)
    before = _gets(repository)
    _cost(repository)
    first = _gets(repository) - before
    _cost(repository)
    second = _gets(repository) - before - first
    # The one recent manifest; the head is known by its ETag.
    assert (first, second) == (1, 0)


def test_a_damaged_cache_is_not_believed(repository: SyntheticRepository) -> None:
    entry = repository.backup()
    repository.state.remember("manifest", entry.manifest_sha256_hex, b"{}\n")
    read = read_manifests(repository.services, repository.source_id, [entry], 2)
    assert [each.backup_id for each in read.manifests] == [entry.backup_id]
    kept = repository.state.recall("manifest", entry.manifest_sha256_hex)
    assert kept is not None
    assert kept != b"{}\n"


def test_manifests_come_in_the_order_asked_for(repository: SyntheticRepository) -> None:
    entries = [repository.backup() for _ in range(5)]
    read = read_manifests(repository.services, repository.source_id, entries, 3)
    assert [each.backup_id for each in read.manifests] == [each.backup_id for each in entries]
    assert read_manifests(repository.services, repository.source_id, [], 3).manifests == ()


def test_a_lost_manifest_is_told_and_the_rest_is_reckoned(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    full = repository.backup()
    lost = repository.backup(full)
    _as_an_older_version_wrote_it(repository)
    bucket.remove(f"manifests/{repository.source_id}/{lost.backup_id}.json")
    found = _cost(repository)
    assert [(name, type(error).__name__) for name, error in found.errors] == [
        (repository.source_id, "MissingObjectError")
    ]
    assert found.report.sources[0].requests.backup_count == 1
    assert found.report.sources[0].storage.total > 0


def test_what_a_stopped_run_reads_is_not_half_an_answer(repository: SyntheticRepository) -> None:
    entry = repository.backup()
    repository.cancel.set()
    with pytest.raises(Exception, match="stopped") as told:
        read_manifests(repository.services, repository.source_id, [entry], 2)
    assert not isinstance(told.value, IntegrityError)
