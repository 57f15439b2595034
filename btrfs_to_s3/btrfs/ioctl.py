"""Btrfs ioctls and syncfs, as linux/btrfs.h and linux/btrfs_tree.h lay them out.

Every function takes an open descriptor of a directory on Btrfs (never of a device: drivers reuse
these numbers) and raises ``OSError`` as the kernel reports it; callers give it a meaning. Numbers
follow asm-generic/ioctl.h (x86, arm, riscv, s390).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT_TREE_ID: Final = 1
"""BTRFS_ROOT_TREE_OBJECTID: the tree of root items."""
UUID_TREE_ID: Final = 9
"""BTRFS_UUID_TREE_OBJECTID: subvolume ids by uuid and by received uuid."""
SUBVOLUME_ROOT_INODE: Final = 256
"""BTRFS_FIRST_FREE_OBJECTID: the inode number of every subvolume's root directory."""
LAST_SUBVOLUME_ID: Final = 2**64 - 256
"""BTRFS_LAST_FREE_OBJECTID: ids above it are the kernel's own trees."""
MAX_U64: Final = 2**64 - 1

_MAGIC: Final = 0x94
_WRITE: Final = 1
_READ: Final = 2


def _number(direction: int, nr: int, size_bytes: int) -> int:
    """``_IOC`` of asm-generic/ioctl.h."""
    return direction << 30 | size_bytes << 16 | _MAGIC << 8 | nr


_SEARCH_KEY = struct.Struct("=7Q4I4Q")
_SEARCH_ARGS = struct.Struct("=104sQ")
_SEARCH_HEADER = struct.Struct("=3Q2I")
_SEARCH_BUFFER_BYTES = 256 * 1024
_ITEM_COUNT_OFFSET = 64
_INO_LOOKUP = struct.Struct("=QQ4080s")
_VOL_ARGS_V2 = struct.Struct("=qQQ32s4040s")
_FS_INFO = struct.Struct("=QQ16s992x")

_TREE_SEARCH_V2 = _number(_READ | _WRITE, 17, _SEARCH_ARGS.size)
_INO_LOOKUP_NUMBER = _number(_READ | _WRITE, 18, _INO_LOOKUP.size)
_SNAP_CREATE_V2 = _number(_WRITE, 23, _VOL_ARGS_V2.size)
_FS_INFO_NUMBER = _number(_READ, 31, _FS_INFO.size)
_SNAP_DESTROY_V2 = _number(_WRITE, 63, _VOL_ARGS_V2.size)

_SUBVOL_RDONLY = 1 << 1
_SUBVOL_SPEC_BY_ID = 1 << 4

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The key of an item in a Btrfs tree (``struct btrfs_key``), ordered as the tree is."""

    objectid: int
    type: int
    offset: int


def filesystem_uuid(fd: int) -> UUID:
    """BTRFS_IOC_FS_INFO: the fsid. ENOTTY when the descriptor is not on Btrfs."""
    answer = bytearray(_FS_INFO.size)
    fcntl.ioctl(fd, _FS_INFO_NUMBER, answer)
    return UUID(bytes=_FS_INFO.unpack(answer)[2])


def tree_of(fd: int) -> int:
    """The id of the subvolume that an open directory lies in."""
    return _ino_lookup(fd, 0, SUBVOLUME_ROOT_INODE)[0]


def path_in_tree(fd: int, tree_id: int, inode: int) -> str:
    """A directory's path below its subvolume's root, ``""`` for the root (BTRFS_IOC_INO_LOOKUP)."""
    return _ino_lookup(fd, tree_id, inode)[1]


def _ino_lookup(fd: int, tree_id: int, inode: int) -> tuple[int, str]:
    args = bytearray(_INO_LOOKUP.pack(tree_id, inode, b""))
    fcntl.ioctl(fd, _INO_LOOKUP_NUMBER, args)
    found, _, name = _INO_LOOKUP.unpack(args)
    return found, os.fsdecode(name.partition(b"\0")[0]).rstrip("/")


def search(fd: int, tree_id: int, first: Key, last: Key) -> Iterator[tuple[Key, bytes]]:
    """Items of a tree from ``first`` to ``last`` in key order (BTRFS_IOC_TREE_SEARCH_V2).

    The range is one of keys, so items of every type between the two ends come along. Needs
    CAP_SYS_ADMIN. Each batch is consistent in itself; the tree may change between batches.
    """
    while True:
        buffer = bytearray(_SEARCH_ARGS.size + _SEARCH_BUFFER_BYTES)
        key = _SEARCH_KEY.pack(
            *(tree_id, first.objectid, last.objectid, first.offset, last.offset, 0, MAX_U64),
            *(first.type, last.type, 2**32 - 1, 0),
            *(0, 0, 0, 0),
        )
        _SEARCH_ARGS.pack_into(buffer, 0, key, _SEARCH_BUFFER_BYTES)
        fcntl.ioctl(fd, _TREE_SEARCH_V2, buffer)
        (count,) = struct.unpack_from("=I", buffer, _ITEM_COUNT_OFFSET)
        if not count:
            return
        offset = _SEARCH_ARGS.size
        for _ in range(count):
            _, objectid, item_offset, item_type, size = _SEARCH_HEADER.unpack_from(buffer, offset)
            offset += _SEARCH_HEADER.size
            found = Key(objectid, item_type, item_offset)
            yield found, bytes(buffer[offset : offset + size])
            offset += size
        following = _successor(found)
        if following > last:
            return
        first = following


def _successor(key: Key) -> Key:
    """The smallest key after this one."""
    if key.offset < MAX_U64:
        return Key(key.objectid, key.type, key.offset + 1)
    if key.type < 2**8 - 1:
        return Key(key.objectid, key.type + 1, 0)
    return Key(key.objectid + 1, 0, 0)


def create_snapshot(directory_fd: int, name: str, source_fd: int, *, readonly: bool) -> None:
    """BTRFS_IOC_SNAP_CREATE_V2: a snapshot of the subvolume whose root ``source_fd`` is.

    The kernel commits the transaction before it returns. ETXTBSY with an active swapfile,
    EEXIST, EROFS, ENOSPC and EDQUOT leave nothing behind.
    """
    flags = _SUBVOL_RDONLY if readonly else 0
    args = bytearray(_VOL_ARGS_V2.pack(source_fd, 0, flags, b"", os.fsencode(name)))
    fcntl.ioctl(directory_fd, _SNAP_CREATE_V2, args)


def destroy_subvolume(fd: int, subvolume_id: int) -> None:
    """BTRFS_IOC_SNAP_DESTROY_V2 by id: wherever the subvolume lies (Linux 5.7). ENOENT if gone."""
    name = struct.pack("=Q", subvolume_id)
    args = bytearray(_VOL_ARGS_V2.pack(0, 0, _SUBVOL_SPEC_BY_ID, b"", name))
    fcntl.ioctl(fd, _SNAP_DESTROY_V2, args)


def syncfs(fd: int) -> None:
    """Write dirty data, then commit (syncfs(2)); reports writeback errors too."""
    if _libc.syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
