"""One tree as the comparer sees it: its entries in a fixed order and what is known about each."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from enum import Enum
from typing import TYPE_CHECKING

from integration_tests.harness.trees import ioctls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHOWN_XATTR_BYTES = 64
# `linux/btrfs_tree.h`: BTRFS_FIRST_FREE_OBJECTID, the root directory of any subvolume, and
# BTRFS_EMPTY_SUBVOL_DIR_OBJECTID, what a snapshot shows in place of a nested subvolume.
_SUBVOLUME_ROOT_INODE = 256
_NESTED_STUB_INODE = 2
TYPE_NAMES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


class Aspect(Enum):
    """In what respect two trees differ."""

    MISSING = "missing"
    EXTRA = "extra"
    TYPE = "type"
    MODE = "mode"
    OWNER = "owner"
    MTIME = "mtime"
    XATTR = "xattr"
    TARGET = "target"
    DEVICE = "device"
    LINKS = "links"
    SIZE = "size"
    CONTENT = "content"
    HOLES = "holes"
    SHARING = "sharing"
    FLAGS = "flags"
    PREALLOCATION = "preallocation"
    NESTED_SUBVOLUME = "nested subvolume"


class Tree:
    """The entries below a directory, by their relative path as bytes; `b"."` is the root.

    Names of one inode are noticed in the order in which `facts` is asked about them, so two trees
    compare equal only when asked in the same order.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        with opened(root) as descriptor:
            self.is_btrfs = ioctls.is_btrfs(descriptor)
        self._first_name: dict[tuple[int, int], bytes] = {}

    def at(self, path: bytes) -> Path:
        """Return where an entry is."""
        return self.root / os.fsdecode(path)

    def names(self, directory: bytes) -> set[bytes]:
        """Return the names in a directory."""
        with os.scandir(os.fsencode(self.at(directory))) as entries:
            return {entry.name for entry in entries}

    def status(self, path: bytes) -> os.stat_result:
        """Return lstat(2) of an entry."""
        return self.at(path).lstat()

    def is_nested_subvolume(self, status: os.stat_result) -> bool:
        """Tell whether an entry below the root is a subvolume, or a snapshot's stub of one."""
        return (
            self.is_btrfs
            and stat.S_ISDIR(status.st_mode)
            and status.st_ino in {_SUBVOLUME_ROOT_INODE, _NESTED_STUB_INODE}
        )

    def walk(self) -> Iterator[tuple[bytes, os.stat_result]]:
        """Yield every entry, a directory before what it holds; nested subvolumes are left out."""
        pending = [b"."]
        while pending:
            path = pending.pop()
            status = self.status(path)
            if path != b"." and self.is_nested_subvolume(status):
                continue
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                pending += (
                    join_name(path, name) for name in sorted(self.names(path), reverse=True)
                )

    def facts(self, path: bytes, status: os.stat_result) -> dict[Aspect, str]:
        """Return all that is compared about an entry but size, content and holes."""
        kind = stat.S_IFMT(status.st_mode)
        facts = {
            Aspect.TYPE: TYPE_NAMES[kind],
            Aspect.MODE: f"{stat.S_IMODE(status.st_mode):04o}",
            Aspect.OWNER: f"{status.st_uid}:{status.st_gid}",
            Aspect.MTIME: str(status.st_mtime_ns),
            Aspect.XATTR: self._xattrs(path),
        }
        if kind == stat.S_IFLNK:
            facts[Aspect.TARGET] = repr(os.fsencode(self.at(path).readlink()))
        if kind in {stat.S_IFCHR, stat.S_IFBLK}:
            facts[Aspect.DEVICE] = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        if status.st_nlink > 1 and kind != stat.S_IFDIR:
            first = self._first_name.setdefault((status.st_dev, status.st_ino), path)
            if first != path:
                facts[Aspect.LINKS] = f"same as {first!r}"
        return facts

    def _xattrs(self, path: bytes) -> str:
        place = self.at(path)
        shown = []
        for name in sorted(os.listxattr(place, follow_symlinks=False), key=os.fsencode):
            value = os.getxattr(place, name, follow_symlinks=False)
            if len(value) > _SHOWN_XATTR_BYTES:
                text = f"sha256:{hashlib.sha256(value).hexdigest()}"
            else:
                text = value.hex()
            shown.append(f"{os.fsencode(name)!r}:{text}")
        return ",".join(shown) or "none"


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a file or directory for reading and yield its descriptor."""
    # O_NONBLOCK: should a fifo have taken the file's place, fail later rather than hang.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def join_name(directory: bytes, name: bytes) -> bytes:
    """Return the relative path of a name in a directory."""
    return name if directory == b"." else directory + b"/" + name
