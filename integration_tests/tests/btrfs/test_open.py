"""Opening a filesystem: what is refused and why, and that nobody else notices."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.btrfs.local import LocalBtrfs
from btrfs_to_s3.errors import ConfigError, SourceError, UsageError
from integration_tests.harness.machine import devices
from integration_tests.harness.machine.loopback import LoopbackBtrfs

if TYPE_CHECKING:
    from collections.abc import Callable

    from btrfs_to_s3.ports import Volume

pytestmark = pytest.mark.btrfs

REPOSITORY = Path(__file__).resolve().parents[3]
OPEN_AND_PRINT = """
import sys
from pathlib import Path
from btrfs_to_s3.btrfs.local import LocalBtrfs
from btrfs_to_s3.errors import SourceError
try:
    with LocalBtrfs().open(Path(sys.argv[1]), writable=False) as volume:
        print(len(volume.subvolumes()), "subvolumes")
        device = f" - btrfs {sys.argv[2]} "
        print(*[line.split()[4] for line in open("/proc/self/mountinfo") if device in line])
        if sys.argv[3:] == ["wait"]:
            sys.stdout.flush()
            sys.stdin.read()
except SourceError as error:
    print(error, "|", error.hint)
"""


def python(*wrapper: str) -> list[str]:
    """A Python that opens the volume at its first argument, whose device is the second."""
    return [*wrapper, sys.executable, "-c", OPEN_AND_PRINT]


def run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def unmount(filesystem: LoopbackBtrfs) -> None:
    """A user's umount: unlike the harness's it leaves every other mount of the image alone."""
    devices.run("umount", filesystem.mount_point)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_a_path_that_does_not_exist_is_said_to_be_missing(filesystem: LoopbackBtrfs) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        LocalBtrfs().open(filesystem.mount_point / "nowhere", writable=False)


def test_a_file_is_no_subvolume(data: Path) -> None:
    with pytest.raises(SourceError, match="not a directory"):
        LocalBtrfs().open(data / "first", writable=False)


def test_another_filesystem_is_named_with_its_type() -> None:
    with pytest.raises(SourceError, match="not on a Btrfs filesystem but on proc"):
        LocalBtrfs().open(Path("/proc"), writable=False)


def test_a_directory_inside_a_subvolume_names_the_subvolume(volume: Volume, data: Path) -> None:
    inside = data / "a" / "b"
    inside.mkdir(parents=True)
    with pytest.raises(SourceError, match="in the subvolume '@data', not a subvolume's") as caught:
        volume.subvolume_at(inside)
    assert caught.value.hint is not None
    assert f"back up {data}, or" in caught.value.hint


def test_a_path_on_another_btrfs_is_refused(volume: Volume, tmp_path: Path) -> None:
    with (
        LoopbackBtrfs(tmp_path, size_bytes=128 * 1024**2) as other,
        pytest.raises(SourceError, match="another Btrfs filesystem"),
    ):
        volume.subvolume_at(other.mount_point)


def test_a_read_only_mount_is_refused_for_writing(filesystem: LoopbackBtrfs, data: Path) -> None:
    filesystem.remount("ro")
    with pytest.raises(SourceError, match="mounted read-only") as caught:
        LocalBtrfs().open(data, writable=True)
    assert caught.value.hint is not None
    assert "remount,rw" in caught.value.hint


def test_a_read_only_mount_of_a_writable_filesystem_can_be_snapshot_but_not_restored_to(
    filesystem: LoopbackBtrfs, data: Path
) -> None:
    filesystem.remount("bind", "ro")
    with LocalBtrfs().open(data, writable=True) as volume:
        assert volume.snapshot(volume.subvolume_at(data), "s").readonly
        with pytest.raises(SourceError, match="mounted read-only") as caught:
            volume.require_writable(data)
    assert caught.value.hint is not None
    assert "ReadWritePaths" in caught.value.hint


def test_a_read_only_filesystem_can_be_read_and_stays_read_only(
    filesystem: LoopbackBtrfs, data: Path
) -> None:
    filesystem.remount("ro")
    with LocalBtrfs().open(data, writable=False) as volume:
        assert volume.subvolume_at(data).path == "@data"
        with pytest.raises(OSError, match="Read-only"):
            (data / "new").touch()
        with pytest.raises(SourceError, match="read-only"):
            volume.snapshot(volume.subvolume_at(data), "s")


def test_a_filesystem_opened_for_reading_cannot_be_written(
    filesystem: LoopbackBtrfs, data: Path
) -> None:
    with (
        LocalBtrfs().open(data, writable=False) as volume,
        pytest.raises(SourceError, match="read-only"),
    ):
        volume.snapshot(volume.subvolume_at(data), "s")
    assert not (filesystem.mount_point / ".btrfs-to-s3").exists()
    (data / "still-writable").touch()


def test_looking_changes_nothing_on_the_filesystem(filesystem: LoopbackBtrfs, data: Path) -> None:
    filesystem.sync()

    def generation() -> int:
        text = run(["btrfs", "inspect-internal", "dump-super", str(filesystem.device)])
        return next(int(li.split()[1]) for li in text.splitlines() if li.startswith("generation"))

    before = generation()
    with LocalBtrfs().open(data, writable=False) as volume:
        source = volume.subvolume_at(data)
        volume.subvolumes()
        volume.nested(source)
        volume.receive_candidates(source.uuid)
        volume.entry_exists(data, "first")
        volume.free_bytes()
        volume.sync()
    filesystem.sync()
    assert generation() == before


def test_without_cap_sys_admin_the_hint_is_sudo(data: Path) -> None:
    output = run([*python("setpriv", "--bounding-set", "-sys_admin"), str(data), "-"])
    assert "needs root (CAP_SYS_ADMIN)" in output
    assert "sudo -E btrfs-to-s3" in output


def test_without_the_block_device_the_error_says_so(filesystem: LoopbackBtrfs, data: Path) -> None:
    script = f'mount --bind /dev/null {filesystem.device} && exec "$@"'
    hidden = ["unshare", "--mount", "sh", "-c", script, "sh"]
    assert "no block device of the filesystem" in run([*python(*hidden), str(data), "-"])


def test_a_block_device_that_is_a_mount_point_of_its_own_stays_visible(
    filesystem: LoopbackBtrfs, data: Path, tmp_path: Path
) -> None:
    """Containers are given their devices so (systemd-nspawn --bind=/dev/…)."""
    device = filesystem.device
    script = (
        f"mount --rbind /dev {tmp_path} && mount -t tmpfs none /dev && mkdir /dev/shm && "
        f"mount --rbind {tmp_path}/shm /dev/shm && "
        f"cp -a {tmp_path}/null {tmp_path}/urandom /dev && "
        f'touch {device} && mount --bind {tmp_path}/{device.name} {device} && exec "$@"'
    )
    output = run([*python("unshare", "--mount", "sh", "-c", script, "sh"), str(data), "-"])
    assert output.startswith("2 subvolumes\n")


def test_a_refused_mount_passes_on_what_mount_said(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = tmp_path / "mount"
    refusing.write_text("#!/bin/sh\necho mount: permission denied >&2\nexit 32\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(SourceError, match="cannot be mounted: mount: permission denied"):
        LocalBtrfs().open(data, writable=False)


def test_the_mount_is_in_no_mount_table_of_ours(filesystem: LoopbackBtrfs, data: Path) -> None:
    output = run([*python(), str(data), str(filesystem.device)])
    assert output == f"2 subvolumes\n{filesystem.mount_point}\n"


def test_the_mount_does_not_propagate_where_every_mount_is_shared(
    filesystem: LoopbackBtrfs, data: Path
) -> None:
    shared = ["unshare", "--mount", "sh", "-c", 'mount --make-rshared / && exec "$@"', "sh"]
    output = run([*python(*shared), str(data), str(filesystem.device)])
    assert output == f"2 subvolumes\n{filesystem.mount_point}\n"


def test_the_filesystem_is_released_when_the_volume_is_closed(
    filesystem: LoopbackBtrfs, data: Path
) -> None:
    alive = Path(f"/sys/fs/btrfs/{filesystem.fsid}")
    with LocalBtrfs().open(data, writable=True) as volume:
        unmount(filesystem)
        assert volume.subvolumes()
        assert alive.exists()
    wait_until(lambda: not alive.exists(), "the private mount is still there")


def test_a_filesystem_mounted_where_the_private_mount_is_hidden_can_be_opened(
    data: Path,
) -> None:
    script = f'mount --bind {data} /mnt && exec "$@"'
    output = run([*python("unshare", "--mount", "sh", "-c", script, "sh"), "/mnt", "-"])
    assert output.startswith("2 subvolumes\n")


def test_other_filesystems_are_released_when_they_are_unmounted_meanwhile(
    data: Path, fast_directory: Path
) -> None:
    """The private namespace is a copy of ours, which must not keep the rest in use."""
    with LoopbackBtrfs(fast_directory, size_bytes=128 * 1024**2) as other:
        alive = Path(f"/sys/fs/btrfs/{other.fsid}")
        with LocalBtrfs().open(data, writable=True):
            unmount(other)
            wait_until(lambda: not alive.exists(), "an unmounted filesystem is still in use")


def test_sigkill_leaves_no_mount_behind(filesystem: LoopbackBtrfs, data: Path) -> None:
    alive = Path(f"/sys/fs/btrfs/{filesystem.fsid}")
    with subprocess.Popen(
        [*python(), str(data), "-", "wait"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"2 subvolumes\n"
        process.send_signal(signal.SIGKILL)
    unmount(filesystem)
    wait_until(lambda: not alive.exists(), "the private mount outlived its program")


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Press Ctrl-C until it is heard: Python drops one that arrives inside a destructor."""
    for _ in range(10):
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return


def test_ctrl_c_while_the_volume_is_open_leaves_no_mount_behind(
    filesystem: LoopbackBtrfs, data: Path
) -> None:
    with subprocess.Popen(
        [*python(), str(data), "-", "wait"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"2 subvolumes\n"
        interrupt(process)
        assert b"KeyboardInterrupt" in process.stderr.read()
    unmount(filesystem)
    assert not Path(f"/sys/fs/btrfs/{filesystem.fsid}").exists()


def test_a_missing_btrfs_program_names_the_package_to_install(data: Path) -> None:
    machine = LocalBtrfs(program="btrfs-that-is-not-there")
    with pytest.raises(SourceError, match="was not found") as caught:
        machine.versions()
    assert caught.value.hint == "apt install btrfs-progs"
    with machine.open(data, writable=True) as volume:
        snapshot = volume.snapshot(volume.subvolume_at(data), "s")
        options = LocalBtrfs().best_send_options("1")
        with pytest.raises(SourceError, match="was not found"):
            volume.send(snapshot, None, options)
        with pytest.raises(SourceError, match="was not found"):
            volume.receive(data)


def test_the_versions_are_those_of_kernel_and_progs() -> None:
    if shutil.which("btrfs") is None:
        pytest.skip("btrfs-progs is not installed")
    kernel, progs = LocalBtrfs().versions()
    assert kernel == os.uname().release
    assert f"v{progs}" in run(["btrfs", "--version"])


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/absolute"])
def test_a_snapshot_directory_is_one_name(name: str) -> None:
    with pytest.raises(ConfigError):
        LocalBtrfs(name)


def test_an_unknown_protocol_is_a_usage_error() -> None:
    if shutil.which("btrfs") is None:
        pytest.skip("btrfs-progs is not installed")
    with pytest.raises(UsageError):
        LocalBtrfs().best_send_options("3")
