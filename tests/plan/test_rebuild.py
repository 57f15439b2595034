"""A lost head is rebuilt from the manifests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.model.backup import RequestRecord
from btrfs_to_s3.plan.chain import chain_of, live_chains
from btrfs_to_s3.plan.rebuild import entry_of, rebuild_head, requests_of
from tests.plan.build import SOURCE_ID, SOURCE_UUID, T0, chain, days, entry, manifests, record, uid
from tests.plan.strategies import forests, quickly

if TYPE_CHECKING:
    from collections.abc import Iterable

    from btrfs_to_s3.model.backup import HeadEntry
    from btrfs_to_s3.plan.chain import HashedManifest
    from btrfs_to_s3.plan.rebuild import RebuiltHead


def rebuilt(stored: Iterable[HashedManifest], after: int = 0) -> RebuiltHead:
    return rebuild_head(
        stored, record(), repository_id="r", writer="w", written=T0, after_sequence=after
    )


def test_the_rebuilt_head_lists_what_the_lost_one_listed() -> None:
    stored = manifests(*chain(3))
    entries = tuple(
        replace(each, requests=requests_of(made))
        for each, (made, _) in zip(chain(3), stored, strict=True)
    )
    result = rebuilt(stored)
    assert result.head.backups == entries
    assert result.head.sequence == 3
    assert result.head.subvolume_uuid == SOURCE_UUID
    assert result.left_out == ()


def test_an_entry_repeats_its_manifest() -> None:
    ((made, digest),) = manifests(entry(1))
    known = RequestRecord(made.requests, "STANDARD", 1)
    assert entry_of(made, digest, sequence=1) == replace(entry(1), requests=known)
    listed = replace(made, catalog=made.index)
    assert requests_of(listed).metadata_objects == 2


def test_nothing_stored_gives_an_empty_head() -> None:
    result = rebuilt([])
    assert result.head.backups == ()
    assert result.head.subvolume_uuid == SOURCE_UUID


def test_a_rebuilt_head_counts_as_newer_than_an_older_copy() -> None:
    assert rebuilt(manifests(*chain(2)), after=17).head.sequence == 18


def test_the_source_is_what_the_newest_backup_was_taken_of() -> None:
    full, (child, digest) = manifests(*chain(2))
    moved = replace(
        child,
        snapshot=replace(child.snapshot, parent_uuid=uid(50)),
    )
    assert rebuilt([full, (moved, digest)]).head.subvolume_uuid == uid(50)


def test_a_child_without_its_parent_is_left_out_with_all_that_need_it() -> None:
    stored = manifests(*chain(4))
    result = rebuilt([stored[0], *stored[2:]])
    assert [item.sequence for item in result.head.backups] == [1]
    reasons = [line.reason for line in result.left_out]
    assert "is missing" in reasons[0]
    assert "was left out" in reasons[1]


def test_a_child_of_another_manifest_of_its_parent_is_left_out() -> None:
    (full, digest), child, last = manifests(*chain(3))
    changed = (replace(full, program="edited by hand"), "ee" * 32)
    assert changed[1] != digest
    result = rebuilt([changed, child, last])
    assert [item.sequence for item in result.head.backups] == [1]
    assert "another manifest" in result.left_out[0].reason


def test_two_manifests_of_one_id_are_both_left_out() -> None:
    (made, digest) = manifests(entry(1))[0]
    result = rebuilt([(made, digest), (replace(made, program="other"), "ee" * 32)])
    assert result.head.backups == ()
    assert [line.reason for line in result.left_out] == [
        "there are different manifests of this id"
    ] * 2


def test_the_same_manifest_read_twice_counts_once() -> None:
    (made,) = manifests(entry(1))
    assert len(rebuilt([made, made]).head.backups) == 1


def test_another_sources_manifest_is_left_out() -> None:
    (made, digest) = manifests(entry(1))[0]
    other = replace(made, source_id=replace(SOURCE_ID, suffix="00000000"))
    result = rebuilt([(other, digest)])
    assert result.head.backups == ()
    assert "belongs to" in result.left_out[0].reason


def test_parents_come_first_even_when_their_clock_was_ahead() -> None:
    full = entry(1, time=T0 + days(3000))
    child = entry(2, full)
    result = rebuilt(reversed(manifests(full, child)))
    assert [item.backup_id for item in result.head.backups] == [full.backup_id, child.backup_id]


@quickly
@given(forests(), st.data())
def test_any_manifests_in_any_order_give_the_same_head_of_complete_chains(
    entries: tuple[HeadEntry, ...], data: st.DataObject
) -> None:
    stored = manifests(*entries)
    present = [made for made in stored if data.draw(st.booleans())] if stored else []
    result = rebuilt(present)
    assert result == rebuilt(data.draw(st.permutations(present)))
    live_chains(result.head)
    listed = {item.backup_id for item in result.head.backups}
    left_out = {line.backup_id for line in result.left_out}
    assert listed.isdisjoint(left_out)
    assert listed | left_out == {made[0].backup_id for made in present}
    seen = set()
    for number, item in enumerate(result.head.backups, start=1):
        assert item.sequence == number
        assert item.parent is None or item.parent in seen
        seen.add(item.backup_id)


@quickly
@given(forests(min_size=1))
def test_every_complete_chain_is_found_again(entries: tuple[HeadEntry, ...]) -> None:
    result = rebuilt(manifests(*entries))
    assert {item.backup_id for item in result.head.backups} == {item.backup_id for item in entries}
    for item in entries:
        assert chain_of(result.head, item.backup_id)[-1].stream == item.stream
