"""Mounts and loop devices as the kernel reports them, and the commands that change them.

Clean-up is decided by what `/proc/self/mountinfo` and `/sys/block` say, never by what a run
remembers having done: an interrupted command may or may not have taken effect.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

COMMAND_TIMEOUT_S = 120.0
BUSY_PATIENCE_S = 3.0
_POLL_S = 0.05


class DeviceError(RuntimeError):
    """A command failed, or a mount or a loop device did not go away."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of `/proc/self/mountinfo` (proc_pid_mountinfo(5))."""

    point: Path
    filesystem: str
    source: str


def run(*arguments: str | Path) -> str:
    """Run a command, return its stdout, raise DeviceError with its stderr if it fails.

    The command gets its own process group: Ctrl-C at a terminal must not stop a mount half-way.
    """
    command = " ".join(str(argument) for argument in arguments)
    try:
        completed = subprocess.run(
            [str(argument) for argument in arguments],
            check=False,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=COMMAND_TIMEOUT_S,
            process_group=0,
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"{command}: no end after {COMMAND_TIMEOUT_S:.0f} s") from error
    if completed.returncode != 0:
        raise DeviceError(f"{command}: exit {completed.returncode}: {completed.stderr.strip()}")
    return completed.stdout


def mounts() -> list[Mount]:
    """Return every mount of this mount namespace, oldest first."""
    return mounts_seen_by("self")


def mounts_seen_by(process: str) -> list[Mount]:
    """Return every mount of the namespace of a process (a pid), oldest first."""
    found = []
    text = Path(f"/proc/{process}/mountinfo").read_text(errors="surrogateescape")
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        filesystem, source, *_ = after.split(" ")
        found.append(Mount(Path(_unescape(before.split(" ")[4])), filesystem, _unescape(source)))
    return found


def loops_backed_by(image: Path) -> list[Path]:
    """Return the loop devices attached to an image file, also when it was unlinked since."""
    names = {str(image), f"{image} (deleted)"}
    found = []
    for entry in sorted(Path("/sys/block").glob("loop*")):
        try:
            backing = (entry / "loop" / "backing_file").read_text(errors="surrogateescape")
        except OSError:
            continue  # detached, perhaps between listing and reading
        if backing.rstrip("\n") in names:
            found.append(Path("/dev") / entry.name)
    return found


def attach(image: Path) -> Path:
    """Attach an image to a free loop device and return the device."""
    return Path(run("losetup", "--find", "--show", image).strip())


def detach_all(image: Path) -> None:
    """Detach every loop device of an image and wait until they are gone.

    DeviceError if something keeps one open; the kernel detaches that one when it is closed.
    """
    deadline = time.monotonic() + BUSY_PATIENCE_S
    while attached := loops_backed_by(image):
        for device in attached:
            # Fails when another process detached it first.
            with contextlib.suppress(DeviceError):
                run("losetup", "--detach", device)
        if not loops_backed_by(image):
            return
        if time.monotonic() > deadline:
            raise DeviceError(f"{image} is still attached: something keeps its loop device open")
        _unmount_in_other_namespaces({str(device) for device in attached})
        time.sleep(_POLL_S)


def unmount(point: Path) -> None:
    """Unmount the topmost mount at a point.

    A busy mount is tried again for `BUSY_PATIENCE_S`, then detached lazily so that nothing stays
    visible; DeviceError is raised in that case, after the detaching.
    """
    deadline = time.monotonic() + BUSY_PATIENCE_S
    while True:
        try:
            run("umount", "--no-canonicalize", point)
        except DeviceError as error:
            if all(mount.point != point for mount in mounts()):
                return
            if time.monotonic() > deadline:
                run("umount", "--no-canonicalize", "--lazy", point)
                raise DeviceError(f"{point} was busy and had to be detached lazily") from error
            time.sleep(_POLL_S)
        else:
            return


def unmount_image(image: Path) -> None:
    """Unmount everything mounted from the loop devices of an image, wherever it is mounted.

    Whatever is mounted from a harness image belongs to the harness, also a private mount that a
    killed program left, and the copies of our mounts that any process got which entered a mount
    namespace of its own meanwhile. All mounts are tried; the last failure is raised at the end.
    """
    sources = {str(device) for device in loops_backed_by(image)}
    with contextlib.ExitStack() as steps:
        for source in sources:
            # Btrfs remembers unmounted devices by fsid and then refuses an older copy of the same
            # filesystem (device_list_add() in fs/btrfs/volumes.c).
            steps.callback(_forget_device, source)
        steps.callback(_unmount_in_other_namespaces, sources)
        for mount in mounts():
            if mount.source in sources:
                steps.callback(unmount, mount.point)  # the stack turns the order round


def _forget_device(device: str) -> None:
    with contextlib.suppress(DeviceError):
        run("btrfs", "device", "scan", "--forget", device)


def private_holders(points: Collection[Path]) -> list[int]:
    """Processes, one for each mount namespace, that mounted elsewhere what we see at `points`.

    Mere copies of our mounts, which every new namespace begins with, do not count.
    """
    sources = {mount.source for mount in mounts() if mount.point in points}
    return [
        int(process)
        for process, seen in _other_namespaces()
        if any(mount.source in sources and mount.point not in points for mount in seen)
    ]


def _unmount_in_other_namespaces(sources: set[str]) -> None:
    """Unmount in the mount namespaces of other processes, as far as they let us.

    A namespace with private propagation keeps a filesystem mounted, and its device busy, after it
    was unmounted here (mount_namespaces(7)).
    """
    for process, seen in _other_namespaces():
        with contextlib.suppress(OSError, DeviceError):
            for mount in reversed(seen):
                if mount.source in sources:
                    enter = f"--mount=/proc/{process}/ns/mnt"
                    run("nsenter", enter, "umount", "--no-canonicalize", mount.point)


def _other_namespaces() -> Iterator[tuple[str, list[Mount]]]:
    """Yield a process of each mount namespace but our own, and the mounts that it sees."""
    known = {Path("/proc/self/ns/mnt").readlink()}
    for process in Path("/proc").glob("[0-9]*"):
        # A process may end at any moment, and its namespace with it.
        with contextlib.suppress(OSError):
            namespace = (process / "ns" / "mnt").readlink()
            if namespace not in known:
                known.add(namespace)
                yield process.name, mounts_seen_by(process.name)


def _unescape(field: str) -> str:
    """Undo the octal escapes of mountinfo (space, tab, newline, backslash)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
