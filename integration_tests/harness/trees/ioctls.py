"""Linux file calls that Python does not wrap: clone, dedupe, FIEMAP, chattr flags, fallocate.

Every function takes an open file descriptor, offsets and lengths in bytes, and raises OSError with
the kernel's errno. Request numbers and structures are those of `linux/fs.h`, `linux/fiemap.h`,
`linux/falloc.h` and `linux/btrfs.h`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FICLONE = 0x40049409
_FICLONERANGE = 0x4020940D
_FIDEDUPERANGE = 0xC0189436
_FS_IOC_GETFLAGS = 0x80086601
_FS_IOC_SETFLAGS = 0x40086602
_FS_IOC_FIEMAP = 0xC020660B
_BTRFS_IOC_SUBVOL_GETFLAGS = 0x80089419

_FALLOC_FL_KEEP_SIZE = 0x01
_FALLOC_FL_PUNCH_HOLE = 0x02

_CLONE_RANGE = struct.Struct("=qQQQ")
_DEDUPE_HEADER = struct.Struct("=QQHHI")
_DEDUPE_INFO = struct.Struct("=qQQiI")
_FIEMAP_HEADER = struct.Struct("=QQIIII")
_FIEMAP_EXTENT = struct.Struct("=QQQQQIIII")
_FIEMAP_FLAG_SYNC = 0x1
_FIEMAP_BATCH = 256

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class FileFlag(IntFlag):
    """Attribute flags as chattr(1) sets them (`FS_*_FL` in `linux/fs.h`)."""

    COMPRESS = 0x04
    SYNC = 0x08
    IMMUTABLE = 0x10
    APPEND_ONLY = 0x20
    NO_DUMP = 0x40
    NO_ATIME = 0x80
    NO_COMPRESS = 0x400
    NO_COW = 0x800000


class ExtentFlag(IntFlag):
    """Extent flags of `linux/fiemap.h` that mean something on Btrfs."""

    LAST = 0x01
    UNKNOWN = 0x02
    DELAYED = 0x04
    ENCODED = 0x08
    NOT_ALIGNED = 0x100
    INLINE = 0x200
    UNWRITTEN = 0x800
    SHARED = 0x2000


@dataclass(frozen=True, slots=True)
class Extent:
    """One extent of a file as FIEMAP reports it; bytes.

    `physical` is an address in the filesystem's own logical space. For a compressed (ENCODED)
    extent it is the start of the whole extent, whichever part of it the file uses.
    """

    logical: int
    physical: int
    length: int
    flags: ExtentFlag


def clone_file(source_fd: int, target_fd: int) -> None:
    """Make the target share all extents of the source (FICLONE)."""
    fcntl.ioctl(target_fd, _FICLONE, source_fd)


def clone_range(source_fd: int, offset: int, length: int, target_fd: int, target_at: int) -> None:
    """Share a block-aligned range with the target (FICLONERANGE); length 0 means to the end."""
    fcntl.ioctl(target_fd, _FICLONERANGE, _CLONE_RANGE.pack(source_fd, offset, length, target_at))


def dedupe_range(source_fd: int, offset: int, length: int, target_fd: int, target_at: int) -> int:
    """Share a range if both files hold the same bytes there (FIDEDUPERANGE).

    Returns the number of bytes now shared: 0 if the contents differ.
    """
    request = bytearray(
        _DEDUPE_HEADER.pack(offset, length, 1, 0, 0)
        + _DEDUPE_INFO.pack(target_fd, target_at, 0, 0, 0)
    )
    fcntl.ioctl(source_fd, _FIDEDUPERANGE, request)
    _, _, deduped, status, _ = _DEDUPE_INFO.unpack_from(request, _DEDUPE_HEADER.size)
    if status < 0:
        raise OSError(-status, os.strerror(-status))
    return int(deduped) if status == 0 else 0


def file_flags(fd: int) -> FileFlag | None:
    """Return the attribute flags, or None where the filesystem has none."""
    answer = bytearray(8)
    try:
        fcntl.ioctl(fd, _FS_IOC_GETFLAGS, answer)
    except OSError as error:
        if error.errno in {errno.ENOTTY, errno.EOPNOTSUPP}:
            return None
        raise
    return FileFlag(int.from_bytes(answer[:4], "little"))


def set_file_flags(fd: int, flags: FileFlag) -> None:
    """Replace the attribute flags (FS_IOC_SETFLAGS)."""
    fcntl.ioctl(fd, _FS_IOC_SETFLAGS, struct.pack("=q", int(flags)))


def preallocate(fd: int, offset: int, length: int, *, keep_size: bool = False) -> None:
    """Reserve unwritten extents; with `keep_size` the file does not grow."""
    _fallocate(fd, _FALLOC_FL_KEEP_SIZE if keep_size else 0, offset, length)


def punch_hole(fd: int, offset: int, length: int) -> None:
    """Turn a range into a hole without changing the size."""
    _fallocate(fd, _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE, offset, length)


def extents(fd: int, *, sync: bool = False) -> Iterator[Extent]:
    """Yield the extents of a file in file order; nothing where FIEMAP is not supported.

    With `sync` delayed allocations are written out first, so that addresses are final.
    """
    start = 0
    flags = _FIEMAP_FLAG_SYNC if sync else 0
    while True:
        answer = bytearray(_FIEMAP_HEADER.size + _FIEMAP_BATCH * _FIEMAP_EXTENT.size)
        _FIEMAP_HEADER.pack_into(answer, 0, start, 2**64 - 1 - start, flags, 0, _FIEMAP_BATCH, 0)
        try:
            fcntl.ioctl(fd, _FS_IOC_FIEMAP, answer)
        except OSError as error:
            if error.errno in {errno.ENOTTY, errno.EOPNOTSUPP}:
                return
            raise
        mapped = _FIEMAP_HEADER.unpack_from(answer)[3]
        if mapped == 0:
            return
        for number in range(mapped):
            logical, physical, length, _, _, bits, *_ = _FIEMAP_EXTENT.unpack_from(
                answer, _FIEMAP_HEADER.size + number * _FIEMAP_EXTENT.size
            )
            yield Extent(logical, physical, length, ExtentFlag(bits))
        start = logical + length
        if bits & ExtentFlag.LAST:
            return


def is_btrfs(fd: int) -> bool:
    """Tell whether a file or directory lies on Btrfs."""
    try:
        fcntl.ioctl(fd, _BTRFS_IOC_SUBVOL_GETFLAGS, bytearray(8))
    except OSError as error:
        # Btrfs answers EINVAL for anything but the root of a subvolume.
        return error.errno not in {errno.ENOTTY, errno.EOPNOTSUPP}
    return True


def _fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    if _LIBC.fallocate(fd, mode, offset, length) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
