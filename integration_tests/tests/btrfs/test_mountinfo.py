"""Which mounts the private namespace keeps; no privilege is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.btrfs.mountinfo import dispensable

if TYPE_CHECKING:
    from pathlib import Path


def test_a_mount_on_which_something_needed_lies_is_kept() -> None:
    points = ["/", "/usr", "/proc", "/nix", "/opt/tools"]
    needed = ["/usr/bin", "/proc", "/nix/store", "/opt/tools/bin/btrfs"]
    assert not dispensable(points, needed)


def test_every_other_mount_is_dropped_with_what_lies_below_it() -> None:
    points = ["/", "/usr", "/usr-data", "/home", "/home/a", "/home/a/b", "/home-2", "/proc/bus"]
    dropped = dispensable(points, ["/usr/bin", "/proc"])
    assert dropped == ["/usr-data", "/home", "/home-2", "/proc/bus"]


def test_mounts_stacked_on_one_point_are_each_dropped() -> None:
    assert dispensable(["/", "/mnt/x", "/mnt/x"], ["/usr/bin"]) == ["/mnt/x", "/mnt/x"]


def test_what_is_needed_is_also_looked_for_where_its_links_lead(tmp_path: Path) -> None:
    (tmp_path / "lib").symlink_to(tmp_path / "elsewhere" / "lib")
    point = str(tmp_path / "elsewhere")
    assert not dispensable([point], [str(tmp_path / "lib")])
    assert dispensable([point], [str(tmp_path / "bin")]) == [point]
