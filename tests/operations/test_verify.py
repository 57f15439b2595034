"""What ``verify`` finds in chunks, and what it says; each fault provoked on a real service."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import ExitCode, InterruptedRunError, UnreachableError
from btrfs_to_s3.format import keys
from btrfs_to_s3.model.objects import DeleteTarget
from btrfs_to_s3.operations.verify.report import Problem
from btrfs_to_s3.operations.verify.verify import verify_data
from tests.operations.repositories import CHUNK_SIZE_BYTES, SETTINGS, SyntheticRepository
from tests.operations.stores import ActsOnce, Delegate
from tests.operations.verify_helpers import chunks, data, flip_a_bit, problems, quick

if TYPE_CHECKING:
    from collections.abc import Callable

    from btrfs_to_s3.model.objects import ObjectState
    from btrfs_to_s3.operations.verify.report import VerifyReport
    from btrfs_to_s3.ports import ObjectStore
    from tests.operations.conftest import Bucket

MIB = 1024 * 1024


# Sound repositories


@pytest.mark.parametrize("check", [quick, data])
def test_a_sound_chain_has_no_findings(
    check: Callable[[SyntheticRepository], VerifyReport], repository: SyntheticRepository
) -> None:
    full = repository.backup()
    entries = [full, repository.backup(full)]
    report = check(repository)
    assert report.findings == ()
    assert report.exit_code is ExitCode.DONE
    assert (report.counts.sources, report.counts.backups) == (1, 2)
    # The head; a manifest, an index and four chunks of each backup.
    assert report.counts.objects == 1 + sum(2 + entry.chunk_count for entry in entries)
    assert report.counts.surplus_objects == 0


def test_data_counts_the_stored_bytes_it_checked(repository: SyntheticRepository) -> None:
    entries = [repository.backup(), repository.backup()]
    expected = sum(entry.stored_size_bytes for entry in entries)
    assert data(repository).counts.bytes_checked == expected
    assert quick(repository).counts.bytes_checked == 0


def test_chunks_of_several_parts_are_verified(repository: SyntheticRepository) -> None:
    settings = replace(SETTINGS, chunk_size_bytes=8 * MIB)
    repository.backup(size=9 * MIB, settings=settings)
    report = data(repository)
    assert report.findings == ()
    assert report.counts.bytes_checked > 9 * MIB


def test_nothing_is_written_and_no_chunk_is_asked_for_one_by_one(
    repository: SyntheticRepository,
) -> None:
    repository.backup(size=30 * CHUNK_SIZE_BYTES)
    before = dict(repository.store.request_counts())
    quick(repository)
    made = {
        kind: count - before.get(kind, 0)
        for kind, count in repository.store.request_counts().items()
    }
    assert made.get("put", 0) == made.get("delete", 0) == made.get("head", 0) == 0
    assert sum(made.values()) < 15


def test_what_no_live_backup_names_is_counted_and_no_fault(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    entry = repository.backup()
    repository.upload()
    stray = chunks(repository, entry)[1].key.replace("00000001-", "00000001-0000")[:-8] + ".zst"
    bucket.write(stray, b"lost attempt")
    bucket.write(f"manifests/{repository.source_id}/20200101T000000Z-full-00000000.json", b"{}")
    report = quick(repository)
    assert report.findings == ()
    assert report.counts.surplus_objects == 4 + 1 + 1
    assert report.counts.surplus_bytes > 3 * CHUNK_SIZE_BYTES


# Damaged chunks


def test_a_deleted_chunk_is_missing(repository: SyntheticRepository, bucket: Bucket) -> None:
    entry = repository.backup()
    lost = chunks(repository, entry)[1].key
    bucket.remove(lost)
    report = quick(repository)
    (finding,) = report.findings
    assert (finding.problem, finding.key) == (Problem.CHUNK_MISSING, lost)
    assert finding.backup_id == entry.backup_id
    assert report.exit_code is ExitCode.INTEGRITY


def test_a_flipped_bit_shows_in_the_etag_and_in_the_data(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    entry = repository.backup()
    damaged = chunks(repository, entry)[2].key
    flip_a_bit(bucket, damaged)
    for report in (quick(repository), data(repository)):
        (finding,) = report.findings
        assert (finding.problem, finding.key) == (Problem.CHUNK_REPLACED, damaged)


def test_swapped_chunks_are_both_named(repository: SyntheticRepository, bucket: Bucket) -> None:
    first, second, *_ = (chunk.key for chunk in chunks(repository, repository.backup()))
    one, other = bucket.read(first), bucket.read(second)
    bucket.write(first, other)
    bucket.write(second, one)
    assert {finding.key for finding in quick(repository).findings} == {first, second}
    assert {finding.key for finding in data(repository).findings} == {first, second}


def test_a_truncated_chunk_is_found(repository: SyntheticRepository, bucket: Bucket) -> None:
    entry = repository.backup()
    cut = chunks(repository, entry)[0].key
    bucket.write(cut, bucket.read(cut)[:-100])
    assert problems(quick(repository)) == [Problem.CHUNK_REPLACED]
    assert [finding.key for finding in data(repository).findings] == [cut]


def test_one_damaged_chunk_hides_neither_the_next_nor_other_backups(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    damaged, sound, other = (repository.backup(size=6 * CHUNK_SIZE_BYTES) for _ in range(3))
    keys_of = [chunk.key for chunk in chunks(repository, damaged)]
    flip_a_bit(bucket, keys_of[1])
    flip_a_bit(bucket, keys_of[4])
    last = chunks(repository, other)[-1].key
    bucket.remove(last)
    report = data(repository)
    assert {finding.key for finding in report.findings} == {keys_of[1], keys_of[4], last}
    assert report.counts.bytes_checked >= sound.stored_size_bytes + 4 * CHUNK_SIZE_BYTES


def test_damage_that_keeps_size_and_etag_shows_only_in_the_data(
    repository: SyntheticRepository,
) -> None:
    """What a storage fault does: the bytes change, what the service says of them does not."""
    entry = repository.backup(size=20 * CHUNK_SIZE_BYTES)
    damaged = {chunks(repository, entry)[number].key for number in (3, 11)}
    view = repository.through(BitRot(repository.store, damaged))
    assert quick(view).findings == ()
    report = data(view)
    assert problems(report) == [Problem.CHUNK_DAMAGED] * 2
    assert {finding.key for finding in report.findings} == damaged


def test_the_sha256_that_the_service_keeps_is_compared_on_demand(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    entry = repository.backup()
    report = quick(repository, checksums=True)
    assert report.findings == ()
    assert report.counts.checksums == entry.chunk_count
    assert report.counts.checksums_unknown == 0
    lost = chunks(repository, entry)[0].key
    bucket.remove(lost)
    assert [finding.key for finding in quick(repository, checksums=True).findings] == [lost]


def test_a_kept_sha256_that_differs_is_a_fault(repository: SyntheticRepository) -> None:
    key = chunks(repository, repository.backup())[1].key
    view = repository.through(OtherChecksum(repository.store, key))
    assert quick(view).findings == ()
    (finding,) = quick(view, checksums=True).findings
    assert (finding.problem, finding.key) == (Problem.CHUNK_DAMAGED, key)


def test_a_chunk_hidden_on_a_versioned_bucket_is_found_behind_its_delete_marker(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    bucket.keep_versions()
    hidden, replaced, *_ = (chunk.key for chunk in chunks(repository, repository.backup()))
    bucket.remove(hidden)
    flip_a_bit(bucket, replaced)
    report = data(repository)
    assert problems(report) == [Problem.CHUNK_HIDDEN] * 2
    assert {finding.key for finding in report.findings} == {hidden, replaced}
    assert "delete marker" in report.findings[0].advice
    assert report.exit_code is ExitCode.INTEGRITY


# Archived data


def test_archived_chunks_are_fine_in_quick_and_not_readable_yet_in_data(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    archived, readable = repository.backup(), repository.backup()
    for chunk in chunks(repository, archived):
        bucket.write(chunk.key, bucket.read(chunk.key), "GLACIER")
    assert quick(repository).findings == ()
    report = data(repository)
    (finding,) = report.findings
    assert finding.problem is Problem.NOT_READABLE_YET
    assert finding.backup_id == archived.backup_id
    assert "thaw" in finding.advice
    assert report.exit_code is ExitCode.NOT_READABLE_YET
    assert report.counts.bytes_checked == readable.stored_size_bytes


def test_damage_beside_archived_chunks_is_still_found(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    first, second, *_ = (chunk.key for chunk in chunks(repository, repository.backup()))
    bucket.write(first, bucket.read(first), "GLACIER")
    view = repository.through(BitRot(repository.store, {second}))
    report = data(view)
    assert set(problems(report)) == {Problem.NOT_READABLE_YET, Problem.CHUNK_DAMAGED}
    assert report.exit_code is ExitCode.INTEGRITY


# What a person can do


def test_the_advice_names_the_newest_backup_that_can_be_restored(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    old = repository.backup()
    full = repository.backup()
    repository.backup(repository.backup(full))
    bucket.remove(chunks(repository, full)[0].key)
    (finding,) = quick(repository).findings
    assert "the 2 backups built on it" in finding.advice
    assert f"{repository.source_id}@{old.backup_id}" in finding.advice
    assert "backup --full" in finding.advice


def test_a_sound_newest_backup_needs_no_new_full_one(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    old, newest = repository.backup(), repository.backup()
    bucket.remove(chunks(repository, old)[0].key)
    (finding,) = quick(repository).findings
    assert f"{repository.source_id}@{newest.backup_id}" in finding.advice
    assert "--full" not in finding.advice


def test_very_many_faults_of_one_backup_are_summed_up(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    entry = repository.backup(size=60 * CHUNK_SIZE_BYTES)
    for chunk in chunks(repository, entry):
        bucket.remove(chunk.key)
    findings = quick(repository).findings
    assert len(findings) == 51
    assert findings[-1].message == f"{entry.chunk_count - 50} more objects are wrong"


# Beside others


def test_a_backup_pruned_meanwhile_is_no_fault(repository: SyntheticRepository) -> None:
    old, new = repository.backup(), repository.backup()
    other = repository.from_host("other")

    def prune() -> None:
        head = replace(other.head(), backups=(new,))
        other.access.commit(other.source_id, lambda _: head)
        prefix = keys.chunks(other.source_id, old.backup_id)
        other.store.delete([DeleteTarget(listed.key) for listed in other.store.list(prefix)])

    view = repository.through(ActsOnce(repository.store, keys.CHUNKS, prune))
    assert quick(view).findings == ()


def test_an_interruption_is_raised(repository: SyntheticRepository) -> None:
    repository.backup()
    repository.cancel.set()
    with pytest.raises(InterruptedRunError):
        quick(repository)
    with pytest.raises(InterruptedRunError):
        data(repository)


def test_a_service_that_does_not_answer_is_no_finding(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    repository.backup()
    with bucket.store(endpoint_url="http://127.0.0.1:9") as unreachable:
        services = replace(repository.services, access=repository.access.using(unreachable))
        with pytest.raises(UnreachableError):
            verify_data(services, [repository.source_id])


class BitRot(Delegate):
    """Flips a bit of what is read of some objects."""

    def __init__(self, inner: ObjectStore, damaged: set[str]) -> None:
        super().__init__(inner)
        self._damaged = damaged

    def get(
        self, key: str, *, offset: int, size_bytes: int, version_id: str | None = None
    ) -> bytes:
        content = super().get(key, offset=offset, size_bytes=size_bytes, version_id=version_id)
        if key not in self._damaged:
            return content
        return content[:-1] + bytes([content[-1] ^ 1])

    def get_into(
        self, key: str, buffer: memoryview, *, offset: int, version_id: str | None = None
    ) -> None:
        super().get_into(key, buffer, offset=offset, version_id=version_id)
        if key in self._damaged:
            buffer[-1] ^= 1


class OtherChecksum(Delegate):
    """A service that keeps another SHA-256 of one object."""

    def __init__(self, inner: ObjectStore, key: str) -> None:
        super().__init__(inner)
        self._key = key

    def head(self, key: str, version_id: str | None = None) -> ObjectState | None:
        state = super().head(key, version_id)
        if state is None or key != self._key:
            return state
        return replace(state, sha256_hex="0" * 64)
