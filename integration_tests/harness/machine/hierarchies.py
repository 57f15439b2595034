"""The hierarchies of control groups that are mounted here, and how a process enters a group."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ENTER: Final = 'echo $$ > "$0" && exec "$@"'
"""A shell command whose $0 is the group's file `cgroup.procs`; the rest replaces the shell."""


class CgroupError(RuntimeError):
    """No such group can be made here; the message says why."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mounted hierarchy; in a container `root` may be a group below the real one."""

    point: Path
    root: str
    is_v1: bool
    options: Sequence[str]

    def below(self, group: str) -> str:
        """A group of /proc/self/cgroup as a path below the mount point."""
        path = Path(group)
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else ""


def cgroup_mounts() -> Iterator[Hierarchy]:
    """From /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split(" ")[3:5]
        kind, _, options = after.split(" ")[:3]
        if kind in {"cgroup", "cgroup2"}:
            yield Hierarchy(Path(point), root, kind == "cgroup", options.split(","))
