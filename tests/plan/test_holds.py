"""Holds: read off the keys of notes, and how a head gets back what was held."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.model.hold import NoteKey
from btrfs_to_s3.plan.chain import chain_of, live_chains
from btrfs_to_s3.plan.retention.holds import held, next_note_time, pin_reason, with_held
from btrfs_to_s3.plan.retention.retention import plan_prune
from tests.plan.build import T0, chain, days, entry, head
from tests.plan.strategies import heads, policies, presents, quickly, times

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.model.policy import KeepPolicy

BACKUP = entry(1).backup_id
OTHER = entry(2).backup_id


def note(what: str, moment: float = 0, backup: object = BACKUP) -> NoteKey:
    return NoteKey(OTHER if backup is OTHER else BACKUP, T0 + timedelta(seconds=moment), what)


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ([], False),
        ([note("hold")], True),
        ([note("hold"), note("release", 1)], False),
        ([note("release", 1), note("hold")], False),
        ([note("hold"), note("release", 1), note("hold", 2)], True),
        ([note("release"), note("hold")], True),
        ([note("hold"), note("release")], True),
        ([note("hold"), note("drill", 5)], True),
        ([note("hold", 0, OTHER)], False),
    ],
)
def test_the_latest_note_about_a_hold_decides_and_a_tie_holds(
    notes: list[NoteKey], *, expected: bool
) -> None:
    assert (BACKUP in held(notes)) is expected


@given(st.lists(times, max_size=6), times)
def test_a_note_is_later_than_all_there_are_whatever_the_clock_says(
    there: list[datetime], now: datetime
) -> None:
    notes = [NoteKey(BACKUP, time, "hold") for time in there]
    time = next_note_time(now, notes)
    assert all(time > each for each in there)
    assert time == now or now <= max(there)


def test_nothing_follows_the_end_of_time() -> None:
    with pytest.raises(IntegrityError):
        next_note_time(T0, [NoteKey(BACKUP, datetime.max.replace(tzinfo=UTC), "hold")])


def test_what_is_held_comes_back_with_its_ancestors_in_its_old_place() -> None:
    old, new = chain(3), entry(9)
    removed = {item.backup_id: item for item in old}
    back = with_held(head(new), [old[1].backup_id], removed)
    assert back is not None
    assert back.backups == (old[0], old[1], new)


def test_nothing_comes_back_that_is_not_held_or_is_there_or_lacks_an_ancestor() -> None:
    old, new = chain(3), entry(9)
    removed = {item.backup_id: item for item in old}
    assert with_held(head(new), [], removed) is None
    assert with_held(head(*old, new), [old[1].backup_id], removed) is None
    del removed[old[0].backup_id]
    assert with_held(head(new), [old[1].backup_id], removed) is None
    assert with_held(None, [old[1].backup_id], removed) is None


@quickly
@given(heads(min_size=2), policies, presents, st.data())
def test_a_hold_beats_every_rule_and_keeps_its_whole_chain(
    forest: Head, policy: KeepPolicy, now: datetime, data: st.DataObject
) -> None:
    item = data.draw(st.sampled_from(forest.backups))
    reason = pin_reason(NoteKey(item.backup_id, now, "hold"))
    result = plan_prune(forest, policy, now, {item.backup_id: reason})
    shorter = replace(forest, backups=result.remaining)
    assert chain_of(shorter, item.backup_id) == chain_of(forest, item.backup_id)
    (line,) = (line for line in result.lines if line.entry == item)
    assert reason in line.reasons


@quickly
@given(heads(min_size=2), policies, presents, st.data())
def test_held_between_commit_and_deletion_leaves_the_same_as_held_before(
    forest: Head, policy: KeepPolicy, now: datetime, data: st.DataObject
) -> None:
    chosen = data.draw(st.sets(st.sampled_from([item.backup_id for item in forest.backups])))
    late = plan_prune(forest, policy, now)
    shorter = replace(forest, backups=late.remaining)
    removed = {item.backup_id: item for item in late.removals}
    back = with_held(shorter, chosen, removed) or shorter
    live_chains(back)
    early = plan_prune(forest, policy, now, dict.fromkeys(chosen, "held"))
    assert set(back.backups) == set(early.remaining)


def test_ten_thousand_held_backups_come_back_at_once() -> None:
    old = chain(10_000)
    removed = {item.backup_id: item for item in old}
    back = with_held(head(entry(20_000, time=T0 + days(30_000))), removed.keys(), removed)
    assert back is not None
    assert len(back.backups) == 10_001
