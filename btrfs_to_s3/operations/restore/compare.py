"""Comparing a restored snapshot with the one it was sent from, where that is still at hand."""

from __future__ import annotations

import os
import stat
import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError, InterruptedRunError, SourceError

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import Manifest
    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.ports import Cancellation, Volume

_BLOCK_BYTES = 1024 * 1024
_SAMPLE_OF = 16
_SHOWN = 20
_EMPTY_SUBVOLUME_INODE = 2
"""BTRFS_EMPTY_SUBVOL_DIR_OBJECTID (linux/btrfs_tree.h)."""


class Thoroughness(StrEnum):
    """How much content is read; names and metadata are always compared."""

    FULL = "full"
    SAMPLE = "sample"
    NONE = "none"


@dataclass(slots=True)
class TreeComparison:
    """What was compared. ``differences`` holds at most 20 sentences, ``different`` counts all."""

    entries: int = 0
    contents: int = 0
    different: int = 0
    differences: list[str] = field(default_factory=list)

    def add(self, path: bytes, what: str) -> None:
        """Note one difference."""
        self.different += 1
        if len(self.differences) < _SHOWN:
            self.differences.append(f"{os.fsdecode(path) or '.'!r}: {what}")


def compare_trees(
    expected: Path, actual: Path, thoroughness: Thoroughness, cancel: Cancellation
) -> TreeComparison:
    """Compare two directory trees. Memory: the names of the directories on one path.

    Names, types, modes, owners, sizes, modification times, link targets and counts, device
    numbers and extended attributes of everything; the content of every file, or of one in 16.
    """
    found = TreeComparison()
    pending = [b""]
    while pending:
        if cancel.is_set():
            raise InterruptedRunError("stopped while the restored tree was compared")
        directory = pending.pop()
        left = os.fsencode(expected) + b"/" + directory
        right = os.fsencode(actual) + b"/" + directory
        names, others = set(os.listdir(left)), set(os.listdir(right))  # noqa: PTH208 - bytes
        for name in sorted(others - names):
            found.add(directory + name, "not in the source")
        for name in sorted(names):
            if name not in others:
                if _is_carried(left + name):
                    found.add(directory + name, "missing")
            elif _compare_entry(left + name, right + name, directory + name, thoroughness, found):
                pending.append(directory + name + b"/")
    return found


def _is_carried(path: bytes) -> bool:
    """Whether send carries an entry: not the empty place where a nested subvolume was."""
    return os.lstat(path).st_ino != _EMPTY_SUBVOLUME_INODE


def _compare_entry(
    left: bytes, right: bytes, path: bytes, thoroughness: Thoroughness, found: TreeComparison
) -> bool:
    """Compare one entry; whether it is a directory in both trees."""
    found.entries += 1
    here, there = os.lstat(left), os.lstat(right)
    if stat.S_IFMT(here.st_mode) != stat.S_IFMT(there.st_mode):
        found.add(path, "another type")
        return False
    directory = stat.S_ISDIR(here.st_mode)
    if _facts(here) != _facts(there):
        found.add(path, f"metadata {_facts(there)}, not {_facts(here)}")
    if _xattrs(left) != _xattrs(right):
        found.add(path, "extended attributes")
    if stat.S_ISLNK(here.st_mode) and os.readlink(left) != os.readlink(right):  # noqa: PTH115 - bytes
        found.add(path, "link target")
    if stat.S_ISREG(here.st_mode) and here.st_size == there.st_size:
        chosen = thoroughness is Thoroughness.FULL or zlib.crc32(path) % _SAMPLE_OF == 0
        if chosen:
            found.contents += 1
            if not _same_content(left, right):
                found.add(path, "content")
    return directory


def _facts(facts: os.stat_result) -> tuple[int, ...]:
    """Mode, owner, group, modification time; of what is no directory also size, links, device."""
    shared = (facts.st_mode, facts.st_uid, facts.st_gid, facts.st_mtime_ns)
    if stat.S_ISDIR(facts.st_mode):
        return shared
    return (*shared, facts.st_size, facts.st_nlink, facts.st_rdev)


def _xattrs(path: bytes) -> dict[str, bytes]:
    names = os.listxattr(path, follow_symlinks=False)
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}


def _same_content(left: bytes, right: bytes) -> bool:
    with Path(os.fsdecode(left)).open("rb") as first, Path(os.fsdecode(right)).open("rb") as second:
        while True:
            block = first.read(_BLOCK_BYTES)
            if block != second.read(_BLOCK_BYTES):
                return False
            if not block:
                return True


def compare_with_source(
    services: Services,
    volume: Volume,
    restored: Subvolume,
    manifest: Manifest,
    thoroughness: Thoroughness,
) -> TreeComparison | None:
    """Compare a restored snapshot with its original; None when that is not on this machine.

    ``IntegrityError`` with the first differences.
    """
    path = services.access.source_record(manifest.source_id).path
    if path is None:
        return None
    try:
        source = services.btrfs.open(Path(path), writable=False)
    except SourceError:
        return None
    with source:
        original = next(
            (
                local
                for local in source.subvolumes()
                if local.uuid == manifest.snapshot.uuid
                and local.readonly
                and local.ctransid == manifest.snapshot.ctransid
            ),
            None,
        )
        if original is None:
            return None
        services.reporter.activity("comparing with the source snapshot")
        found = compare_trees(
            source.contents(original), volume.contents(restored), thoroughness, services.cancel
        )
    if found.different:
        raise IntegrityError(
            f"the restored snapshot differs from its source in {found.different} places: "
            + "; ".join(found.differences),
            hint="the data was verified on its way: check the memory and the disks of this machine",
        )
    return found
