"""What the adapter says about subvolumes is what the kernel and btrfs-progs say."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.btrfs import ioctl
from btrfs_to_s3.btrfs.local import LocalBtrfs
from integration_tests.harness.machine import devices

if TYPE_CHECKING:
    from pathlib import Path

    from btrfs_to_s3.ports import Volume
    from integration_tests.harness.machine.loopback import LoopbackBtrfs

pytestmark = pytest.mark.btrfs


def shown(path: Path) -> dict[str, str]:
    """What ``btrfs subvolume show`` prints, by heading."""
    lines = devices.run("btrfs", "subvolume", "show", path).splitlines()[1:]
    return {key.strip(): value.strip() for key, _, value in (li.partition(":") for li in lines)}


def paths(volume: Volume) -> list[str]:
    return [each.path for each in volume.subvolumes()]


def test_every_field_agrees_with_btrfs_subvolume_show(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume
) -> None:
    filesystem.snapshot(data, "copy")
    volume.sync()
    for path in (data, filesystem.mount_point / "copy"):
        found, expected = volume.subvolume_at(path), shown(path)
        assert str(found.uuid) == expected["UUID"]
        assert str(found.parent_uuid or "-") == expected["Parent UUID"]
        assert found.received_uuid is None
        assert str(found.id) == expected["Subvolume ID"]
        assert str(found.generation) == expected["Generation"]
        assert str(found.otransid) == expected["Gen at creation"]
        assert found.readonly == (expected["Flags"] == "readonly")
        shown_time = datetime.strptime(expected["Creation time"], "%Y-%m-%d %H:%M:%S %z")
        assert timedelta(0) <= found.otime - shown_time < timedelta(seconds=1)


def test_paths_lead_through_subvolumes_and_directories_to_the_top_level(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume
) -> None:
    (data / "d i r" / "deep").mkdir(parents=True)
    filesystem.subvolume("@data/d i r/deep/inner")
    filesystem.subvolume("@data/d i r/deep/inner/innermost")
    assert paths(volume) == [
        "",
        "@data",
        "@data/d i r/deep/inner",
        "@data/d i r/deep/inner/innermost",
    ]


def test_a_name_that_is_not_utf_8_survives(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume
) -> None:
    path = filesystem.subvolume(os.fsdecode(b"@data/na\xffme\n"))
    found = volume.subvolume_at(path)
    assert os.fsencode(found.path) == b"@data/na\xffme\n"
    snapshot = volume.snapshot(found, os.fsdecode(b"sn\xfeap"))
    assert nested(volume, data) == [os.fsdecode(b"@data/na\xffme\n")]
    volume.delete(snapshot)


def test_a_listing_longer_than_one_answer_of_the_kernel_is_complete(
    filesystem: LoopbackBtrfs, volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ioctl, "_SEARCH_BUFFER_BYTES", 1024)
    names = sorted(f"number-{number}" for number in range(30))
    for name in names:
        filesystem.subvolume(name)
    assert sorted(paths(volume)) == ["", "@data", *names]


def test_the_top_level_is_a_subvolume_like_any_other(
    filesystem: LoopbackBtrfs, volume: Volume
) -> None:
    top = volume.subvolume_at(filesystem.mount_point)
    assert (top.id, top.path) == (5, "")
    volume.snapshot(top, "of-the-top")
    assert paths(volume) == ["", "@data", ".btrfs-to-s3/of-the-top"]


def test_a_deleted_subvolume_is_gone_at_once(filesystem: LoopbackBtrfs, volume: Volume) -> None:
    filesystem.delete_subvolume(filesystem.subvolume("brief"))
    assert paths(volume) == ["", "@data"]


def test_a_moved_subvolume_is_found_where_it_is_now(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume
) -> None:
    before = volume.subvolume_at(data)
    data.rename(filesystem.mount_point / "@moved")
    assert paths(volume) == ["", "@moved"]
    assert volume.snapshot(before, "s").parent_uuid == before.uuid


def test_the_creation_time_is_in_utc(volume: Volume, data: Path) -> None:
    age = datetime.now(UTC) - volume.subvolume_at(data).otime
    assert timedelta(0) <= age < timedelta(minutes=1)


def test_an_unsynced_write_changes_ctransid_once_it_is_synced(volume: Volume, data: Path) -> None:
    volume.sync()
    before = volume.subvolume_at(data).ctransid
    (data / "first").write_bytes(b"changed")
    volume.sync()
    assert volume.subvolume_at(data).ctransid > before


def test_a_snapshot_leaves_its_source_unchanged(volume: Volume, data: Path) -> None:
    first = volume.snapshot(volume.subvolume_at(data), "a")
    second = volume.snapshot(volume.subvolume_at(data), "b")
    assert first.ctransid == second.ctransid == volume.subvolume_at(data).ctransid


def nested(volume: Volume, path: Path) -> list[str]:
    return [each.path for each in volume.nested(volume.subvolume_at(path))]


def test_nested_subvolumes_are_those_inside_the_source(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume
) -> None:
    (data / "dir").mkdir()
    filesystem.subvolume("@data/dir/one")
    filesystem.subvolume("@data/dir/one/two")
    filesystem.subvolume("@data-beside")
    assert nested(volume, data) == ["@data/dir/one", "@data/dir/one/two"]


def test_our_own_snapshots_are_not_called_nested_in_the_top_level(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume
) -> None:
    volume.snapshot(volume.subvolume_at(data), "s")
    assert nested(volume, filesystem.mount_point) == ["@data"]


def test_a_source_is_recognised_through_a_subvol_mount_and_a_bind_mount(
    filesystem: LoopbackBtrfs, data: Path, volume: Volume, tmp_path: Path
) -> None:
    (data / "inside").mkdir()
    expected = volume.subvolume_at(data)
    seen, bound = tmp_path / "seen", tmp_path / "bound"
    seen.mkdir()
    bound.mkdir()
    devices.run("mount", "-t", "btrfs", "-o", "subvol=@data", filesystem.device, seen)
    devices.run("mount", "--bind", seen / "inside", bound)
    try:
        with LocalBtrfs().open(seen, writable=True) as other:
            assert other.fsid == volume.fsid
            assert other.subvolume_at(seen) == expected
            (data / "inside" / "file").touch()
            assert other.relative_path(seen) == "@data"
            assert other.relative_path(bound) == "@data/inside"
            assert other.relative_path(filesystem.mount_point) == ""
            assert other.entry_exists(bound, "file")
            assert not other.entry_exists(bound, "first")
            assert other.entry_exists(seen, "first")
            snapshot = other.snapshot(other.subvolume_at(seen), "s")
            copy = other.writable_snapshot(snapshot, bound, "copy")
            assert copy.path == "@data/inside/copy"
            assert other.received_in(bound, "copy") == copy
    finally:
        devices.run("umount", bound)
        devices.run("umount", seen)


def test_free_bytes_are_what_statfs_gives_an_ordinary_user(
    filesystem: LoopbackBtrfs, volume: Volume
) -> None:
    facts = os.statvfs(filesystem.mount_point)
    assert volume.free_bytes() == facts.f_bavail * facts.f_frsize


def test_a_writable_source_with_a_received_uuid_shows_both_facts(
    filesystem: LoopbackBtrfs, volume: Volume
) -> None:
    path = filesystem.subvolume("odd")
    script = (
        "import fcntl, os, sys; fd = os.open(sys.argv[1], os.O_RDONLY);"
        "fcntl.ioctl(fd, 0xC0C89425, bytearray(b'r' * 16 + bytes(184)))"
    )  # BTRFS_IOC_SET_RECEIVED_SUBVOL
    subprocess.run(["python3", "-c", script, path], check=True)
    found = volume.subvolume_at(path)
    assert not found.readonly
    assert found.received_uuid is not None
    first, second = volume.snapshot(found, "a"), volume.snapshot(found, "b")
    assert first.stream_uuid == second.stream_uuid == found.received_uuid
