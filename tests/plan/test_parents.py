"""Which local subvolumes stand for a backup (design: the Btrfs rules)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.plan.backup.parents import (
    counterpart,
    judge_parent,
    lineage,
    stands_for,
    valid_parents,
)
from tests.plan.build import chain, entry, head, received_copy, snapshot_of, subvolume, uid
from tests.plan.strategies import quickly

if TYPE_CHECKING:
    from btrfs_to_s3.model.subvolume import Subvolume

BACKUP = entry(1)
COPY = received_copy(BACKUP, 30)


def test_the_unchanged_snapshot_is_a_valid_parent() -> None:
    assert judge_parent(snapshot_of(BACKUP), BACKUP, None).valid


def test_a_received_copy_is_valid_with_the_ctransid_recorded_after_its_sync() -> None:
    assert judge_parent(COPY, BACKUP, COPY.ctransid).valid


@pytest.mark.parametrize(
    ("local", "recorded", "reason"),
    [
        (replace(snapshot_of(BACKUP), readonly=False), None, "writable"),
        (replace(snapshot_of(BACKUP), ctransid=102), None, "changed after it was backed up"),
        (replace(snapshot_of(BACKUP), uuid=uid(9)), None, "is not backup"),
        (COPY, None, "not by a restore recorded"),
        (COPY, COPY.ctransid + 1, "changed after it was received"),
        (replace(COPY, readonly=False), COPY.ctransid, "writable"),
        (replace(COPY, stransid=1), COPY.ctransid, "another state"),
        (replace(COPY, received_uuid=uid(9)), COPY.ctransid, "is not backup"),
        (replace(COPY, received_uuid=None), COPY.ctransid, "is not backup"),
    ],
)
def test_anything_else_is_not_and_says_why(
    local: Subvolume, recorded: int | None, reason: str
) -> None:
    verdict = judge_parent(local, BACKUP, recorded)

    assert not verdict.valid
    assert reason in verdict.reason


@quickly
@given(st.integers(0, 2**63))
def test_generation_is_never_compared(generation: int) -> None:
    assert judge_parent(replace(snapshot_of(BACKUP), generation=generation), BACKUP, None).valid
    assert judge_parent(replace(COPY, generation=generation), BACKUP, COPY.ctransid).valid


def test_identity_asks_for_the_stream_and_its_transid_only() -> None:
    assert stands_for(replace(COPY, readonly=False, ctransid=1), BACKUP)
    assert not stands_for(replace(COPY, stransid=1), BACKUP)
    assert not stands_for(subvolume(3), BACKUP)


def test_the_snapshot_itself_is_preferred_to_a_copy() -> None:
    copy = replace(COPY, id=1)
    received = {copy.uuid: copy.ctransid}
    original = snapshot_of(BACKUP)
    assert counterpart(BACKUP, [copy, original], received) == original
    assert counterpart(BACKUP, [copy], received) == copy
    assert counterpart(BACKUP, [copy], {}) is None


def test_valid_parents_come_newest_first() -> None:
    entries = chain(4)
    local = [snapshot_of(item) for item in entries[:3]]
    local[1] = replace(local[1], ctransid=1)
    found = valid_parents(head(*entries), local, {})
    assert [parent.entry.sequence for parent in found] == [3, 1]


def test_valid_parents_find_received_copies() -> None:
    found = valid_parents(head(BACKUP), [COPY], {COPY.uuid: COPY.ctransid})
    assert [parent.local for parent in found] == [COPY]


def test_a_snapshot_of_a_received_copy_is_found_once() -> None:
    sent = entry(2, uuid=COPY.uuid)
    backup = replace(sent, stream=replace(sent.stream, uuid=uid(1)))
    local = replace(COPY, ctransid=backup.snapshot_ctransid)
    assert [parent.local for parent in valid_parents(head(backup), [local], {})] == [local]


def test_lineage_goes_back_through_what_is_gone() -> None:
    middle = subvolume(2, parent=uid(1))
    last = subvolume(3, parent=uid(2))
    assert lineage([uid(3)], [middle, last]) == {uid(3), uid(2), uid(1)}
    assert lineage([uid(3), None], [last]) == {uid(3), uid(2)}


def test_a_lineage_that_is_its_own_ancestor_ends() -> None:
    assert lineage([uid(1)], [subvolume(1, parent=uid(2)), subvolume(2, parent=uid(1))]) == {
        uid(1),
        uid(2),
    }
