"""Making and deleting snapshots."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from btrfs_to_s3.btrfs.local import LocalBtrfs
from btrfs_to_s3.errors import LocalSpaceError, SourceError
from integration_tests.harness.machine import devices
from integration_tests.harness.trees import ioctls
from integration_tests.tests.btrfs.streams import PROTOCOL_1

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from btrfs_to_s3.ports import Volume
    from integration_tests.harness.machine.loopback import LoopbackBtrfs

pytestmark = pytest.mark.btrfs


@pytest.fixture
def swapfile(data: Path) -> Iterator[Path]:
    """An active swapfile in the source."""
    path = data / "swapfile"
    with path.open("wb") as file:
        path.chmod(0o600)
        ioctls.set_file_flags(file.fileno(), ioctls.FileFlag.NO_COW)
        ioctls.preallocate(file.fileno(), 0, 16 * 1024**2)
    devices.run("mkswap", path)
    try:
        devices.run("swapon", path)
    except devices.DeviceError as error:
        pytest.skip(f"this kernel lets nobody swap on a loopback Btrfs: {error}")
    yield path
    devices.run("swapoff", path)


def test_a_snapshot_is_read_only_and_lies_in_the_snapshot_directory(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume
) -> None:
    source = volume.subvolume_at(data)
    made = volume.snapshot(source, "name")
    assert made.path == ".btrfs-to-s3/name"
    assert made.readonly
    assert made.parent_uuid == source.uuid
    assert volume.in_snapshot_directory(made)
    assert not volume.in_snapshot_directory(source)
    seen = filesystem.mount_point / made.path
    assert (seen / "second").read_text() == "two\n"


def test_a_snapshot_survives_a_power_loss_right_after(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume
) -> None:
    volume.sync()
    content = os.urandom(3 * 1024**2)
    (data / "third").write_bytes(content)
    volume.snapshot(volume.subvolume_at(data), "s")
    with filesystem.copy(new_fsid=True) as after:
        assert (after.mount_point / ".btrfs-to-s3" / "s" / "third").read_bytes() == content


def test_the_snapshot_directory_is_for_root_only_and_made_by_the_first_snapshot(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume
) -> None:
    directory = filesystem.mount_point / ".btrfs-to-s3"
    assert not directory.exists()
    volume.snapshot(volume.subvolume_at(data), "s")
    assert directory.stat().st_mode & 0o7777 == 0o700


def test_the_snapshot_directory_can_have_another_name(
    filesystem: LoopbackBtrfs, data: Path
) -> None:
    with LocalBtrfs("backups").open(data, writable=True) as volume:
        made = volume.snapshot(volume.subvolume_at(data), "s")
        assert made.path == "backups/s"
        assert volume.in_snapshot_directory(made)
        assert not volume.in_snapshot_directory(replace(made, path="backups-old/s"))
        assert not volume.in_snapshot_directory(replace(made, path="backups/s/deeper"))
    assert (filesystem.mount_point / "backups" / "s").is_dir()


@pytest.mark.parametrize("mode", [0o777, 0o720])
def test_a_snapshot_directory_others_can_write_to_is_refused(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume, mode: int
) -> None:
    directory = filesystem.mount_point / ".btrfs-to-s3"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(SourceError, match="others than root can write"):
        volume.snapshot(volume.subvolume_at(data), "s")
    assert not list(directory.iterdir())


def test_a_snapshot_directory_that_is_a_link_is_refused(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume
) -> None:
    (filesystem.mount_point / ".btrfs-to-s3").symlink_to(data)
    with pytest.raises(SourceError, match="cannot be opened"):
        volume.snapshot(volume.subvolume_at(data), "s")
    assert not (data / "s").exists()


def test_an_existing_name_is_refused_and_left_alone(data: Path, volume: Volume) -> None:
    source = volume.subvolume_at(data)
    first = volume.snapshot(source, "s")
    with pytest.raises(SourceError, match="'s' exists already"):
        volume.snapshot(source, "s")
    assert volume.subvolumes()[-1] == first


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../outside", "nul\0"])
def test_a_name_that_is_a_path_is_refused(data: Path, volume: Volume, name: str) -> None:
    with pytest.raises(SourceError, match="not a name"):
        volume.snapshot(volume.subvolume_at(data), name)


def test_an_active_swapfile_is_named_as_the_reason(
    swapfile: Path, data: Path, volume: Volume
) -> None:
    assert swapfile.exists()
    with pytest.raises(SourceError, match="holds an active swapfile") as caught:
        volume.snapshot(volume.subvolume_at(data), "s")
    assert caught.value.hint is not None
    assert "swapoff" in caught.value.hint
    assert [each.path for each in volume.subvolumes()] == ["", "@data"]


def test_a_full_quota_is_a_lack_of_local_space(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume
) -> None:
    volume.sync()
    devices.run("btrfs", "quota", "enable", filesystem.mount_point)
    devices.run("btrfs", "quota", "rescan", "-w", filesystem.mount_point)
    source = volume.subvolume_at(data)
    volume.snapshot(source, "makes-the-directory")
    devices.run("btrfs", "qgroup", "limit", "4096", "0/5", filesystem.mount_point)
    with pytest.raises(LocalSpaceError, match="no space left for a snapshot of '@data'"):
        volume.snapshot(source, "s")


def test_a_vanished_source_is_an_error_not_another_subvolume(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume
) -> None:
    source = volume.subvolume_at(data)
    filesystem.delete_subvolume(data)
    filesystem.subvolume("@data")
    with pytest.raises(SourceError, match="does not exist any more"):
        volume.snapshot(source, "s")


def test_a_writable_snapshot_is_writable_and_made_where_it_was_asked_for(
    data: Path, filesystem: LoopbackBtrfs, volume: Volume
) -> None:
    target = filesystem.mount_point / "target"
    target.mkdir()
    snapshot = volume.snapshot(volume.subvolume_at(data), "s")
    made = volume.writable_snapshot(snapshot, target, "work")
    assert (made.path, made.readonly, made.parent_uuid) == ("target/work", False, snapshot.uuid)
    (target / "work" / "new").touch()


def test_deleting_what_is_gone_is_no_error(data: Path, volume: Volume) -> None:
    made = volume.snapshot(volume.subvolume_at(data), "s")
    volume.delete(made)
    volume.delete(made)
    assert [each.path for each in volume.subvolumes()] == ["", "@data"]


def test_a_subvolume_is_deleted_only_if_it_has_the_uuid(data: Path, volume: Volume) -> None:
    made = volume.snapshot(volume.subvolume_at(data), "s")
    volume.delete(replace(made, uuid=uuid4()))
    assert made in volume.subvolumes()


def test_a_subvolume_moved_since_is_deleted_where_it_is(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume
) -> None:
    source = volume.subvolume_at(data)
    data.rename(filesystem.mount_point / "elsewhere")
    filesystem.subvolume("@data")
    volume.delete(source)
    assert [each.path for each in volume.subvolumes()] == ["", "@data"]
    assert not (filesystem.mount_point / "elsewhere").exists()


def test_a_subvolume_with_others_inside_is_not_deleted(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume
) -> None:
    filesystem.subvolume("@data/inner")
    with pytest.raises(SourceError, match="cannot be deleted") as caught:
        volume.delete(volume.subvolume_at(data))
    assert caught.value.hint == "it holds other subvolumes: delete those first"


def test_the_top_level_is_never_deleted(filesystem: LoopbackBtrfs, volume: Volume) -> None:
    with pytest.raises(SourceError, match="top level cannot be deleted"):
        volume.delete(volume.subvolume_at(filesystem.mount_point))


def test_a_snapshot_being_sent_is_not_deleted(data: Path, volume: Volume) -> None:
    (data / "large").write_bytes(os.urandom(8 * 1024**2))
    made = volume.snapshot(volume.subvolume_at(data), "s")
    with volume.send(made, None, PROTOCOL_1) as stream:
        assert stream.readinto(memoryview(bytearray(1)))
        with pytest.raises(SourceError, match="cannot be deleted") as caught:
            volume.delete(made)
    assert caught.value.hint is not None
    assert "send" in caught.value.hint
    volume.delete(made)


def test_delete_through_a_read_only_opening_is_refused(data: Path, volume: Volume) -> None:
    made = volume.snapshot(volume.subvolume_at(data), "s")
    with (
        LocalBtrfs().open(data, writable=False) as reading,
        pytest.raises(SourceError, match="Read-only"),
    ):
        reading.delete(made)


def test_a_snapshot_needs_no_btrfs_program(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert subprocess.run(["btrfs", "--version"], check=True, capture_output=True).stdout
    with LocalBtrfs(program="not-there").open(data, writable=True) as volume:
        monkeypatch.setenv("PATH", "/nonexistent")
        volume.delete(volume.snapshot(volume.subvolume_at(data), "s"))
