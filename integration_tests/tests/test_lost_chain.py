"""Guarantee 6: no backup relies on a stored chain that lost something, however it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import SourceError
from btrfs_to_s3.model.identity import Kind
from integration_tests.harness.trees.compare import compare_trees
from integration_tests.tests.stopping import StopAt, StoppedError

if TYPE_CHECKING:
    from pathlib import Path

    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from integration_tests.tests.machine import Machine

pytestmark = pytest.mark.btrfs


def lose_a_chunk(machine: Machine) -> None:
    """Delete the first stored chunk behind the program's back."""
    client = machine.client()
    client.delete_object(Bucket=machine.bucket, Key=f"prefix/{machine.keys('chunks/')[0]}")
    client.close()


def require_restorable(machine: Machine, target: LoopbackBtrfs, expected: Path) -> None:
    """The newest backup is the expected tree, and the loss was told."""
    assert any("lost data" in warning for warning in machine.told.warnings)
    assert compare_trees(expected, machine.restore("data", target.mount_point).snapshot) == []


@pytest.mark.parametrize("changed", [True, False])
def test_nothing_is_built_on_a_stored_chain_that_lost_something(
    machine: Machine, data: Path, target: LoopbackBtrfs, changed: bool
) -> None:
    machine.backup(data)
    lose_a_chunk(machine)
    if changed:
        (data / "new").write_text("new\n")

    result = machine.backup(data)

    assert result.kind is Kind.FULL
    assert machine.outcome(data).result is None
    require_restorable(machine, target, data)


def test_a_given_snapshot_is_not_built_on_it_either(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs, target: LoopbackBtrfs
) -> None:
    machine.backup(data)
    lose_a_chunk(machine)
    (data / "new").write_text("new\n")
    snapshot = filesystem.snapshot(data, "snapper-43")

    result = machine.backup(data, snapshot=snapshot)

    assert result.kind is Kind.FULL
    require_restorable(machine, target, snapshot)


def test_a_given_snapshot_that_is_stored_in_it_is_not_called_stored(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs
) -> None:
    snapshot = filesystem.snapshot(data, "snapper-43")
    machine.backup(data, snapshot=snapshot)
    lose_a_chunk(machine)

    with pytest.raises(SourceError, match="lost data") as caught:
        machine.outcome(data, snapshot=snapshot)

    assert "another snapshot" in (caught.value.hint or "")


def test_an_interrupted_increment_does_not_go_on_on_it(
    machine: Machine, data: Path, target: LoopbackBtrfs
) -> None:
    machine.backup(data)
    (data / "new").write_bytes(bytes(range(256)) * 12_000)
    machine.wrap = StopAt(2).install
    with pytest.raises(StoppedError):
        machine.backup(data)
    machine.wrap = None
    lose_a_chunk(machine)

    result = machine.backup(data)

    assert (result.kind, result.resumed) == (Kind.FULL, False)
    require_restorable(machine, target, data)
