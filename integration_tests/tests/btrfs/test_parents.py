"""``receive_candidates`` names first the very subvolume that ``btrfs receive`` then takes."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.machine import devices
from integration_tests.tests.btrfs.streams import receive, sent

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.ports import Volume
    from integration_tests.harness.machine.loopback import LoopbackBtrfs

pytestmark = pytest.mark.btrfs

SUBVOL_SETFLAGS = 0x4008941A
RDONLY = 1 << 1


def set_read_only(path: Path, *, on: bool) -> None:
    """BTRFS_IOC_SUBVOL_SETFLAGS itself: unlike ``btrfs property`` it keeps received_uuid."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, SUBVOL_SETFLAGS, (RDONLY if on else 0).to_bytes(8, "little"))
    finally:
        os.close(fd)


class Scene:
    """A full stream and an increment on it, and directories to receive them into."""

    def __init__(self, filesystem: LoopbackBtrfs, data: Path, volume: Volume) -> None:
        self.root = filesystem.mount_point
        self.volume = volume
        self.first = volume.snapshot(volume.subvolume_at(data), "first")
        (data / "third").write_text("three")
        second = volume.snapshot(volume.subvolume_at(data), "second")
        self.full = sent(volume, self.first)
        self.increment = sent(volume, second, self.first)

    def receive_full(self, name: str) -> Subvolume:
        (self.root / name).mkdir()
        return receive(self.volume, self.full, self.root / name, "first")

    def parent_taken(self) -> UUID | None:
        """Receive the increment for real; the uuid of what it was made a snapshot of."""
        target = self.root / "increment"
        target.mkdir(exist_ok=True)
        received = receive(self.volume, self.increment, target, "second")
        self.volume.delete(received)
        return received.parent_uuid

    def candidates(self) -> list[Subvolume]:
        return list(self.volume.receive_candidates(self.first.uuid))


@pytest.fixture
def scene(filesystem: LoopbackBtrfs, data: Path, volume: Volume) -> Scene:
    return Scene(filesystem, data, volume)


def test_the_original_is_taken_when_nothing_was_received(scene: Scene) -> None:
    assert scene.candidates() == [scene.first]
    assert scene.parent_taken() == scene.first.uuid


def test_a_received_copy_goes_before_the_original(scene: Scene) -> None:
    copy = scene.receive_full("a")
    assert scene.candidates() == [copy, scene.first]
    assert scene.parent_taken() == copy.uuid


def test_of_several_copies_the_one_received_first_is_taken(scene: Scene) -> None:
    copies = [scene.receive_full(name) for name in ("z", "a", "m")]
    assert scene.candidates() == [*copies, scene.first]
    assert scene.parent_taken() == copies[0].uuid


def test_the_order_follows_deletions_and_new_arrivals(scene: Scene) -> None:
    first, second = scene.receive_full("a"), scene.receive_full("b")
    scene.volume.delete(first)
    third = scene.receive_full("c")
    assert scene.candidates() == [second, third, scene.first]
    assert scene.parent_taken() == second.uuid
    scene.volume.delete(second)
    scene.volume.delete(third)
    assert scene.parent_taken() == scene.first.uuid
    assert scene.candidates()[0].uuid == scene.first.uuid


def test_a_modified_copy_is_taken_all_the_same(scene: Scene) -> None:
    """Ro → rw → write → ro with the bare ioctl: only ctransid tells."""
    before = scene.receive_full("a")
    good = scene.receive_full("b")
    set_read_only(scene.root / "a" / "first", on=False)
    (scene.root / "a" / "first" / "second").write_text("spoiled")
    set_read_only(scene.root / "a" / "first", on=True)
    scene.volume.sync()
    taken = scene.candidates()[0]
    assert scene.candidates() == [taken, good, scene.first]
    assert (taken.uuid, taken.received_uuid) == (before.uuid, before.received_uuid)
    assert taken.readonly
    assert taken.ctransid != before.ctransid
    assert scene.parent_taken() == before.uuid


def test_a_writable_copy_is_taken_all_the_same(scene: Scene) -> None:
    before = scene.receive_full("a")
    scene.receive_full("b")
    set_read_only(scene.root / "a" / "first", on=False)
    taken = scene.candidates()[0]
    assert (taken.uuid, taken.readonly) == (before.uuid, False)
    assert scene.parent_taken() == before.uuid


def test_btrfs_property_with_f_takes_a_copy_out_of_the_list(scene: Scene) -> None:
    scene.receive_full("a")
    second = scene.receive_full("b")
    devices.run("btrfs", "property", "set", "-f", scene.root / "a" / "first", "ro", "false")
    assert scene.candidates() == [second, scene.first]
    assert scene.parent_taken() == second.uuid


def test_a_read_only_snapshot_of_a_copy_is_a_candidate_too(
    filesystem: LoopbackBtrfs, scene: Scene
) -> None:
    copy = scene.receive_full("a")
    filesystem.snapshot(scene.root / "a" / "first", "twin")
    filesystem.snapshot(scene.root / "a" / "first", "work", writable=True)
    assert [each.path for each in scene.candidates()] == ["a/first", "twin", scene.first.path]
    scene.volume.delete(copy)
    assert scene.candidates()[0].path == "twin"
    assert scene.parent_taken() == scene.candidates()[0].uuid


def test_a_moved_copy_is_still_found(scene: Scene) -> None:
    copy = scene.receive_full("a")
    (scene.root / "a").rename(scene.root / "moved")
    assert scene.parent_taken() == copy.uuid == scene.candidates()[0].uuid
    assert scene.candidates()[0].path == "moved/first"
