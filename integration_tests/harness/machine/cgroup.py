"""A memory limit for a group of processes, by cgroup v1 or v2, whichever is mounted here.

With v1 the group is made inside our own, so that every limit above still holds. With v2 only a
group without processes may pass controllers on (the "no internal process" rule, cgroups(7)), so it
is made in the nearest group above us that does. The name tells the owner by pid and start time:
the next group that is made removes the empty ones of owners that are no more.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from integration_tests.harness.machine.hierarchies import ENTER, CgroupError, cgroup_mounts
from integration_tests.harness.machine.state import ProcessIdentity

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME: Final = "btrfs-to-s3-harness"
_OWNED: Final = re.compile(rf"{_NAME}-(\d+)-(\d+)-[0-9a-f]+")
_EMPTY_WITHIN_S: Final = 10.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class _Files:
    """What a version of cgroups calls things."""

    limit: str
    swap_limit: str
    peak: str
    kills: str
    anonymous: str


_V1: Final = _Files(
    "memory.limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.max_usage_in_bytes",
    "memory.oom_control",
    "total_rss",
)
_V2: Final = _Files("memory.max", "memory.swap.max", "memory.peak", "memory.events", "anon")


class MemoryGroup:
    """A group of processes that may use `limit_bytes` together, swap included.

    A context manager: made on entering (CgroupError if that is impossible), removed at the end
    when its processes are gone (OSError if they are not after ten seconds).
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._parent, self._files = _place()
        own = ProcessIdentity.of(os.getpid())
        name = f"{_NAME}-{own.pid}-{own.start_ticks}-{secrets.token_hex(3)}"
        self.path = self._parent / name

    def __enter__(self) -> Self:
        remove_abandoned()
        try:
            self.path.mkdir()
            self._limit()
        except OSError as error:
            with contextlib.suppress(FileNotFoundError):
                self.path.rmdir()
            raise CgroupError(f"no memory limit can be set at {self.path}: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        deadline = time.monotonic() + _EMPTY_WITHIN_S
        while True:
            try:
                self.path.rmdir()
            except OSError:  # EBUSY while a process in it is still ending
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)
            else:
                return

    def command(self, command: Sequence[str]) -> list[str]:
        """The same command, run inside the group from its first instruction on."""
        return ["sh", "-c", ENTER, str(self.path / "cgroup.procs"), *command]

    def pids(self) -> set[int]:
        """The processes in the group."""
        return set(map(int, self._read("cgroup.procs").split()))

    @property
    def limit_in_force_bytes(self) -> int | None:
        """What the kernel says the limit is; None for no limit."""
        text = self._read(self._files.limit).strip()
        return None if text == "max" else int(text)

    @property
    def peak_bytes(self) -> int:
        """The most that was used at one time, page cache included."""
        return int(self._read(self._files.peak))

    @property
    def anonymous_bytes(self) -> int:
        """What is used now without the page cache, which the kernel takes back when it must."""
        return self._keyed("memory.stat", self._files.anonymous)

    @property
    def kills(self) -> int:
        """How many processes the kernel killed because of the limit."""
        return self._keyed(self._files.kills, "oom_kill")

    def _limit(self) -> None:
        (self.path / self._files.limit).write_text(str(self.limit_bytes))
        swap = self.path / self._files.swap_limit
        if swap.exists():
            # v1 counts memory and swap together, v2 swap alone.
            swap.write_text(str(self.limit_bytes if self._files is _V1 else 0))

    def _read(self, name: str) -> str:
        return (self.path / name).read_text(encoding="ascii")

    def _keyed(self, name: str, key: str) -> int:
        values = dict(line.split() for line in self._read(name).splitlines())
        return int(values[key])


def remove_abandoned() -> list[Path]:
    """Remove the empty groups of owners that no longer run; return them."""
    removed = []
    top, _ = _hierarchy()
    for path in top.rglob(f"{_NAME}-*"):
        owner = _OWNED.fullmatch(path.name)
        if owner is None or _is_alive(int(owner[1]), int(owner[2])):
            continue
        with contextlib.suppress(OSError):
            path.rmdir()
            removed.append(path)
    return removed


def _is_alive(pid: int, start_ticks: int) -> bool:
    try:
        return ProcessIdentity.of(pid).start_ticks == start_ticks
    except ProcessLookupError:
        return False


def _place() -> tuple[Path, _Files]:
    """Where a group can be made, and what its files are called."""
    top, own = _hierarchy()
    if _controls_v1(top):
        return top / own, _V1
    for group in (top / own, *(top / own).parents):
        if not group.is_relative_to(top):
            break
        enabled = group / "cgroup.subtree_control"
        if enabled.exists() and "memory" in enabled.read_text().split():
            return group, _V2
    raise CgroupError(f"no group above {top / own} lets its children have memory limits")


def _hierarchy() -> tuple[Path, str]:
    """Where the hierarchy with the memory controller is mounted, and our place below that."""
    groups = {}
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    for mount in cgroup_mounts():
        if mount.is_v1 and "memory" in mount.options:
            return mount.point, mount.below(groups["memory"])
    for mount in cgroup_mounts():
        if not mount.is_v1 and "memory" in (mount.point / "cgroup.controllers").read_text().split():
            return mount.point, mount.below(groups[""])
    raise CgroupError("no cgroup hierarchy with the memory controller is mounted")


def _controls_v1(top: Path) -> bool:
    return (top / _V1.limit).exists()
