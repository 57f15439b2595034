"""Back up, change, back up, restore: the main job on a real Btrfs and a real service."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.model.identity import Kind
from btrfs_to_s3.plan.backup.decision import Decision
from integration_tests.harness.trees.compare import compare_trees
from integration_tests.harness.trees.mutate import mutate_tree
from integration_tests.harness.trees.seed import SeedSpec, seed_tree

if TYPE_CHECKING:
    from pathlib import Path

    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from integration_tests.tests.machine import Machine

pytestmark = pytest.mark.btrfs


def assert_same(expected: Path, actual: Path) -> None:
    assert [str(each) for each in compare_trees(expected, actual)] == []


@pytest.mark.parametrize("protocol", ["1", "2"])
def test_a_chain_of_increments_restores_exactly(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs, target: LoopbackBtrfs, protocol: str
) -> None:
    machine = machine.with_settings(send_protocol=protocol)
    kinds = []
    for round_ in range(4):
        kinds.append(machine.backup(data).kind)
        mutate_tree(data, seed=round_)
    frozen = filesystem.snapshot(data, "frozen")
    last = machine.backup(data)

    result = machine.restore("data", target.mount_point, writable="data")

    assert kinds == [Kind.FULL, Kind.INCREMENTAL, Kind.INCREMENTAL, Kind.INCREMENTAL]
    assert last.chunk_count >= 1
    assert len(result.received) == 5
    assert_same(frozen, result.snapshot)
    assert result.writable is not None
    assert_same(frozen, result.writable)
    assert sorted(path.name for path in target.mount_point.iterdir()) == sorted(
        [result.snapshot.name, "data"]
    )


def test_a_stream_of_many_chunks_and_parts_restores_exactly(
    machine: Machine, filesystem: LoopbackBtrfs, target: LoopbackBtrfs
) -> None:
    data = filesystem.subvolume("large")
    seed_tree(data, SeedSpec(seed=3, file_count=10, total_bytes=40 * 1024**2))
    machine = machine.with_settings(chunk_size="16MiB")

    made = machine.backup(data)
    result = machine.restore("large", target.mount_point)

    assert made.chunk_count > 2
    assert made.requests["put"] > made.chunk_count + 5
    assert_same(data, result.snapshot)


def test_after_a_disaster_restore_the_next_backup_is_incremental_on_the_same_chain(
    machine: Machine, data: Path, target: LoopbackBtrfs
) -> None:
    first = machine.backup(data)
    result = machine.restore("data", target.mount_point, writable="data")
    assert result.writable is not None
    (result.writable / "after").write_text("the disaster\n")

    second = machine.backup(result.writable)

    assert second.kind is Kind.INCREMENTAL
    assert second.source_id == first.source_id
    assert [entry.backup_id for entry in machine.head().backups] == [
        first.backup_id,
        second.backup_id,
    ]
    again = machine.restore("data", target.mount_point)
    assert_same(result.writable, again.snapshot)


def test_an_unchanged_source_is_skipped_and_says_so_unless_forced(
    machine: Machine, data: Path
) -> None:
    machine.backup(data)
    before = machine.keys()

    outcome = machine.outcome(data)

    assert outcome.plan is not None
    assert outcome.plan.decision is Decision.SKIP
    assert "nothing changed" in outcome.plan.reasons[0]
    assert machine.keys() == before
    assert machine.backup(data, force=True).kind is Kind.INCREMENTAL


def test_losing_all_local_state_costs_nothing_but_the_cache(machine: Machine, data: Path) -> None:
    first = machine.backup(data)
    shutil.rmtree(machine.state)
    (data / "new").write_text("new\n")

    second = machine.backup(data)

    assert second.kind is Kind.INCREMENTAL
    assert second.source_id == first.source_id


def test_a_restore_of_an_older_backup_reuses_what_is_there(
    machine: Machine, data: Path, target: LoopbackBtrfs
) -> None:
    first = machine.backup(data)
    (data / "new").write_text("new\n")
    second = machine.backup(data)
    machine.restore(f"data@{first.backup_id}", target.mount_point)

    result = machine.restore("data", target.mount_point)
    nothing = machine.restore("data", target.mount_point)

    assert result.received == (second.backup_id,)
    assert nothing.received == ()
    assert_same(data, result.snapshot)
