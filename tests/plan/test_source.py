"""Which stored source a subvolume continues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.model.identity import SourceId
from btrfs_to_s3.plan.backup.source import KnownSource, NewSource, SourceQuery, match_source
from btrfs_to_s3.plan.refusal import Refusal
from tests.plan.build import (
    HOST_ID,
    SOURCE_ID,
    SOURCE_UUID,
    chain,
    entry,
    head,
    received_copy,
    snapshot_of,
    source,
    subvolume,
    uid,
)

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.plan.backup.source import SourceMatch

OTHER_ID = SourceId("other", "0000000f")


def match(
    local: Subvolume,
    *others: Subvolume,
    heads: tuple[Head, ...] = (),
    label: str = "data",
    host_name: str = "nas",
    host_id: str = HOST_ID,
    adopt: SourceId | None = None,
    new: bool = False,
) -> SourceMatch:
    return match_source(
        SourceQuery(local, (local, *others), heads, label, host_id, host_name, adopt, new)
    )


def known(result: SourceMatch) -> KnownSource:
    assert isinstance(result, KnownSource), result
    return result


def refused(result: SourceMatch) -> Refusal:
    assert isinstance(result, Refusal), result
    return result


def test_an_empty_repository_gets_a_new_source() -> None:
    assert isinstance(match(source()), NewSource)


def test_a_source_is_known_by_its_uuid_under_any_name() -> None:
    mine = head(*chain(2))
    result = match(source(), heads=(head(source_id=OTHER_ID, subvolume=uid(9)), mine), label="new")
    assert known(result).head == mine


def test_a_known_name_with_an_unknown_uuid_needs_a_decision() -> None:
    mine = head(*chain(2), subvolume=uid(70))
    result = refused(match(source(), heads=(mine,)))
    assert f"--adopt {SOURCE_ID}" in result.remedy
    assert "--new" in result.remedy


@pytest.mark.parametrize(("host_name", "host_id"), [("nas", "reinstalled"), ("renamed", HOST_ID)])
def test_a_host_is_known_by_name_or_id(host_name: str, host_id: str) -> None:
    mine = head(*chain(1), subvolume=uid(70))
    result = match(source(), heads=(mine,), host_name=host_name, host_id=host_id)
    assert isinstance(result, Refusal)


def test_the_same_name_on_another_host_is_another_source() -> None:
    mine = head(*chain(1), subvolume=uid(70))
    result = match(source(), heads=(mine,), host_name="laptop", host_id="x")
    assert isinstance(result, NewSource)


def test_after_a_disaster_restore_the_source_is_known_by_what_it_was_made_from() -> None:
    lost = head(*chain(2), subvolume=uid(70))
    copy = received_copy(lost.backups[1], 30)
    restored = source(parent=copy.uuid)
    result = known(match(restored, copy, heads=(lost,), host_name="new-machine", host_id="y"))
    assert result.head == lost
    assert "restored from backup" in result.reason
    assert "last written by host nas" in result.reason


def test_a_rolled_back_source_is_known_by_the_snapshot_it_was_made_from() -> None:
    mine = head(*chain(2), subvolume=uid(70))
    rolled_back = source(parent=mine.backups[0].snapshot_uuid)
    assert known(match(rolled_back, heads=(mine,))).head == mine


def test_a_source_is_known_by_its_own_snapshot() -> None:
    mine = head(*chain(2), subvolume=uid(70))
    assert known(match(source(), snapshot_of(mine.backups[0]), heads=(mine,))).head == mine


def test_a_copy_of_another_state_is_no_evidence() -> None:
    lost = head(*chain(1), subvolume=uid(70))
    stale = subvolume(30, received=lost.backups[0].stream.uuid, stransid=1, readonly=True)
    assert isinstance(match(source(parent=stale.uuid), stale, heads=(lost,)), Refusal)


def test_a_clone_does_not_take_over_while_the_original_is_there() -> None:
    mine = head(*chain(2))
    clone = subvolume(40, parent=mine.backups[1].snapshot_uuid, path="clone")
    others = (source(), snapshot_of(mine.backups[1]))
    result = match(clone, *others, heads=(mine,), label="clone")
    assert isinstance(result, NewSource)
    assert "still here" in result.reason
    same_name = refused(match(clone, *others, heads=(mine,)))
    assert "of the subvolume that is now data" in same_name.reason


def test_evidence_for_two_sources_needs_a_decision() -> None:
    backup = entry(1)
    first = head(backup, subvolume=uid(70))
    second = head(backup, source_id=OTHER_ID, subvolume=uid(71))
    result = refused(match(source(), snapshot_of(backup), heads=(first, second)))
    assert str(SOURCE_ID) in result.remedy
    assert str(OTHER_ID) in result.remedy


def test_of_two_sources_of_one_subvolume_the_later_one_goes_on() -> None:
    older = head(*chain(2))
    newer = head(entry(5), source_id=OTHER_ID)
    empty = head(source_id=SourceId("data", "00000003"))
    assert known(match(source(), heads=(older, newer, empty))).head == newer
    assert known(match(source(), heads=(newer, empty, older))).head == newer


def test_two_sources_of_one_state_need_a_decision() -> None:
    heads = (head(entry(1)), head(entry(1), source_id=OTHER_ID))
    assert "--adopt" in refused(match(source(), heads=heads)).remedy


def test_adopting_continues_the_named_source() -> None:
    mine = head(*chain(1), subvolume=uid(70))
    assert known(match(source(), heads=(mine,), adopt=SOURCE_ID)).head == mine


def test_adopting_an_unknown_source_lists_what_exists() -> None:
    result = refused(match(source(), heads=(head(),), adopt=OTHER_ID))
    assert str(SOURCE_ID) in result.remedy
    assert "no sources" in refused(match(source(), adopt=OTHER_ID)).remedy


def test_a_new_source_can_be_asked_for() -> None:
    assert isinstance(match(source(), heads=(head(),), new=True), NewSource)


def test_adopt_and_new_exclude_each_other() -> None:
    result = refused(match(source(), heads=(head(),), adopt=SOURCE_ID, new=True))
    assert result.as_error().hint == "give one of them"


def test_a_path_is_never_evidence() -> None:
    mine = head(*chain(1))
    imposter = subvolume(41, path="data")
    assert imposter.uuid != SOURCE_UUID
    assert isinstance(match(imposter, heads=(mine,)), Refusal)
