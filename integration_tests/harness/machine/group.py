"""A control group whose processes are ended together, wherever they went and whoever started them.

cgroups(7), version 2; where the machine has both versions, what the processes made below the same
path of the other hierarchies is removed as well.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

from integration_tests.harness.machine.hierarchies import ENTER, CgroupError, cgroup_mounts

_PROCESSES: Final = "cgroup.procs"
_GONE_WITHIN_S: Final = 20.0
_POLL_S: Final = 0.05


def group_path(name: str) -> Path:
    """Where a group of this name belongs: inside our own; CgroupError without version 2."""
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        number, _, own = line.split(":", 2)
        if number == "0":
            for mount in cgroup_mounts():
                if not mount.is_v1:
                    return mount.point / mount.below(own).lstrip("/") / name
    raise CgroupError("no cgroup2 hierarchy is mounted")


def entering(group: Path) -> list[str]:
    """The command that makes the group and enters it, to be put before another one.

    That one replaces it.
    """
    return ["sh", "-c", f'mkdir -p "${{0%/*}}" && {ENTER}', str(group / _PROCESSES)]


def processes(group: Path) -> list[int]:
    """What runs in the group and below it; empty where there is no group."""
    found: set[int] = set()
    for directory in _directories(group):
        with contextlib.suppress(OSError):  # it may go at any moment
            text = (directory / _PROCESSES).read_text(encoding="ascii")
            found |= {int(pid) for pid in text.split()}
    return sorted(found)


def remove(group: Path) -> None:
    """End what runs in it, then remove it; nothing to remove is no error.

    TimeoutError if a process outlives SIGKILL.
    """
    deadline = time.monotonic() + _GONE_WITHIN_S
    while inside := processes(group):
        for pid in inside:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"{inside} in {group} outlive SIGKILL")
        time.sleep(_POLL_S)
    for twin in _in_every_hierarchy(group):
        # Only directories can be removed here, the innermost first.
        for directory in sorted(_directories(twin), reverse=True):
            with contextlib.suppress(FileNotFoundError):
                directory.rmdir()


def _in_every_hierarchy(group: Path) -> list[Path]:
    """The same path below every hierarchy that is mounted, the group's own included."""
    mounts = list(cgroup_mounts())
    return [
        other.point / group.relative_to(own.point)
        for own in mounts
        if not own.is_v1 and group.is_relative_to(own.point)
        for other in mounts
    ]


def _directories(group: Path) -> list[Path]:
    """A group and those below it; os.walk passes over those that go meanwhile."""
    return [Path(path) for path, _, _ in os.walk(group)]
