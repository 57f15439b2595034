"""What doctor sees of a directory and of the snapshot directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.btrfs.inspection import look
from btrfs_to_s3.btrfs.local import LocalBtrfs
from btrfs_to_s3.errors import SourceError
from integration_tests.harness.machine import devices

if TYPE_CHECKING:
    from pathlib import Path

    from integration_tests.harness.machine.loopback import LoopbackBtrfs

pytestmark = pytest.mark.btrfs


def test_a_subvolume_is_seen_with_its_mount_and_room(data: Path, filesystem: LoopbackBtrfs) -> None:
    place = look(data)
    assert place.subvolume_root
    assert place.mount_point == str(filesystem.mount_point)
    assert not place.readonly
    assert 0 < place.free_bytes < place.size_bytes


def test_a_directory_and_a_read_only_mount_are_seen_as_such(
    data: Path, filesystem: LoopbackBtrfs
) -> None:
    (data / "inner").mkdir()
    assert not look(data / "inner").subvolume_root
    devices.run("mount", "-o", "remount,ro", filesystem.mount_point)
    assert look(data).readonly
    devices.run("mount", "-o", "remount,rw", filesystem.mount_point)


def test_what_is_missing_or_not_on_btrfs_is_an_error(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        look(data / "absent")
    (tmp_path / "plain").mkdir()
    with pytest.raises(SourceError, match="not on a Btrfs"):
        look(tmp_path / "plain")


def test_swapfiles_of_the_subvolume_are_named(
    data: Path, filesystem: LoopbackBtrfs, tmp_path: Path
) -> None:
    ours = data / "swap file"
    ours.write_bytes(b"")
    other = filesystem.subvolume("other") / "swap"
    other.write_bytes(b"")
    swaps = tmp_path / "swaps"
    lines = [
        "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority",
        str(ours).replace(" ", "\\040") + " file 1 0 -2",
        f"{other} file 1 0 -3",
        f"{data}/gone file 1 0 -3",
        "/dev/sda2 partition 1 0 -3",
    ]
    swaps.write_text("\n".join(lines))
    assert look(data, swaps).swapfiles == (str(ours),)
    assert look(data, tmp_path / "absent").swapfiles == ()


def test_a_snapshot_directory_must_be_roots_alone(data: Path, filesystem: LoopbackBtrfs) -> None:
    place = filesystem.mount_point / ".snapshots"
    with LocalBtrfs(".snapshots").open(data, writable=False) as volume:
        assert not volume.snapshot_directory().exists
        place.mkdir(mode=0o700)
        assert volume.snapshot_directory().private
        place.chmod(0o777)
        assert not volume.snapshot_directory().private
        place.rmdir()
        place.write_text("a file")
        assert not volume.snapshot_directory().private
