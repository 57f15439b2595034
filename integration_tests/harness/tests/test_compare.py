"""Whatever is planted in a copy of a tree is reported, there and nowhere else."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.trees import ioctls
from integration_tests.harness.trees.compare import (
    Fidelity,
    compare_digests,
    compare_fully,
    compare_trees,
    digest_tree,
)
from integration_tests.harness.trees.specials import acl
from integration_tests.harness.trees.tree import Aspect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from integration_tests.harness.machine.loopback import LoopbackBtrfs

pytestmark = pytest.mark.btrfs

LAST_BYTE_AT = 1000 - 1


def patch(path: Path, position: int, block: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    os.pwrite(descriptor, block, position)
    os.close(descriptor)


def patch_last_byte(path: Path) -> None:
    last = path.read_bytes()[LAST_BYTE_AT]
    patch(path, LAST_BYTE_AT, bytes([last ^ 1]))


def make_node(path: Path, mode: int, major: int, minor: int) -> None:
    path.unlink()
    os.mknod(path, mode, os.makedev(major, minor))


def retarget(path: Path) -> None:
    path.unlink()
    path.symlink_to("second")


def break_link(path: Path) -> None:
    content = path.read_bytes()
    status = path.stat()
    path.unlink()
    path.write_bytes(content)
    path.chmod(stat.S_IMODE(status.st_mode))


def change_type(path: Path) -> None:
    path.unlink()
    path.mkdir()


def fill_hole(path: Path) -> None:
    patch(path, 8 * 4096, bytes(4096))


def dig_hole(path: Path) -> None:
    with path.open("r+b") as file:
        ioctls.punch_hole(file.fileno(), 4096, 4096)


def plant_in(copy: Path, name: str, plant: Callable[[Path], None]) -> None:
    """Plant, and hide it from mtime: only what the plant is about may give it away."""
    path = copy / name
    before = [(kept, kept.lstat()) for kept in (path, path.parent) if os.path.lexists(kept)]
    plant(path)
    for kept, status in before:
        if os.path.lexists(kept):
            times = (status.st_atime_ns, status.st_mtime_ns)
            os.utime(kept, ns=times, follow_symlinks=False)


PLANTS: list[tuple[str, Aspect, Callable[[Path], None]]] = [
    ("special/types/inline", Aspect.CONTENT, patch_last_byte),
    ("special/types/zeros", Aspect.CONTENT, lambda path: patch(path, 100_000, b"\1")),
    ("special/layouts/only-hole", Aspect.SIZE, lambda path: os.truncate(path, 16 * 1024**2)),
    ("special/types/block", Aspect.SIZE, lambda path: os.truncate(path, 4095)),
    ("special/types/block", Aspect.MODE, lambda path: path.chmod(0o4644)),
    ("special/types/fifo", Aspect.MODE, lambda path: path.chmod(0o641)),
    ("special/types/empty-directory", Aspect.MODE, lambda path: path.chmod(0o1755)),
    ("special/types/block", Aspect.OWNER, lambda path: os.chown(path, 1, -1)),
    ("special/types/block", Aspect.OWNER, lambda path: os.chown(path, -1, 1)),
    (
        "special/links/absolute",
        Aspect.OWNER,
        lambda path: os.chown(path, 7, 7, follow_symlinks=False),
    ),
    ("special/types/block", Aspect.XATTR, lambda path: os.setxattr(path, "user.new", b"")),
    ("special/attributes/user", Aspect.XATTR, lambda path: os.removexattr(path, "user.empty")),
    ("special/attributes/user", Aspect.XATTR, lambda path: os.setxattr(path, "user.long", b"1")),
    (
        "special/attributes/acl",
        Aspect.XATTR,
        lambda path: os.setxattr(path, "system.posix_acl_access", acl(1000, 2001)),
    ),
    (
        "special/attributes/directory",
        Aspect.XATTR,
        lambda path: os.removexattr(path, "system.posix_acl_default"),
    ),
    (
        "special/attributes/capability",
        Aspect.XATTR,
        lambda path: os.removexattr(path, "security.capability"),
    ),
    (
        "special/attributes/link",
        Aspect.XATTR,
        lambda path: os.removexattr(path, "trusted.on-symlink", follow_symlinks=False),
    ),
    ("special/links/second", Aspect.LINKS, break_link),
    ("special/links/loop", Aspect.TARGET, retarget),
    (
        "special/types/null",
        Aspect.DEVICE,
        lambda path: make_node(path, stat.S_IFCHR | 0o644, 1, 5),
    ),
    (
        "special/types/null",
        Aspect.TYPE,
        lambda path: make_node(path, stat.S_IFBLK | 0o644, 1, 3),
    ),
    ("special/types/empty-file", Aspect.TYPE, change_type),
    ("special/types/empty-directory", Aspect.MISSING, lambda path: path.rmdir()),
    ("special/types/socket", Aspect.MISSING, lambda path: path.unlink()),
    ("special/types/new", Aspect.EXTRA, lambda path: path.touch()),
    ("special/layouts/punched", Aspect.HOLES, fill_hole),
    ("special/types/zeros", Aspect.HOLES, dig_hole),
]


planted = pytest.mark.parametrize(
    ("name", "aspect", "plant"),
    PLANTS,
    ids=[f"{aspect.value}-{name.rpartition('/')[2]}" for name, aspect, _ in PLANTS],
)


@pytest.fixture(scope="module")
def seeded_digest(seeded: Path) -> dict[bytes, str]:
    return digest_tree(seeded)


@planted
def test_a_planted_difference_is_reported_and_nothing_else(
    seeded: Path,
    new_copy: Callable[[], Path],
    name: str,
    aspect: Aspect,
    plant: Callable[[Path], None],
) -> None:
    copy = new_copy()
    plant_in(copy, name, plant)
    found = compare_trees(seeded, copy, fidelity=Fidelity.EXACT)
    assert [(entry.path, entry.aspect) for entry in found] == [(os.fsencode(name), aspect)]


@planted
def test_a_digest_shows_all_but_holes(
    seeded_digest: dict[bytes, str],
    new_copy: Callable[[], Path],
    name: str,
    aspect: Aspect,
    plant: Callable[[Path], None],
) -> None:
    copy = new_copy()
    plant_in(copy, name, plant)
    found = compare_digests(seeded_digest, digest_tree(copy), fidelity=Fidelity.EXACT)
    expected = [] if aspect is Aspect.HOLES else [(os.fsencode(name), aspect)]
    assert [(entry.path, entry.aspect) for entry in found] == expected


@pytest.mark.parametrize(
    "name", [".", "data", "special/types/inline", "special/links/absolute", "special/types/socket"]
)
def test_one_nanosecond_of_mtime_is_a_difference(
    seeded: Path, new_copy: Callable[[], Path], name: str
) -> None:
    copy = new_copy()
    status = (copy / name).lstat()
    times = (status.st_atime_ns, status.st_mtime_ns + 1)
    os.utime(copy / name, ns=times, follow_symlinks=False)
    found = compare_trees(seeded, copy, fidelity=Fidelity.EXACT)
    assert [(entry.path, entry.aspect) for entry in found] == [(name.encode(), Aspect.MTIME)]


def test_a_name_that_differs_in_one_byte_is_missing_and_extra(
    seeded: Path, new_copy: Callable[[], Path]
) -> None:
    copy = new_copy()
    names = copy / "special" / "names"
    before = names.stat()
    (names / os.fsdecode(b"\xc3")).rename(names / os.fsdecode(b"\xc4"))
    os.utime(names, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [(entry.path, entry.aspect) for entry in compare_trees(seeded, copy)] == [
        (b"special/names/\xc3", Aspect.MISSING),
        (b"special/names/\xc4", Aspect.EXTRA),
    ]


def test_two_files_that_became_one_inode_are_a_difference(
    new_subvolume: Callable[[], Path],
) -> None:
    separate, joined = new_subvolume(), new_subvolume()
    for root in (separate, joined):
        (root / "one").write_bytes(b"same")
    (separate / "two").write_bytes(b"same")
    (joined / "two").hardlink_to(joined / "one")
    for path in (separate, joined, separate / "one", separate / "two", joined / "one"):
        os.utime(path, ns=(0, 0))
    found = compare_trees(separate, joined)
    assert [(entry.path, entry.aspect) for entry in found] == [(b"two", Aspect.LINKS)]


def test_the_first_differing_byte_is_named(seeded: Path, new_copy: Callable[[], Path]) -> None:
    copy = new_copy()
    plant_in(copy, "special/types/zeros", lambda path: patch(path, 100_000, b"\1"))
    assert [entry.expected for entry in compare_trees(seeded, copy)] == ["content at 100000"]


def test_a_filled_hole_is_listed_apart_unless_the_copy_must_be_exact(
    seeded: Path, new_copy: Callable[[], Path]
) -> None:
    copy = new_copy()
    plant_in(copy, "special/layouts/punched", fill_hole)
    compared = compare_fully(seeded, copy)
    assert compared.differences == ()
    assert [entry.aspect for entry in compared.not_carried] == [Aspect.HOLES]


def test_the_mtime_of_the_root_is_listed_apart_unless_the_copy_must_be_exact(
    seeded: Path, new_copy: Callable[[], Path]
) -> None:
    copy = new_copy()
    os.utime(copy, ns=(0, 0))
    compared = compare_fully(seeded, copy)
    assert compared.differences == ()
    assert [(entry.path, entry.aspect) for entry in compared.not_carried] == [(b".", Aspect.MTIME)]
    assert compare_digests(digest_tree(seeded), digest_tree(copy)) == []


def test_flags_and_preallocation_are_listed_apart(
    seeded: Path, new_copy: Callable[[], Path]
) -> None:
    copy = new_copy()

    def reserve(path: Path) -> None:
        with path.open("r+b") as file:
            ioctls.preallocate(file.fileno(), 2**20, 2**20, keep_size=True)

    def flag(path: Path) -> None:
        with path.open("rb") as file:
            ioctls.set_file_flags(file.fileno(), ioctls.FileFlag.NO_DUMP)

    plant_in(copy, "special/types/block", reserve)
    plant_in(copy, "special/types/inline", flag)
    compared = compare_fully(seeded, copy, fidelity=Fidelity.EXACT)
    assert compared.differences == ()
    assert [(entry.path, entry.aspect) for entry in compared.not_carried] == [
        (b"special/types/block", Aspect.PREALLOCATION),
        (b"special/types/inline", Aspect.FLAGS),
    ]


def test_a_nested_subvolume_is_listed_apart(
    filesystem: LoopbackBtrfs, new_subvolume: Callable[[], Path]
) -> None:
    outer = new_subvolume()
    nested = filesystem.subvolume(f"{outer.name}/nested")
    (nested / "file").touch()
    os.utime(outer, ns=(0, 0))
    snapshot = filesystem.snapshot(outer, f"{outer.name}-ro")
    other = new_subvolume()
    os.utime(other, ns=(0, 0))
    try:
        for tree in (outer, snapshot):
            compared = compare_fully(tree, other)
            assert compared.differences == ()
            assert [entry.path for entry in compared.not_carried] == [b"nested"]
    finally:
        filesystem.delete_subvolume(snapshot)
        filesystem.delete_subvolume(nested)
