"""Mount tables, as /proc/<pid>/mountinfo shows them (proc(5))."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class MountEntry:
    """The mount that holds an open file: a line of /proc/self/mountinfo (proc(5))."""

    mount_point: str
    filesystem: str
    device: str
    readonly: bool
    filesystem_readonly: bool


def mount_of(fd: int) -> MountEntry:
    """The mount through which ``fd`` was opened, found by its mount id, not by its path."""
    fields = Path(f"/proc/self/fdinfo/{fd}").read_text().split()
    mount_id = fields[fields.index("mnt_id:") + 1]
    for found_id, entry in mounts("self"):
        if found_id == mount_id:
            return entry
    raise SourceError(
        "the mount of a directory is not in /proc/self/mountinfo",
        hint="it was unmounted lazily, or lies outside this process's root: mount it again",
        mount_id=mount_id,
    )


def mounts(process: str) -> Iterator[tuple[str, MountEntry]]:
    """A process's mount ids and mounts in the kernel's order: parents before children."""
    for line in Path(f"/proc/{process}/mountinfo").read_bytes().splitlines():
        left, _, right = line.decode(errors="surrogateescape").partition(" - ")
        mount = left.split(" ")
        filesystem, device, options = right.split(" ")[:3]
        yield (
            mount[0],
            MountEntry(
                mount_point=_unescape(mount[4]),
                filesystem=filesystem,
                device=_unescape(device),
                readonly="ro" in mount[5].split(","),
                filesystem_readonly="ro" in options.split(","),
            ),
        )


def dispensable(mount_points: Iterable[str], needed: Iterable[str]) -> list[str]:
    """Mount points that nothing needed lies on, without those that go with one above them."""
    kept = [path for each in needed for path in (each, os.path.realpath(each))]
    chosen: list[str] = []
    for point in mount_points:
        inside = point.rstrip("/") + "/"
        if any(path == point or path.startswith(inside) for path in kept):
            continue
        if not any(inside.startswith(f"{above}/") and point != above for above in chosen):
            chosen.append(point)
    return chosen


def _unescape(text: str) -> str:
    """Undo mountinfo's octal escapes (space, tab, newline, backslash)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
