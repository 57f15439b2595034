"""What the design takes for granted about Btrfs, seen on the kernel that runs the tests."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.machine import devices
from integration_tests.tests.btrfs.streams import PROTOCOL_1, PROTOCOL_2, read_all, receive, sent

if TYPE_CHECKING:
    from pathlib import Path

    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.ports import Volume
    from integration_tests.harness.machine.loopback import LoopbackBtrfs

pytestmark = pytest.mark.btrfs


@pytest.fixture
def snapshot(data: Path, volume: Volume) -> Subvolume:
    return volume.snapshot(volume.subvolume_at(data), "s")


def again(volume: Volume, before: Subvolume) -> Subvolume:
    volume.sync()
    return next(each for each in volume.subvolumes() if each.id == before.id)


def balance(filesystem: LoopbackBtrfs) -> None:
    devices.run("btrfs", "balance", "start", "--full-balance", filesystem.mount_point)


def test_a_snapshot_of_a_snapshot_keeps_its_uuid_and_ctransid_but_not_its_generation(
    filesystem: LoopbackBtrfs, volume: Volume, snapshot: Subvolume
) -> None:
    filesystem.snapshot(filesystem.mount_point / snapshot.path, "twin")
    after = again(volume, snapshot)
    assert (after.uuid, after.ctransid) == (snapshot.uuid, snapshot.ctransid)
    assert after.generation > snapshot.generation


def test_a_balance_keeps_uuid_ctransid_and_stream(
    filesystem: LoopbackBtrfs, volume: Volume, snapshot: Subvolume
) -> None:
    def digests() -> list[bytes]:
        return [
            hashlib.sha256(read_all(volume.send(snapshot, None, options))).digest()
            for options in (PROTOCOL_1, PROTOCOL_2)
        ]

    before = digests()
    balance(filesystem)
    after = again(volume, snapshot)
    assert (after.uuid, after.ctransid) == (snapshot.uuid, snapshot.ctransid)
    assert digests() == before


def test_a_received_copy_keeps_its_identity_through_sync_snapshot_and_balance(
    filesystem: LoopbackBtrfs, volume: Volume, snapshot: Subvolume
) -> None:
    target = filesystem.mount_point / "target"
    target.mkdir()
    received = receive(volume, sent(volume, snapshot), target, "s")
    filesystem.snapshot(target / "s", "twin")
    balance(filesystem)
    after = again(volume, received)
    assert (after.uuid, after.received_uuid) == (received.uuid, received.received_uuid)
    assert (after.ctransid, after.stransid) == (received.ctransid, received.stransid)


def test_ctransid_of_a_received_copy_is_final_only_after_a_sync(
    filesystem: LoopbackBtrfs, volume: Volume, snapshot: Subvolume
) -> None:
    """The last inode updates reach the root item with the commit, so sync before recording it."""
    target = filesystem.mount_point / "target"
    target.mkdir()
    with volume.receive(target) as sink:
        sink.write(sent(volume, snapshot))
        sink.finish()
    volume.sync()
    first = volume.received_in(target, "s")
    volume.sync()
    assert first is not None
    assert again(volume, first).ctransid == first.ctransid


def test_a_read_only_subvolume_cannot_be_moved_to_another_directory(
    filesystem: LoopbackBtrfs, volume: Volume, snapshot: Subvolume
) -> None:
    with pytest.raises(OSError, match="Read-only"):
        (filesystem.mount_point / snapshot.path).rename(filesystem.mount_point / "moved")
    assert again(volume, snapshot).path == snapshot.path
