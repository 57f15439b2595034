"""Copies: what is missing there is copied, what was sent side by side counts as there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from btrfs_to_s3.errors import RaceLostError, UsageError
from btrfs_to_s3.model.identity import BackupId, Kind, SourceId
from btrfs_to_s3.plan.copying import plan_copy, source_in
from tests.plan.build import SOURCE_ID, chain, head

FULL, SECOND, THIRD = chain(3)
ORIGIN = head(FULL, SECOND, THIRD)
OTHER_ID = SourceId("other", "0badcafe")


def test_an_empty_target_gets_the_whole_chain_oldest_first() -> None:
    plan = plan_copy(ORIGIN, THIRD, [])
    assert plan.source_id == SOURCE_ID
    assert plan.missing == (FULL, SECOND, THIRD)
    assert plan.object_count == sum(entry.chunk_count + 2 for entry in plan.missing)
    assert plan.stored_size_bytes == sum(entry.stored_size_bytes for entry in plan.missing)
    assert plan_copy(ORIGIN, SECOND, []).missing == (FULL, SECOND)


def test_what_is_there_by_its_stream_is_not_copied_whatever_its_id() -> None:
    twin = replace(
        SECOND,
        backup_id=BackupId.of(SECOND.snapshot_time, Kind.FULL, SECOND.stream.uuid),
        kind=Kind.FULL,
        parent=None,
        stream=replace(SECOND.stream, parent_uuid=None, parent_transid=None),
        sequence=1,
    )
    plan = plan_copy(ORIGIN, THIRD, [replace(ORIGIN, backups=(twin,))])
    assert plan.missing == (THIRD,)
    assert plan.links[0].present == twin


def test_nothing_is_left_to_copy_once_it_is_there() -> None:
    assert plan_copy(ORIGIN, SECOND, [ORIGIN]).missing == ()


def test_a_newer_backup_of_another_line_is_a_divergence() -> None:
    own = replace(THIRD, stream=replace(THIRD.stream, uuid=FULL.snapshot_uuid, transid=10**6))
    with pytest.raises(RaceLostError, match="diverged"):
        plan_copy(ORIGIN, SECOND, [replace(ORIGIN, backups=(FULL, own))])
    assert plan_copy(ORIGIN, FULL, [replace(ORIGIN, backups=(FULL, own))]).missing == ()


def test_the_source_is_the_same_id_then_the_same_subvolume() -> None:
    same_subvolume = replace(ORIGIN, source_id=OTHER_ID)
    assert source_in([], ORIGIN) == (SOURCE_ID, None)
    assert source_in([same_subvolume], ORIGIN) == (OTHER_ID, same_subvolume)
    assert source_in([same_subvolume, ORIGIN], ORIGIN) == (SOURCE_ID, ORIGIN)
    third = replace(ORIGIN, source_id=SourceId("third", "0badcafe"))
    with pytest.raises(UsageError, match="several sources"):
        source_in([same_subvolume, third], ORIGIN)
