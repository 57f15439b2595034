"""A loopback filesystem does what it says and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.machine import devices
from integration_tests.harness.machine.loopback import (
    MINIMUM_SIZE_BYTES,
    LoopbackBtrfs,
    LoopbackError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from integration_tests.harness.machine.state import StateFile

pytestmark = pytest.mark.btrfs


@pytest.fixture
def make(tmp_path: Path, state: StateFile) -> Callable[..., LoopbackBtrfs]:
    def build(*options: str) -> LoopbackBtrfs:
        return LoopbackBtrfs(tmp_path, size_bytes=MINIMUM_SIZE_BYTES, options=options, state=state)

    return build


def assert_gone(filesystem: LoopbackBtrfs, state: StateFile) -> None:
    assert not filesystem.is_mounted
    assert devices.loops_backed_by(filesystem.image) == []
    assert not filesystem.directory.exists()
    assert state.resources() == ()


def mount_options(filesystem: LoopbackBtrfs) -> str:
    return devices.run("findmnt", "-n", "-o", "OPTIONS", filesystem.mount_point)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_when_the_body_raises(
    make: Callable[..., LoopbackBtrfs], state: StateFile, error: type[BaseException]
) -> None:
    filesystem = make()
    with pytest.raises(error), filesystem:  # noqa: PT012 - the body is what raises
        (filesystem.mount_point / "file").write_bytes(b"content")
        raise error
    assert_gone(filesystem, state)


def test_nothing_is_left_after_ctrl_c_during_the_making(
    make: Callable[..., LoopbackBtrfs], state: StateFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    filesystem = make()
    attach = devices.attach

    def interrupted(image: Path) -> Path:
        attach(image)
        os.kill(os.getpid(), signal.SIGINT)
        return image

    monkeypatch.setattr(devices, "attach", interrupted)
    with pytest.raises(KeyboardInterrupt):
        filesystem.create()
    assert_gone(filesystem, state)


def test_nothing_is_left_when_mounting_fails(
    make: Callable[..., LoopbackBtrfs], state: StateFile
) -> None:
    filesystem = make("no-such-option")
    with pytest.raises(devices.DeviceError, match="no-such-option"):
        filesystem.create()
    assert_gone(filesystem, state)


def test_making_and_removing_can_be_repeated(
    make: Callable[..., LoopbackBtrfs], state: StateFile
) -> None:
    filesystem = make()
    filesystem.destroy()
    for _ in range(2):
        filesystem.create()
        filesystem.create()
        assert len(devices.loops_backed_by(filesystem.image)) == 1
        filesystem.destroy()
        filesystem.destroy()
    assert_gone(filesystem, state)


def test_mounts_elsewhere_are_removed_too(
    make: Callable[..., LoopbackBtrfs], state: StateFile, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    with make() as filesystem:
        devices.run("mount", "-o", "subvolid=5", filesystem.device, elsewhere)
        devices.run("mount", "--bind", elsewhere, elsewhere)
    assert all(mount.point != elsewhere for mount in devices.mounts())
    assert_gone(filesystem, state)


def test_a_copy_of_the_mount_in_another_namespace_is_removed_too(
    make: Callable[..., LoopbackBtrfs], state: StateFile
) -> None:
    filesystem = make()
    filesystem.create()
    private = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; read x"]
    with subprocess.Popen(private, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        filesystem.unmount()
        filesystem.mount()
        filesystem.destroy()
        assert_gone(filesystem, state)
        other.communicate(b"\n")


def test_a_busy_mount_is_detached_and_reported(
    make: Callable[..., LoopbackBtrfs], monkeypatch: pytest.MonkeyPatch, state: StateFile
) -> None:
    monkeypatch.setattr(devices, "BUSY_PATIENCE_S", 0.1)
    filesystem = make()
    filesystem.create()
    with (filesystem.mount_point / "held").open("w"), pytest.raises(devices.DeviceError):
        filesystem.destroy()
    assert not filesystem.is_mounted
    filesystem.destroy()
    assert_gone(filesystem, state)


def test_options_are_applied_and_changed(make: Callable[..., LoopbackBtrfs]) -> None:
    with make("compress=lzo", "noatime") as filesystem:
        assert "noatime" in mount_options(filesystem)
        assert "compress=lzo" in mount_options(filesystem)
        filesystem.remount("ro", "compress=zlib")
        assert "compress=zlib" in mount_options(filesystem)
        with pytest.raises(OSError, match="Read-only"):
            (filesystem.mount_point / "file").touch()


def test_content_survives_unmounting(make: Callable[..., LoopbackBtrfs]) -> None:
    with make() as filesystem:
        (filesystem.subvolume("sub") / "file").write_bytes(b"content")
        filesystem.unmount()
        assert not (filesystem.mount_point / "sub").exists()
        filesystem.mount(["ro"])
        assert (filesystem.mount_point / "sub" / "file").read_bytes() == b"content"


def test_a_copy_holds_what_was_durable_and_not_what_was_not(
    make: Callable[..., LoopbackBtrfs], state: StateFile
) -> None:
    with make("commit=300") as filesystem:
        (filesystem.mount_point / "committed").write_bytes(b"1")
        filesystem.sync()
        with (filesystem.mount_point / "fsynced").open("wb") as file:
            file.write(b"2")
            os.fsync(file.fileno())
        (filesystem.mount_point / "written").write_bytes(b"3")
        copy = filesystem.copy()
        filesystem.unmount()
        with copy:
            names = {path.name for path in copy.mount_point.iterdir()}
        assert names == {"committed", "fsynced"}
        filesystem.mount()
        assert (filesystem.mount_point / "written").read_bytes() == b"3"
    assert_gone(copy, state)


def test_a_copy_is_not_mounted_beside_its_original(make: Callable[..., LoopbackBtrfs]) -> None:
    with make() as filesystem:
        copy = filesystem.copy()
        with pytest.raises(LoopbackError, match="unmount the original"):
            copy.create()
        assert not copy.directory.exists()


def test_a_copy_with_a_new_fsid_is_mounted_beside_its_original(
    make: Callable[..., LoopbackBtrfs],
) -> None:
    with make() as filesystem:
        (filesystem.mount_point / "file").write_bytes(b"content")
        filesystem.sync()
        with filesystem.copy(new_fsid=True) as copy:
            assert copy.fsid != filesystem.fsid
            assert (copy.mount_point / "file").read_bytes() == b"content"


def test_a_new_fsid_is_refused_where_it_would_lose_the_log(
    make: Callable[..., LoopbackBtrfs], state: StateFile
) -> None:
    with make("commit=300") as filesystem:
        filesystem.sync()
        with (filesystem.mount_point / "fsynced").open("wb") as file:
            file.write(b"2")
            os.fsync(file.fileno())
        with pytest.raises(LoopbackError, match="log to replay"):
            filesystem.copy(new_fsid=True)
    assert_gone(filesystem, state)


def test_a_size_that_mkfs_refuses_is_refused_first(tmp_path: Path, state: StateFile) -> None:
    with pytest.raises(ValueError, match="mkfs"):
        LoopbackBtrfs(tmp_path, size_bytes=MINIMUM_SIZE_BYTES - 1, state=state)


def test_a_private_mount_is_seen_and_a_mere_copy_of_ours_is_not(
    filesystem: LoopbackBtrfs,
) -> None:
    points = {filesystem.mount_point}
    private = f"mount -o subvolid=5 {filesystem.device} /mnt && echo there && exec sleep 60"
    for script, seen in (("echo there && exec sleep 60", False), (private, True)):
        with subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE
        ) as holder:
            try:
                assert holder.stdout is not None
                assert holder.stdout.readline() == b"there\n"
                assert (holder.pid in devices.private_holders(points)) == seen
            finally:
                holder.kill()
        assert holder.pid not in devices.private_holders(points)
