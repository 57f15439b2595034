"""Holds on a real service: from any host, and beside a prune that is quicker or slower."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import ExitCode, RaceLostError, UnreachableError, UsageError
from btrfs_to_s3.format import keys
from btrfs_to_s3.operations.prune import prune
from btrfs_to_s3.operations.prune.holds import add_hold, held_backups, list_holds, remove_hold
from tests.operations.prune_helpers import (
    assert_sound,
    left_of,
    live,
    planned,
    pruned,
    two_chains,
)
from tests.operations.stores import ActsOnce, Delegate, Recorder, StopsAfter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from btrfs_to_s3.model.backup import HeadEntry
    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.model.objects import Condition, ListedObject, Role, StoredObject
    from btrfs_to_s3.ports import Body
    from tests.operations.conftest import Bucket
    from tests.operations.repositories import SyntheticRepository


class AfterTheCommit(Delegate):
    """Does something, once, when a listing below ``prefix`` begins after the head was written."""

    def __init__(
        self, repository: SyntheticRepository, prefix: str, act: Callable[[], object]
    ) -> None:
        super().__init__(repository.store)
        self._head, self._prefix, self._act = keys.head(repository.source_id), prefix, act
        self._pending = self._committed = False

    def put(
        self, key: str, body: Body, *, sha256: bytes, role: Role, condition: Condition
    ) -> StoredObject:
        """Put, and see whether it was the commit."""
        if key == self._head and not self._committed:
            self._pending = self._committed = True
        return super().put(key, body, sha256=sha256, role=role, condition=condition)

    def list(self, prefix: str) -> Iterator[ListedObject]:
        """List, after the act."""
        if self._pending and prefix.startswith(self._prefix):
            self._pending = False
            self._act()
        return super().list(prefix)


def hold(repository: SyntheticRepository, entry: HeadEntry, reason: str | None = None) -> None:
    add_hold(repository.services, f"{repository.source_id}@{entry.backup_id}", reason)


def release(repository: SyntheticRepository, entry: HeadEntry) -> None:
    remove_hold(repository.services, f"{repository.source_id}@{entry.backup_id}")


def held(repository: SyntheticRepository) -> list[BackupId]:
    return sorted(held_backups(repository.services, repository.source_id))


def ids(*entries: HeadEntry) -> list[BackupId]:
    return [entry.backup_id for entry in entries]


# By itself


def test_a_held_backup_stays_with_its_ancestors_until_it_is_released(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    old, new = two_chains(repository)
    hold(repository.from_host("laptop"), old[1], "before the audit")
    shown = planned(repository).sources[0].plan
    assert shown is not None
    assert [line.reasons for line in shown.lines][:2] == [
        (f"{old[1].backup_id} needs it",),
        (f"it is held since {repository.clock.now:%Y-%m-%dT%H:%M:%SZ}",),
    ]
    assert pruned(repository).errors == []
    assert live(repository) == ids(*old[:2], *new)
    assert_sound(repository)
    release(repository, old[1])
    assert pruned(repository).errors == []
    assert live(repository) == ids(*new)
    assert left_of(bucket, *old) == []


def test_the_last_word_counts_whatever_the_clocks_say(repository: SyntheticRepository) -> None:
    (old, *_), _ = two_chains(repository)
    repository.clock.advance(days=400)
    hold(repository, old)
    repository.clock.advance(days=-800)
    release(repository, old)
    assert held(repository) == []
    hold(repository, old)
    assert held(repository) == ids(old)
    assert len(left_of_notes(repository)) == 3


def left_of_notes(repository: SyntheticRepository) -> list[str]:
    return [each.key for each in repository.store.list(keys.notes(repository.source_id))]


def test_holding_again_writes_only_what_is_new(repository: SyntheticRepository) -> None:
    (old, *_), _ = two_chains(repository)
    hold(repository, old)
    hold(repository, old)
    assert len(left_of_notes(repository)) == 1
    hold(repository, old, "now I know why")
    (found,) = list_holds(repository.services, None).holds
    assert (found.backup_id, found.reason) == (old.backup_id, "now I know why")
    assert found.writer == repository.access.host.writer


def test_only_what_is_held_can_be_released(repository: SyntheticRepository) -> None:
    (first, second, _), _ = two_chains(repository)
    hold(repository, first)
    with pytest.raises(UsageError) as caught:
        release(repository, second)
    assert str(first.backup_id) in str(caught.value.hint)


def test_which_backups_are_held_takes_one_listing_and_no_reading(
    repository: SyntheticRepository,
) -> None:
    old, _ = two_chains(repository)
    for entry in old:
        hold(repository, entry)
    before = dict(repository.store.request_counts())
    assert len(held(repository)) == 3
    after = repository.store.request_counts()
    assert after["list"] - before["list"] == 1
    assert after["get"] == before["get"]


def test_a_garbled_note_holds_all_the_same(repository: SyntheticRepository, bucket: Bucket) -> None:
    (old, *_), _ = two_chains(repository)
    hold(repository, old, "why")
    bucket.write(left_of_notes(repository)[0], b"no note")
    assert held(repository) == ids(old)
    (found,) = list_holds(repository.services, str(repository.source_id)).holds
    assert found.reason is None


def test_a_note_of_another_kind_is_no_hold_and_notes_go_with_their_backup(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    (old, *_), _ = two_chains(repository)
    bucket.write(keys.note(repository.source_id, old.backup_id, repository.clock(), "drill"), b"{}")
    assert pruned(repository).errors == []
    assert left_of_notes(repository) == []


# Beside a prune


def test_a_hold_behind_the_plan_is_seen_before_the_commit(repository: SyntheticRepository) -> None:
    old, new = two_chains(repository)
    shown = planned(repository)
    hold(repository, old[1])
    recorder = Recorder(repository.store)
    result = prune.execute(repository.through(recorder).services, shown)
    assert result.errors == []
    assert result.sources[0].spared == tuple(reversed(ids(*old[:2])))
    assert recorder.written.count(keys.head(repository.source_id)) == 1
    assert live(repository) == ids(*old[:2], *new)


def test_a_hold_just_before_the_commit_is_put_back_before_anything_is_deleted(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    """The commit's look at the holds was over; ``hold add`` still saw the backup live."""
    old, new = two_chains(repository)
    key = keys.head(repository.source_id)
    other = repository.from_host("laptop")
    store = ActsOnce(repository.store, key, lambda: hold(other, old[1]))
    result = pruned(repository.through(store))
    assert result.errors == []
    assert result.sources[0].removed == (old[2].backup_id,)
    assert set(result.sources[0].spared) == set(ids(*old[:2]))
    assert live(repository) == ids(*old[:2], *new)
    assert repository.head().backups[:2] == tuple(old[:2])
    assert left_of(bucket, old[2]) == []
    assert_sound(repository)


@pytest.mark.parametrize("listing", [keys.NOTES, keys.MANIFESTS], ids=["second look", "deletion"])
def test_a_note_behind_the_commit_counts_until_the_second_look(
    listing: str, repository: SyntheticRepository, bucket: Bucket
) -> None:
    old, new = two_chains(repository)
    key = keys.note(repository.source_id, old[1].backup_id, repository.clock(), "hold")
    store = AfterTheCommit(repository, listing, lambda: bucket.write(key, b"{}"))
    assert pruned(repository.through(store)).errors == []
    back = ids(*old[:2]) if listing == keys.NOTES else []
    assert live(repository) == [*back, *ids(*new)]
    assert_sound(repository)


def test_a_hold_that_a_prune_was_quicker_than_fails_plainly(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    (old, *_), new = two_chains(repository)
    notes = keys.notes(repository.source_id, old.backup_id)
    store = ActsOnce(repository.store, notes, lambda: pruned(repository))
    with pytest.raises(RaceLostError) as caught:
        hold(repository.from_host("laptop").through(store), old)
    assert caught.value.exit_code is ExitCode.SOURCES_FAILED
    assert "not live any more" in str(caught.value)
    assert live(repository) == ids(*new)
    # The note is a leftover like any other.
    repository.clock.advance(days=8)
    whole = prune.PruneWishes((), timedelta(days=7), whole_repository=True)
    prune.execute(repository.services, prune.plan(repository.services, whole))
    assert left_of(bucket, old) == []


def stopped_before_it_could_put_back(repository: SyntheticRepository, entry: HeadEntry) -> None:
    """A prune that dies behind its commit, with a hold that was successful before it."""
    other = repository.from_host("laptop")
    key = keys.head(repository.source_id)
    racing = ActsOnce(repository.store, key, lambda: hold(other, entry))
    result = pruned(repository.through(StopsAfter(racing, 1)))
    assert [type(error) for error in result.errors] == [UnreachableError]
    assert entry.backup_id not in live(repository)


def test_the_next_prune_puts_back_what_a_stopped_one_could_not(
    repository: SyntheticRepository,
) -> None:
    old, new = two_chains(repository)
    stopped_before_it_could_put_back(repository, old[1])
    result = pruned(repository)
    assert result.errors == []
    assert set(result.sources[0].spared) == set(ids(*old[:2]))
    assert result.sources[0].removed == (old[2].backup_id,)
    assert live(repository) == ids(*old[:2], *new)
    assert repository.head().backups[:2] == tuple(old[:2])
    assert_sound(repository)


def test_what_is_held_is_no_orphan_where_the_journal_of_the_stopped_prune_is_lost(
    repository: SyntheticRepository, state_directory: Path
) -> None:
    old, _ = two_chains(repository)
    stopped_before_it_could_put_back(repository, old[1])
    shutil.rmtree(state_directory)
    repository.clock.advance(days=8)
    orphans = planned(repository).orphans
    assert orphans is not None
    left = {backup_id: reason for (_, backup_id), reason in orphans.plan.left}
    assert "held, but not live" in left[old[1].backup_id]
    assert pruned(repository).errors == []
    repository.access.rebuild(repository.source_id)
    assert set(ids(*old[:2])) < set(live(repository))
    assert_sound(repository)


def test_a_manifest_that_is_gone_is_not_waited_for(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    """The hold came too late, and said so: what was begun is finished."""
    old, new = two_chains(repository)
    pruned(repository.through(StopsAfter(repository.store, 2)))
    late = keys.note(repository.source_id, old[2].backup_id, repository.clock(), "hold")
    bucket.write(late, b"{}")
    assert pruned(repository).errors == []
    assert live(repository) == ids(*new)
    assert left_of(bucket, *old) == []
