"""Pruning backups on a real service: what goes, what stays, and in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import ExitCode, IntegrityError, RepositoryError, UnreachableError
from btrfs_to_s3.format import keys
from btrfs_to_s3.model.policy import KeepPolicy
from btrfs_to_s3.operations.prune import prune
from btrfs_to_s3.operations.verify.verify import verify_data
from tests.operations.prune_helpers import (
    SMALL,
    assert_sound,
    left_of,
    live,
    planned,
    pruned,
    two_chains,
    wishes,
)
from tests.operations.repositories import SyntheticRepository
from tests.operations.stores import Recorder, RefusesToDelete, StopsAfter

if TYPE_CHECKING:
    from pathlib import Path

    from tests.operations.conftest import Bucket


# What goes and what stays


def test_a_plan_writes_nothing_and_gives_its_reasons(
    repository: SyntheticRepository, bucket: Bucket, state_directory: Path
) -> None:
    old, new = two_chains(repository)
    before = bucket.listing(), sorted(state_directory.rglob("*"))
    made = repository.store.request_counts()
    shown = planned(repository)
    after = repository.store.request_counts()
    assert (bucket.listing(), sorted(state_directory.rglob("*"))) == before
    assert (after.get("put"), after.get("delete")) == (made.get("put"), made.get("delete"))
    (source,) = shown.sources
    assert source.plan is not None
    assert [entry.backup_id for entry in source.plan.removals] == [
        entry.backup_id for entry in reversed(old)
    ]
    assert [line.reasons for line in source.plan.lines if line.entry == new[0]] == [
        (f"{new[1].backup_id} needs it",)
    ]
    assert not shown.nothing_to_do


def test_a_plan_without_orphans_reads_heads_alone(repository: SyntheticRepository) -> None:
    two_chains(repository)
    before = repository.store.request_counts()
    shown = prune.plan(repository.services, replace(wishes(repository), orphans=False))
    after = repository.store.request_counts()
    assert shown.orphans is None
    assert shown.sources == planned(repository).sources
    assert {kind: after[kind] - before[kind] for kind in after if after[kind] != before[kind]} == {
        "get": 1,
        "list": 1,  # which backups are held
    }


def test_what_no_rule_keeps_goes_and_the_rest_verifies_to_the_last_byte(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    old, new = two_chains(repository)
    result = pruned(repository)
    assert result.errors == []
    (source,) = result.sources
    assert source.removed == tuple(entry.backup_id for entry in reversed(old))
    assert source.freed_bytes == sum(entry.stored_size_bytes for entry in old)
    assert live(repository) == [entry.backup_id for entry in new]
    assert left_of(bucket, *old) == []
    assert_sound(repository)


def test_a_second_prune_has_nothing_to_do(repository: SyntheticRepository) -> None:
    two_chains(repository)
    pruned(repository)
    sequence = repository.head().sequence
    assert planned(repository).nothing_to_do
    assert pruned(repository).errors == []
    assert repository.head().sequence == sequence


def test_no_keep_rule_keeps_everything(repository: SyntheticRepository) -> None:
    two_chains(repository)
    assert planned(repository, KeepPolicy()).nothing_to_do


def test_the_head_goes_first_then_each_backup_from_its_manifest_on_descendants_first(
    repository: SyntheticRepository,
) -> None:
    old, _ = two_chains(repository)
    source_id = repository.source_id
    recorder = Recorder(repository.store)
    pruned(repository.through(recorder))
    assert recorder.written[0] == keys.head(source_id)
    expected = [
        root.format(entry.backup_id)
        for entry in reversed(old)
        for root in (
            f"{keys.MANIFESTS}{source_id}/{{}}.",
            f"{keys.INDEXES}{source_id}/{{}}.",
            f"{keys.CHUNKS}{source_id}/{{}}/",
        )
    ]
    assert len(recorder.written) == 1 + len(expected)
    for key, prefix in zip(recorder.written[1:], expected, strict=True):
        assert key.startswith(prefix)


def test_a_pinned_backup_and_its_ancestors_stay(repository: SyntheticRepository) -> None:
    old, new = two_chains(repository)
    asked = wishes(repository, pinned={old[1].backup_id: "a hold"})
    prune.execute(repository.services, prune.plan(repository.services, asked))
    assert live(repository) == [entry.backup_id for entry in (*old[:2], *new)]
    assert_sound(repository)


def test_the_parent_of_an_upload_in_progress_stays(repository: SyntheticRepository) -> None:
    old, new = two_chains(repository)
    begin, facts = repository.upload(old[0], size=SMALL)
    assert pruned(repository).errors == []
    assert live(repository) == [entry.backup_id for entry in (old[0], *new)]
    repository.commit(begin, facts, old[0])
    assert_sound(repository)


# Refused deletions


def test_objects_that_cannot_be_deleted_are_named_and_tried_again(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    old, _ = two_chains(repository)
    locked = next(key for key in left_of(bucket, old[1]) if key.startswith(keys.CHUNKS))
    result = pruned(repository.through(RefusesToDelete(repository.store, {locked})))
    (error,) = result.errors
    assert isinstance(error, RepositoryError)
    assert error.exit_code is ExitCode.REPOSITORY
    assert f"{locked} (AccessDenied)" in str(error)
    assert [failure.key for failure in result.sources[0].failures] == [locked]
    assert result.sources[0].removed == (old[2].backup_id, old[0].backup_id)
    assert left_of(bucket, *old) == [locked]
    assert pruned(repository).errors == []
    assert left_of(bucket, *old) == []


def test_while_a_manifest_cannot_be_deleted_its_chunks_stay(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    """A head that is lost now is rebuilt from the manifests: they must not promise too much."""
    old, _ = two_chains(repository)
    locked = {keys.manifest(repository.source_id, entry.backup_id) for entry in old}
    pruned(repository.through(RefusesToDelete(repository.store, locked)))
    bucket.remove(keys.head(repository.source_id))
    assert set(live(repository)) > {entry.backup_id for entry in old}
    report = verify_data(repository.services, [repository.source_id])
    assert [finding.problem.word for finding in report.findings] == ["head-lost"]


def test_a_lost_head_is_pruned_by_the_rebuilt_one(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    old, new = two_chains(repository)
    bucket.remove(keys.head(repository.source_id))
    assert pruned(repository).errors == []
    assert live(repository) == [entry.backup_id for entry in new]
    assert left_of(bucket, *old) == []
    assert_sound(repository)


# Versions


def test_no_version_of_a_removed_backup_is_left(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    bucket.keep_versions()
    old, _ = two_chains(repository)
    rewritten, hidden, *_ = left_of(bucket, *old)
    bucket.write(rewritten, b"someone wrote here")
    bucket.remove(hidden)
    assert pruned(repository).errors == []
    names = [str(entry.backup_id) for entry in old]
    assert [key for key in bucket.versions() if any(name in key for name in names)] == []
    assert_sound(repository)


def test_a_plain_delete_of_a_live_backups_version_is_never_made(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    bucket.keep_versions()
    two_chains(repository)
    before = len(bucket.versions())
    recorder = Recorder(repository.store)
    pruned(repository.through(recorder))
    # One more version of the head; nothing became a delete marker.
    assert len(bucket.versions()) == before + 1 - (len(recorder.written) - 1)


# Several sources


def test_a_source_that_cannot_be_read_stops_no_other(
    repository: SyntheticRepository, bucket: Bucket, state_directory: Path
) -> None:
    two_chains(repository)
    bucket.write(keys.head(repository.source_id), b"no head")
    other = SyntheticRepository(repository.store, state_directory)
    old, _ = two_chains(other)
    services = other.services
    result = prune.execute(services, prune.plan(services, wishes(repository, other)))
    (error,) = result.errors
    assert isinstance(error, IntegrityError)
    assert result.sources[0].error is error
    assert left_of(bucket, *old) == []
    assert_sound(other)


def test_a_service_that_is_gone_ends_the_run(
    repository: SyntheticRepository, state_directory: Path
) -> None:
    two_chains(repository)
    other = SyntheticRepository(repository.store, state_directory)
    two_chains(other)
    view = repository.through(StopsAfter(repository.store, 0))
    result = prune.execute(view.services, prune.plan(view.services, wishes(repository, other)))
    assert [source.source_id for source in result.sources] == [repository.source_id]
    assert [type(error) for error in result.errors] == [UnreachableError]
