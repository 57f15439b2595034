"""One of everything: the file types, names, attributes and extent layouts a backup may get wrong.

All of it needs root and Btrfs. xattrs, ACLs and capabilities are written as the bytes the kernel
stores, so no acl, attr or libcap tools are needed.
"""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from integration_tests.harness.trees import ioctls
from integration_tests.harness.trees.ioctls import FileFlag

if TYPE_CHECKING:
    import random

BLOCK_BYTES = 4096
_SECOND_NS = 10**9
_EARLIEST_S = 1_000_000_000
_LATEST_S = 1_700_000_000
_DEEP_LEVELS = 10
_DEEP_NAME = "d" * 230
_LINKS = 70
_SPARSE_BYTES = 16 * 1024**2

# `linux/posix_acl_xattr.h` and `linux/posix_acl.h`
_ACL_VERSION = 2
_ACL_USER_OBJ, _ACL_USER, _ACL_GROUP_OBJ, _ACL_GROUP, _ACL_MASK, _ACL_OTHER = (1, 2, 4, 8, 16, 32)
_ACL_UNDEFINED_ID = 0xFFFFFFFF
# `linux/capability.h`: struct vfs_cap_data, revision 2
_VFS_CAP_REVISION_2 = 0x02000000
_VFS_CAP_EFFECTIVE = 1
_CAP_NET_BIND_SERVICE = 1 << 10
_CAP_NET_RAW = 1 << 13

_NAMES = (
    b"n" * 255,
    "é".encode() * 127 + b"x",
    b"line\nbreak",
    b"\n",
    b"not-utf-8-\xff\xfe\x80",
    b"\xc3",
    b" leading and trailing ",
    b"-rf",
    b"*?[a]$(x)`y`;&|<>",
    b"back\\slash\\x41",
    b"quote'\"s",
    b"tab\tand\x01bell\x07\x7f",
    "e\u0301".encode(),  # the same glyph twice, decomposed and composed
    "\u00e9".encode(),
    "\U0001f4be".encode(),
    b"...",
    b"~",
    b"#",
    b"Case",
    b"case",
)


def random_time_ns(rng: random.Random) -> int:
    """Return a time between 2001 and 2023 with a nanosecond part."""
    return rng.randrange(_EARLIEST_S * _SECOND_NS, _LATEST_S * _SECOND_NS)


def acl(named_user: int, named_group: int) -> bytes:
    """Return an ACL of mode 0750 with rw for a named user and r for a named group."""
    entries = (
        (_ACL_USER_OBJ, 7, _ACL_UNDEFINED_ID),
        (_ACL_USER, 6, named_user),
        (_ACL_GROUP_OBJ, 5, _ACL_UNDEFINED_ID),
        (_ACL_GROUP, 4, named_group),
        (_ACL_MASK, 7, _ACL_UNDEFINED_ID),
        (_ACL_OTHER, 0, _ACL_UNDEFINED_ID),
    )
    packed = [struct.pack("<HHI", tag, permission, who) for tag, permission, who in entries]
    return struct.pack("<I", _ACL_VERSION) + b"".join(packed)


def capability(permitted: int) -> bytes:
    """Return a `security.capability` value: these capabilities, permitted and effective."""
    magic = _VFS_CAP_REVISION_2 | _VFS_CAP_EFFECTIVE
    return struct.pack("<5I", magic, permitted & 0xFFFFFFFF, 0, permitted >> 32, 0)


def make(base: Path, rng: random.Random) -> Path:
    """Make `base` with everything in it and return it; its own times are left to the caller."""
    base.mkdir()
    for step in (_types, _names, _links, _attributes, _owners_and_modes, _layouts, _reflinks):
        directory = base / step.__name__.lstrip("_")
        directory.mkdir()
        step(directory, rng)
    _deep(base / "deep", rng)
    _stamp(base, rng)
    directory = base / "times"
    directory.mkdir()
    _times(directory, rng)
    # Last: an immutable file takes no further change.
    directory = base / "flags"
    directory.mkdir()
    _flags(directory, rng)
    return base


def _write(path: Path, block: bytes) -> None:
    with path.open("wb") as file:
        file.write(block)


def _types(base: Path, rng: random.Random) -> None:
    _write(base / "empty-file", b"")
    _write(base / "one-byte", rng.randbytes(1))
    _write(base / "inline", rng.randbytes(1000))
    _write(base / "block", rng.randbytes(BLOCK_BYTES))
    _write(base / "block-and-one", rng.randbytes(BLOCK_BYTES + 1))
    _write(base / "zeros", bytes(32 * BLOCK_BYTES))
    (base / "empty-directory").mkdir()
    os.mkfifo(base / "fifo", 0o640)
    os.mknod(base / "socket", stat.S_IFSOCK | 0o755)
    os.mknod(base / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(base / "block-device", stat.S_IFBLK | 0o660, os.makedev(7, 200))
    # Beyond 8 bits of major and minor number
    os.mknod(base / "large-numbers", stat.S_IFCHR | 0o600, os.makedev(511, 70_000))


def _names(base: Path, rng: random.Random) -> None:
    for name in _NAMES:
        _write(base / os.fsdecode(name), rng.randbytes(rng.randrange(64)))
    directory = base / os.fsdecode(b"directory-\xf0\n")
    directory.mkdir()
    _write(directory / "inside", rng.randbytes(10))


def _links(base: Path, rng: random.Random) -> None:
    (base / "sub").mkdir()
    _write(base / "first", rng.randbytes(5000))
    for other in ("second", "sub/third"):
        (base / other).hardlink_to(base / "first")
    # More names than fit the inode reference item of one 16 KiB node: extended references.
    _write(base / "many", rng.randbytes(10))
    for number in range(_LINKS):
        (base / f"many-{number:03d}-{'x' * 240}").hardlink_to(base / "many")
    for name, target in (
        ("to-file", "first"),
        ("to-directory", "sub"),
        ("dangling", "nowhere/at all"),
        ("absolute", "/proc/self/../x"),
        ("loop", "loop"),
        ("long", "y/" * 1500),
        ("bytes", os.fsdecode(b"\xff\n\xfe")),
    ):
        (base / name).symlink_to(target)
    os.mkfifo(base / "fifo")
    (base / "fifo-again").hardlink_to(base / "fifo")
    os.link(base / "dangling", base / "symlink-again", follow_symlinks=False)


def _attributes(base: Path, rng: random.Random) -> None:
    (base / "directory").mkdir()
    for name in ("user", "acl", "capability", "target"):
        _write(base / name, rng.randbytes(100))
    os.setxattr(base / "user", "user.empty", b"")
    os.setxattr(base / "user", "user.binary", rng.randbytes(200) + b"\0\n")
    os.setxattr(base / "user", "user.long", rng.randbytes(3500))
    os.setxattr(base / "user", os.fsdecode(b"user.name-\xff-" + b"z" * 240), b"name")
    os.setxattr(base / "user", "trusted.overlay.opaque", b"y")
    os.setxattr(base / "directory", "user.on-directory", rng.randbytes(50))
    os.setxattr(base / "acl", "system.posix_acl_access", acl(1000, 2000))
    os.setxattr(base / "directory", "system.posix_acl_access", acl(3000, 4_000_000_000))
    os.setxattr(base / "directory", "system.posix_acl_default", acl(1001, 2001))
    _write(base / "directory" / "inherits", b"default ACL")
    os.setxattr(base / "capability", "security.capability", capability(_CAP_NET_RAW))
    (base / "link").symlink_to("target")
    os.setxattr(base / "link", "trusted.on-symlink", b"link", follow_symlinks=False)


def _owners_and_modes(base: Path, rng: random.Random) -> None:
    for name, mode in (
        ("setuid", 0o4755),
        ("setgid", 0o2755),
        ("sticky", 0o1644),
        ("all-bits", 0o7777),
        ("no-bits", 0o0000),
        ("write-only", 0o0200),
    ):
        _write(base / name, rng.randbytes(50))
        os.chown(base / name, 1000, 1000)
        (base / name).chmod(mode)
    (base / "sticky-directory").mkdir()
    (base / "sticky-directory").chmod(0o3777)
    for owner, group in ((65534, 65534), (4_294_967_294, 4_294_967_294), (0, 100_000), (70_000, 0)):
        path = base / f"owner-{owner}-{group}"
        _write(path, b"")
        os.chown(path, owner, group)
    # A capability together with an owner: receive must set it after chown, which clears it.
    path = base / "owned-capability"
    _write(path, rng.randbytes(10))
    os.chown(path, 1234, 4321)
    os.setxattr(path, "security.capability", capability(_CAP_NET_BIND_SERVICE))
    (base / "owned-link").symlink_to("nowhere")
    os.chown(base / "owned-link", 1000, 2000, follow_symlinks=False)


def _layouts(base: Path, rng: random.Random) -> None:
    with (base / "only-hole").open("wb") as file:
        file.truncate(_SPARSE_BYTES + 1)
    with (base / "islands").open("wb") as file:
        for position in sorted(rng.sample(range(0, _SPARSE_BYTES, 2 * BLOCK_BYTES), 20)):
            file.seek(position)
            file.write(rng.randbytes(rng.randrange(1, BLOCK_BYTES)))
        file.truncate(_SPARSE_BYTES)
    with (base / "punched").open("wb") as file:
        file.write(rng.randbytes(64 * BLOCK_BYTES))
        file.flush()
        ioctls.punch_hole(file.fileno(), 8 * BLOCK_BYTES, 16 * BLOCK_BYTES)
    with (base / "preallocated").open("wb") as file:
        ioctls.preallocate(file.fileno(), 0, 64 * BLOCK_BYTES)
        file.seek(8 * BLOCK_BYTES)
        file.write(rng.randbytes(8 * BLOCK_BYTES))
    with (base / "preallocated-beyond-end").open("wb") as file:
        file.write(rng.randbytes(BLOCK_BYTES))
        file.flush()
        ioctls.preallocate(file.fileno(), BLOCK_BYTES, 32 * BLOCK_BYTES, keep_size=True)
    with (base / "fragmented").open("wb") as file:
        for position in range(64 * BLOCK_BYTES - BLOCK_BYTES, -1, -BLOCK_BYTES):
            file.seek(position)
            file.write(rng.randbytes(BLOCK_BYTES))
            if position % (16 * BLOCK_BYTES) == 0:
                file.flush()
                os.fdatasync(file.fileno())


def _reflinks(base: Path, rng: random.Random) -> None:
    original = rng.randbytes(64 * BLOCK_BYTES)
    _write(base / "original", original)
    _write(base / "own-start", rng.randbytes(32 * BLOCK_BYTES))
    with (
        (base / "original").open("r+b") as source,
        (base / "whole").open("wb") as whole,
        (base / "own-start").open("r+b") as partial,
        (base / "twin").open("wb") as twin,
    ):
        ioctls.clone_file(source.fileno(), whole.fileno())
        ioctls.clone_range(
            source.fileno(), 16 * BLOCK_BYTES, 16 * BLOCK_BYTES, partial.fileno(), 8 * BLOCK_BYTES
        )
        # Within one file
        ioctls.clone_range(source.fileno(), 0, 8 * BLOCK_BYTES, source.fileno(), 64 * BLOCK_BYTES)
        twin.write(original)
        twin.flush()
        ioctls.dedupe_range(source.fileno(), 0, 32 * BLOCK_BYTES, twin.fileno(), 0)


def _deep(base: Path, rng: random.Random) -> None:
    """Go deep, staying clear of PATH_MAX (4096) also below a long mount point and a prefix."""
    directory = base
    for level in range(_DEEP_LEVELS):
        directory = directory / f"{level:02d}-{_DEEP_NAME}"
    directory.mkdir(parents=True)
    _write(directory / "bottom", rng.randbytes(100))


def _stamp(base: Path, rng: random.Random) -> None:
    """Give everything below `base` a reproducible time, children before their directory."""
    # Sorted, because the order in which a filesystem lists names is not ours to rely on.
    for directory, names, files in sorted(os.walk(base), key=_first_as_bytes, reverse=True):
        for name in sorted(names + files, key=os.fsencode):
            _set_time(Path(directory, name), random_time_ns(rng))


def _first_as_bytes(entry: tuple[str, list[str], list[str]]) -> bytes:
    return os.fsencode(entry[0])


def _times(base: Path, rng: random.Random) -> None:
    _write(base / "content", rng.randbytes(10))
    for name, time_ns in (
        ("epoch", 0),
        ("one-nanosecond", 1),
        ("before-epoch", -1),
        ("1901", -2_177_452_800 * _SECOND_NS + 123_456_789),
        ("after-2038", 2**31 * _SECOND_NS + 999_999_999),
        ("year-2500", 16_725_225_600 * _SECOND_NS),
    ):
        _write(base / name, b"")
        (base / f"{name}-directory").mkdir()
        (base / f"{name}-link").symlink_to(name)
        for kind in ("", "-directory", "-link"):
            _set_time(base / f"{name}{kind}", time_ns)
    _set_time(base / "content", random_time_ns(rng))
    _set_time(base, random_time_ns(rng))


def _flags(base: Path, rng: random.Random) -> None:
    for name, flags in (
        ("no-cow", FileFlag.NO_COW),
        ("compress", FileFlag.COMPRESS),
        ("no-compress", FileFlag.NO_COMPRESS),
        ("no-dump-no-atime", FileFlag.NO_DUMP | FileFlag.NO_ATIME),
        ("append-only", FileFlag.APPEND_ONLY),
        ("immutable", FileFlag.IMMUTABLE),
    ):
        path = base / name
        late = flags & (FileFlag.APPEND_ONLY | FileFlag.IMMUTABLE)
        with path.open("wb") as file:
            if not late:
                ioctls.set_file_flags(file.fileno(), flags)  # NO_COW: only while it is empty
            file.write(rng.randbytes(2 * BLOCK_BYTES))
            file.flush()
            _set_time(path, random_time_ns(rng))
            if late:
                ioctls.set_file_flags(file.fileno(), flags)
    _set_time(base, random_time_ns(rng))


def _set_time(path: Path, time_ns: int) -> None:
    os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)
