"""How much memory a run may take on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
_SHARE = 2
"""At most one part in this many of the available memory: the rest is the machine's own."""
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Affordable:
    """How many parts may be in flight; ``reason`` says why fewer than wanted, None if not."""

    concurrency: int
    reason: str | None


def affordable_concurrency(
    wanted: int, part_size_bytes: int, constant_bytes: int, available_bytes: int
) -> Affordable:
    """Lower ``wanted`` until ``constant + concurrency * part size`` fits half of what is free.

    Never below one. Pure: ``available_bytes`` comes from ``available_memory_bytes``.
    """
    budget_bytes = available_bytes // _SHARE - constant_bytes
    concurrency = max(1, min(wanted, budget_bytes // part_size_bytes))
    if concurrency >= wanted:
        return Affordable(wanted, None)
    return Affordable(
        concurrency,
        f"{_in_mib(available_bytes)} of memory are free: concurrency is {concurrency}, "
        f"not {wanted} (parts of {_in_mib(part_size_bytes)})",
    )


def available_memory_bytes() -> int:
    """What can be taken without swapping, by the machine and by this process's own cgroup."""
    machine_bytes = psutil.virtual_memory().available
    cgroup_bytes = cgroup_room_bytes(_own_cgroup())
    return machine_bytes if cgroup_bytes is None else min(machine_bytes, cgroup_bytes)


def cgroup_room_bytes(cgroup: Path | None, top: Path = _CGROUPS) -> int | None:
    """What ``memory.max`` of a cgroup and of those above it leaves; None without a limit.

    Inactive page cache counts as room: the kernel drops it before it refuses memory
    (Documentation/admin-guide/cgroup-v2.rst).
    """
    rooms = []
    while cgroup is not None and cgroup != top:
        try:
            limit = (cgroup / "memory.max").read_text("ascii").strip()
            if limit != "max":
                used_bytes = int((cgroup / "memory.current").read_text("ascii"))
                rooms.append(max(0, int(limit) - used_bytes + _inactive_cache_bytes(cgroup)))
        except (OSError, ValueError):
            pass
        cgroup = cgroup.parent if top in cgroup.parents else None
    return min(rooms, default=None)


def _inactive_cache_bytes(cgroup: Path) -> int:
    for line in (cgroup / "memory.stat").read_text("ascii").splitlines():
        name, _, value = line.partition(" ")
        if name == "inactive_file":
            return int(value)
    return 0


def _own_cgroup() -> Path | None:
    """The cgroup v2 directory of this process; None under cgroup v1 or none."""
    try:
        lines = _OWN_CGROUP.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return None
    path = next((line[3:] for line in lines if line.startswith("0::/")), None)
    return _CGROUPS / path.lstrip("/") if path else None


def _in_mib(size_bytes: int) -> str:
    return f"{size_bytes // _MIB} MiB" if size_bytes >= _MIB else "less than 1 MiB"
