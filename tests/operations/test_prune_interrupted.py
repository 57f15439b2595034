"""A prune that stops anywhere, and one that another writer is quicker than."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import InterruptedRunError, UnreachableError
from btrfs_to_s3.format import keys
from btrfs_to_s3.model.policy import KeepPolicy
from btrfs_to_s3.operations.prune import prune
from btrfs_to_s3.operations.prune.removal import RemovalJournal
from tests.operations.prune_helpers import (
    SMALL,
    assert_sound,
    left_of,
    live,
    planned,
    pruned,
    two_chains,
)
from tests.operations.repositories import SyntheticRepository
from tests.operations.stores import ActsOnce, Delegate, StopsAfter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from btrfs_to_s3.model.objects import DeleteFailure, DeleteTarget
    from btrfs_to_s3.operations.prune.prune import PruneResult
    from tests.operations.conftest import Bucket


# Stopping anywhere


class Crashes:
    """One repository, put back as it was before each crash."""

    def __init__(self, repository: SyntheticRepository, bucket: Bucket, directory: Path) -> None:
        parent = repository.backup(size=SMALL)
        self.old = [parent, repository.backup(parent, size=SMALL)]
        repository.backup(repository.backup(size=SMALL), size=SMALL)
        self.writes_of_a_whole_run = 1 + 3 * len(self.old)
        self._repository = repository
        self._bucket = bucket
        self._directory = directory
        self._objects = {key: bucket.read(key) for key in bucket.listing()}

    def crash(self, writes: int, *, answer_lost: bool) -> PruneResult:
        """Prune on a fresh host until a write fails; check, finish, check; put all back."""
        head_key = keys.head(self._repository.source_id)
        for key in {*self._objects.keys() - set(self._bucket.listing()), head_key}:
            self._bucket.write(key, self._objects[key])
        host = SyntheticRepository(
            self._repository.store,
            self._directory / f"{writes}-{answer_lost}",
            source_id=self._repository.source_id,
        )
        stopping = StopsAfter(self._repository.store, writes, answer_lost=answer_lost)
        stopped = pruned(host.through(stopping))
        assert_sound(host, surplus=True)
        # Everything is young: only the journal tells that it may go already.
        assert pruned(host).errors == []
        assert left_of(self._bucket, *self.old) == []
        assert_sound(host)
        assert not list(host.state.directory.rglob("prune/*"))
        return stopped


@pytest.fixture
def crashes(repository: SyntheticRepository, bucket: Bucket, state_directory: Path) -> Crashes:
    return Crashes(repository, bucket, state_directory)


def test_stopping_before_any_write_leaves_all_live_backups_whole_and_a_rerun_finishes(
    crashes: Crashes,
) -> None:
    for writes in range(crashes.writes_of_a_whole_run):
        stopped = crashes.crash(writes, answer_lost=False)
        assert [type(error) for error in stopped.errors] == [UnreachableError]
    assert crashes.crash(crashes.writes_of_a_whole_run, answer_lost=False).errors == []


@pytest.mark.parametrize("writes", [0, 1, 6], ids=["head", "first object", "last object"])
def test_a_lost_answer_is_no_worse_than_a_lost_write(crashes: Crashes, writes: int) -> None:
    assert crashes.crash(writes, answer_lost=True).errors != []


def test_leftovers_of_a_lost_journal_go_when_they_are_old_enough(
    repository: SyntheticRepository, bucket: Bucket, state_directory: Path
) -> None:
    old, _ = two_chains(repository)
    pruned(repository.through(StopsAfter(repository.store, 3)))
    shutil.rmtree(state_directory)
    assert planned(repository).nothing_to_do
    assert left_of(bucket, *old) != []
    repository.clock.advance(days=8)
    assert pruned(repository).errors == []
    assert left_of(bucket, *old) == []
    assert_sound(repository)


def test_a_plan_shows_what_an_earlier_run_left_unfinished(
    repository: SyntheticRepository,
) -> None:
    old, _ = two_chains(repository)
    pruned(repository.through(StopsAfter(repository.store, 4)))
    shown = planned(repository)
    assert shown.sources[0].unfinished == tuple(entry.backup_id for entry in (old[1], old[0]))
    assert not shown.nothing_to_do


def test_a_journalled_removal_that_was_never_committed_removes_nothing(
    repository: SyntheticRepository,
) -> None:
    """The run died before its head was written, and the rules are others now."""
    two_chains(repository)
    before = live(repository)
    pruned(repository.through(StopsAfter(repository.store, 0)))
    assert pruned(repository, KeepPolicy()).errors == []
    assert live(repository) == before
    assert_sound(repository)


def test_a_journalled_removal_does_not_act_on_a_head_older_than_itself(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    """A head rolled back, unnoticed because the cache is gone, lacks what was never removed."""
    repository.backup(size=SMALL)
    rolled_back = bucket.read(keys.head(repository.source_id))
    going = repository.backup(size=SMALL)
    repository.backup(size=SMALL)
    pruned(repository.through(StopsAfter(repository.store, 0)))
    bucket.write(keys.head(repository.source_id), rolled_back)
    shutil.rmtree(repository.state.directory / "head")
    assert pruned(repository).errors == []
    assert len(left_of(bucket, going)) == 3


def test_a_removed_backup_that_is_being_uploaded_again_is_left_alone(
    repository: SyntheticRepository,
) -> None:
    """The journal of removals must not reach for the objects of a new upload of the same id."""
    two_chains(repository)
    begin, facts = repository.upload(size=SMALL)
    RemovalJournal(repository.services, repository.source_id).begin(
        [replace(repository.head().backups[0], backup_id=begin.backup_id)], 1
    )
    pruned(repository)
    repository.commit(begin, facts)
    assert_sound(repository)


def test_an_interruption_ends_the_run_and_the_next_one_finishes(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    old, _ = two_chains(repository)
    shown = planned(repository)
    repository.cancel.set()
    result = prune.execute(repository.services, shown)
    assert [type(error) for error in result.errors] == [InterruptedRunError]
    repository.cancel = type(repository.cancel)()
    assert pruned(repository).errors == []
    assert left_of(bucket, *old) == []


# Races


@pytest.mark.parametrize("moment", ["after the plan", "at the commit"])
def test_a_backup_that_became_a_parent_stays_with_its_ancestors(
    moment: str, repository: SyntheticRepository
) -> None:
    old, _ = two_chains(repository)
    other = repository.from_host("other")
    shown = planned(repository)

    def build_on_it() -> None:
        other.backup(old[1], size=SMALL)

    if moment == "after the plan":
        build_on_it()
        result = prune.execute(repository.services, shown)
    else:
        store = ActsOnce(repository.store, keys.head(repository.source_id), build_on_it)
        result = prune.execute(repository.through(store).services, shown)
    assert result.errors == []
    assert result.sources[0].removed == (old[2].backup_id,)
    assert result.sources[0].spared == (old[1].backup_id, old[0].backup_id)
    assert_sound(repository)
    assert len(live(repository)) == 5


def test_new_backups_that_no_rule_keeps_protect_their_parent_all_the_same(
    repository: SyntheticRepository,
) -> None:
    """Only what was shown may go: not the new increment, hence not its parent either."""
    old, _ = two_chains(repository)
    other = repository.from_host("other")
    shown = planned(repository)
    increment = other.backup(old[0], size=SMALL)
    other.backup(size=SMALL)
    result = prune.execute(repository.services, shown)
    assert result.sources[0].removed == (old[2].backup_id, old[1].backup_id)
    assert increment.backup_id in live(repository)
    assert_sound(repository)


def test_two_prunes_at_once_do_not_hurt_each_other(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    old, new = two_chains(repository)
    other = repository.from_host("other")
    shown = planned(repository)
    assert pruned(other).errors == []
    assert prune.execute(repository.services, shown).errors == []
    assert live(repository) == [entry.backup_id for entry in new]
    assert left_of(bucket, *old) == []


class Rebuilt(Delegate):
    """Another host rebuilds the head once the chunks of the first removed backup are gone."""

    def __init__(self, repository: SyntheticRepository) -> None:
        super().__init__(repository.store)
        self._other: SyntheticRepository | None = repository.from_host("other")

    def delete(self, targets: Iterable[DeleteTarget]) -> Sequence[DeleteFailure]:
        wanted = list(targets)
        failures = super().delete(wanted)
        if self._other is not None and any(each.key.startswith("chunks/") for each in wanted):
            other, self._other = self._other, None
            other.head()
            other.access.rebuild(other.source_id)
        return failures


def test_what_a_head_that_was_rebuilt_meanwhile_lists_is_not_deleted(
    repository: SyntheticRepository,
) -> None:
    old, new = two_chains(repository)
    shown = planned(repository)
    result = prune.execute(repository.through(Rebuilt(repository)).services, shown)
    assert result.errors == []
    assert result.sources[0].removed == (old[2].backup_id,)
    assert set(result.sources[0].spared) == {each.backup_id for each in old[:2]}
    assert live(repository) == [each.backup_id for each in (*old[:2], *new)]
    assert_sound(repository)
