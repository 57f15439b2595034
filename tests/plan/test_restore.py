"""Which links of a chain are received."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.plan.backup.parents import judge_parent
from btrfs_to_s3.plan.restore.restore import Action, RestoreTarget, plan_restore, receive_candidates
from tests.plan.build import chain, received_copy, snapshot_of, subvolume, uid
from tests.plan.strategies import quickly

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from btrfs_to_s3.model.backup import HeadEntry
    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.plan.restore.restore import RestorePlan

ENTRIES = chain(3)


def target(entries: Sequence[HeadEntry] = ENTRIES, taken: Iterable[str] = ()) -> RestoreTarget:
    names = {item.backup_id: f"data.{item.sequence}" for item in entries}
    return RestoreTarget("restored", names, frozenset(taken))


def plan(
    *local: Subvolume,
    recorded: Iterable[Subvolume] | None = None,
    to: RestoreTarget | None = None,
) -> RestorePlan:
    records = {item.uuid: item.ctransid for item in (local if recorded is None else recorded)}
    return plan_restore(ENTRIES, local, records, to or target())


def actions(result: RestorePlan) -> list[Action]:
    assert result.refusal is None, result.refusal
    return [link.action for link in result.links]


def reason_refused(result: RestorePlan) -> str:
    assert result.refusal is not None
    assert result.links == ()
    return result.refusal.reason


def test_an_empty_filesystem_receives_the_whole_chain_in_order() -> None:
    result = plan()
    assert actions(result) == [Action.RECEIVE] * 3
    assert result.to_receive == ENTRIES
    assert result.raw_size_bytes == 3000
    assert result.stored_size_bytes == 1200


def test_links_received_before_are_reused() -> None:
    first = received_copy(ENTRIES[0], 30)
    second = received_copy(ENTRIES[1], 31, parent=first.uuid)
    result = plan(first, second)
    assert actions(result) == [Action.NOT_NEEDED, Action.REUSE, Action.RECEIVE]
    assert result.links[1].local == second
    assert result.links[2].parent == second
    assert result.to_receive == ENTRIES[2:]


def test_the_original_snapshot_is_reused_where_it_still_is() -> None:
    result = plan(snapshot_of(ENTRIES[1]))
    assert actions(result) == [Action.NOT_NEEDED, Action.REUSE, Action.RECEIVE]


def test_a_changed_original_is_passed_by() -> None:
    result = plan(replace(snapshot_of(ENTRIES[1]), ctransid=1))
    assert actions(result) == [Action.RECEIVE] * 3


def test_a_copy_that_receive_would_choose_but_nobody_vouches_for_is_refused() -> None:
    stranger = received_copy(ENTRIES[1], 31)
    result = plan(stranger, recorded=[])
    assert stranger.path in reason_refused(result)
    assert "not by a restore recorded" in reason_refused(result)


def test_a_changed_copy_of_the_oldest_link_is_refused_too() -> None:
    first = received_copy(ENTRIES[0], 30)
    assert "changed after" in reason_refused(
        plan(replace(first, ctransid=9), recorded=[first]),
    )


def test_an_older_bad_copy_does_not_matter_behind_a_good_link() -> None:
    bad = received_copy(ENTRIES[0], 30)
    good = received_copy(ENTRIES[1], 31)
    assert actions(plan(bad, good, recorded=[good]))[1] is Action.REUSE


def test_a_copy_of_the_last_link_elsewhere_stands_in_nobodys_way() -> None:
    stranger = received_copy(ENTRIES[2], 32)
    assert actions(plan(stranger, recorded=[])) == [Action.RECEIVE] * 3
    assert actions(plan(stranger)) == [Action.RECEIVE] * 3


def test_the_copy_that_came_first_decides() -> None:
    good = received_copy(ENTRIES[1], 31)
    later = received_copy(ENTRIES[1], 40)
    assert actions(plan(later, good, recorded=[good]))[1] is Action.REUSE
    assert plan(later, good, recorded=[later]).refusal is not None


def test_a_snapshot_of_a_received_copy_comes_after_it_whatever_its_transids_say() -> None:
    copy = received_copy(ENTRIES[0], 31)
    heir = replace(copy, uuid=uid(80), id=copy.id + 1, otransid=copy.rtransid + 5)
    assert receive_candidates(ENTRIES[0], [heir, copy]) == (copy, heir)


def test_a_received_copy_is_chosen_before_the_original() -> None:
    original = snapshot_of(ENTRIES[0])
    copy = received_copy(ENTRIES[0], 31)
    assert receive_candidates(ENTRIES[0], [original, copy]) == (copy, original)


def test_what_the_uuid_tree_says_is_believed() -> None:
    good = received_copy(ENTRIES[1], 31)
    bad = received_copy(ENTRIES[1], 40)
    result = plan_restore(
        ENTRIES,
        [good, bad],
        {good.uuid: good.ctransid},
        target(),
        candidates={ENTRIES[1].stream.uuid: [bad, good]},
    )
    assert bad.path in reason_refused(result)


def test_a_restore_that_is_complete_needs_nothing() -> None:
    done = received_copy(ENTRIES[2], 32, path="restored/data.3")
    result = plan(done, to=target(taken=["data.3"]))
    assert actions(result) == [Action.NOT_NEEDED, Action.NOT_NEEDED, Action.REUSE]
    assert result.raw_size_bytes == 0


def test_a_taken_name_is_refused() -> None:
    done = received_copy(ENTRIES[2], 32, path="restored/data.3")
    assert "exists" in reason_refused(plan(done, recorded=[], to=target(taken=["data.3"])))
    assert "exists" in reason_refused(plan(to=target(taken=["data.1"])))


def test_a_taken_name_of_a_link_that_is_not_received_does_not_matter() -> None:
    first = received_copy(ENTRIES[0], 30, path="restored/data.1")
    assert actions(plan(first, to=target(taken=["data.1"])))[0] is Action.REUSE


def test_links_of_one_name_are_refused() -> None:
    names = {item.backup_id: "snapshot" for item in ENTRIES}
    result = plan(to=RestoreTarget("restored", names, frozenset()))
    assert "both named snapshot" in reason_refused(result)


def test_a_target_at_the_top_level_has_plain_paths() -> None:
    to = RestoreTarget("", {ENTRIES[0].backup_id: "x"}, frozenset())
    assert to.path_of(ENTRIES[0].backup_id) == "x"


def test_nothing_cannot_be_restored() -> None:
    assert plan_restore((), (), {}, target()).refusal is not None


LOCALS = st.lists(
    st.builds(
        lambda item, number, kind, changed: (
            (snapshot_of(item) if kind == "original" else received_copy(item, number)),
            kind == "recorded",
            changed,
        ),
        st.sampled_from(ENTRIES),
        st.integers(30, 60),
        st.sampled_from(["original", "recorded", "unknown"]),
        st.booleans(),
    ),
    max_size=6,
    unique_by=lambda made: made[0].uuid,
)


def recording(made: list[tuple[Subvolume, bool, bool]]) -> tuple[list[Subvolume], dict[UUID, int]]:
    local = [replace(item, ctransid=7) if changed else item for item, _, changed in made]
    return local, {item.uuid: item.ctransid for item, recorded, _ in made if recorded}


@quickly
@given(LOCALS)
def test_receive_never_builds_on_what_is_not_valid(
    made: list[tuple[Subvolume, bool, bool]],
) -> None:
    local, records = recording(made)
    result = plan_restore(ENTRIES, local, records, target())
    if result.refusal is not None:
        return
    assert tuple(link.entry for link in result.links) == ENTRIES
    there = list(local)
    last: Subvolume | None = None
    for link in result.links:
        if link.action is Action.REUSE:
            assert link.local is not None
            last = link.local
            assert judge_parent(last, link.entry, records.get(last.uuid)).valid
        elif link.action is Action.RECEIVE:
            if link.entry.parent is not None:
                parent = next(item for item in ENTRIES if item.backup_id == link.entry.parent)
                assert receive_candidates(parent, there)[0] == last
            last = received_copy(link.entry, 100 + link.entry.sequence)
            there.append(last)
    assert last is not None
    assert last.stream_uuid == ENTRIES[-1].stream.uuid


def test_a_writable_subvolume_without_identity_is_ignored() -> None:
    assert actions(plan(subvolume(50))) == [Action.RECEIVE] * 3
