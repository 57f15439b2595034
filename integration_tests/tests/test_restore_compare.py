"""``restore --verify``: the restored tree beside the snapshot it was sent from."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.operations.restore.compare import Thoroughness, compare_trees
from btrfs_to_s3.stream.cancel import LinkedCancellation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from integration_tests.tests.machine import Machine

pytestmark = pytest.mark.btrfs


@pytest.mark.parametrize("thoroughness", [Thoroughness.FULL, Thoroughness.SAMPLE])
def test_a_faithful_restore_is_found_faithful(
    machine: Machine,
    data: Path,
    filesystem: LoopbackBtrfs,
    target: LoopbackBtrfs,
    thoroughness: Thoroughness,
) -> None:
    filesystem.subvolume("data/nested")
    machine.backup(data)

    result = machine.restore("data", target.mount_point, verify=thoroughness)

    assert result.compared is not None
    assert result.compared.entries > 40
    assert 0 < result.compared.contents <= result.compared.entries
    assert result.compared.different == 0


def test_a_source_that_is_not_here_is_said_to_be_missing(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs, target: LoopbackBtrfs
) -> None:
    machine.backup(data)
    for snapshot in (filesystem.mount_point / ".btrfs-to-s3").iterdir():
        filesystem.delete_subvolume(snapshot)

    result = machine.restore("data", target.mount_point, verify=Thoroughness.FULL)

    assert result.compared is None
    assert "not on this machine" in machine.told.notes[-1]


def change_content(tree: Path) -> None:
    path, facts = tree / "file", (tree / "file").stat()
    path.write_bytes(b"Y" * facts.st_size)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def remove(tree: Path) -> None:
    (tree / "file").unlink()


def add(tree: Path) -> None:
    (tree / "another").write_text("more")


def change_mode(tree: Path) -> None:
    (tree / "file").chmod(0o600)


def change_owner(tree: Path) -> None:
    os.chown(tree / "file", 12, 34)


def change_time(tree: Path) -> None:
    os.utime(tree / "file", ns=(5, 5))


def change_xattr(tree: Path) -> None:
    os.setxattr(tree / "file", "user.a", b"b")


def change_link(tree: Path) -> None:
    facts = (tree / "link").lstat()
    (tree / "link").unlink()
    (tree / "link").symlink_to("fil3")
    os.utime(tree / "link", ns=(facts.st_atime_ns, facts.st_mtime_ns), follow_symlinks=False)


def change_type(tree: Path) -> None:
    (tree / "file").unlink()
    (tree / "file").mkdir()


def change_device(tree: Path) -> None:
    facts = (tree / "device").lstat()
    (tree / "device").unlink()
    os.mknod(tree / "device", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    os.utime(tree / "device", ns=(facts.st_atime_ns, facts.st_mtime_ns))


def link_again(tree: Path) -> None:
    os.link(tree / "file", tree.parent / "outside")


@pytest.mark.parametrize(
    "change",
    [
        change_content,
        remove,
        add,
        change_mode,
        change_owner,
        change_time,
        change_xattr,
        change_link,
        change_type,
        change_device,
        link_again,
    ],
)
def test_every_kind_of_difference_is_noticed(
    filesystem: LoopbackBtrfs, change: Callable[[Path], None]
) -> None:
    expected = filesystem.mount_point / "expected"
    expected.mkdir()
    (expected / "file").write_bytes(b"X" * 5000)
    (expected / "link").symlink_to("file")
    os.mknod(expected / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    actual = filesystem.mount_point / "actual"
    subprocess.run(["cp", "-a", expected, actual], check=True)
    same = compare_trees(expected, actual, Thoroughness.FULL, LinkedCancellation())
    assert same.different == 0

    change(actual)

    found = compare_trees(expected, actual, Thoroughness.FULL, LinkedCancellation())
    assert found.different >= 1
    assert found.differences
