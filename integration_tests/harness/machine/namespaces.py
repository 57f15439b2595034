"""Named network namespaces, as ip-netns(8) keeps them: a bind mount below /run/netns.

Made with unshare(1) of util-linux, so that nothing forks this process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from integration_tests.harness.machine import devices

DIRECTORY = Path("/run/netns")
_GONE_WITHIN_S = 10.0
_POLL_S = 0.02


def path_of(name: str) -> Path:
    """Where a namespace can be entered."""
    return DIRECTORY / name


def create(name: str) -> None:
    """Make a namespace; DeviceError if that is not possible. Its loopback is down."""
    DIRECTORY.mkdir(exist_ok=True)
    path_of(name).touch(exist_ok=False)
    devices.run("unshare", f"--net={path_of(name)}", "true")


def exists(name: str) -> bool:
    """Whether something is left of it."""
    return path_of(name).exists()


def processes(name: str) -> list[int]:
    """The pids of what runs inside."""
    found = []
    try:
        wanted = path_of(name).stat()
    except FileNotFoundError:
        return []
    for process in Path("/proc").glob("[0-9]*"):
        # A process may end at any moment; a zombie has no namespace any more.
        with contextlib.suppress(OSError):
            inside = (process / "ns" / "net").stat()
            if (inside.st_dev, inside.st_ino) == (wanted.st_dev, wanted.st_ino):
                found.append(int(process.name))
    return sorted(found)


def remove(name: str) -> None:
    """End what runs inside, then remove the namespace; nothing to remove is no error.

    TimeoutError if a process outlives SIGKILL.
    """
    deadline = time.monotonic() + _GONE_WITHIN_S
    while _is_mounted(name) and (inside := processes(name)):
        for pid in inside:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"{inside} in the namespace {name} outlive SIGKILL")
        time.sleep(_POLL_S)
    if _is_mounted(name):
        devices.unmount(path_of(name))
    path_of(name).unlink(missing_ok=True)


def _is_mounted(name: str) -> bool:
    return any(mount.point == path_of(name) for mount in devices.mounts())
