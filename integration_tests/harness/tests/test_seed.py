"""A seed decides everything that is compared."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.tests.conftest import SPEC
from integration_tests.harness.trees.compare import (
    Fidelity,
    compare_digests,
    compare_fully,
    digest_tree,
)
from integration_tests.harness.trees.seed import SeedSpec, seed_tree
from integration_tests.harness.trees.sharing import compare_sharing, shared_extents
from integration_tests.harness.trees.tree import Aspect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.btrfs
def test_the_same_seed_makes_the_same_tree(seeded: Path, new_subvolume: Callable[[], Path]) -> None:
    again = new_subvolume()
    umask = os.umask(0o077)
    try:
        seed_tree(again, SPEC)
    finally:
        os.umask(umask)
    compared = compare_fully(seeded, again, fidelity=Fidelity.EXACT)
    assert compared.differences == ()
    # Btrfs marks a file that did not compress, whenever it is written out.
    assert {entry.aspect for entry in compared.not_carried} <= {Aspect.FLAGS}
    assert compare_sharing(seeded, again) == []


@pytest.mark.btrfs
def test_another_seed_makes_another_tree(seeded: Path, new_subvolume: Callable[[], Path]) -> None:
    other = new_subvolume()
    seed_tree(other, replace(SPEC, seed=SPEC.seed + 1))
    differing = {entry.path for entry in compare_digests(digest_tree(seeded), digest_tree(other))}
    assert {b"data", b"special/types/inline", b"special/reflinks/twin"} <= differing


@pytest.mark.btrfs
def test_special_holds_every_type_and_every_awkward_name(seeded: Path) -> None:
    special = seeded / "special"
    modes = {stat.S_IFMT(path.lstat().st_mode) for path in special.rglob("*")}
    assert modes == {
        stat.S_IFREG,
        stat.S_IFDIR,
        stat.S_IFLNK,
        stat.S_IFIFO,
        stat.S_IFSOCK,
        stat.S_IFCHR,
        stat.S_IFBLK,
    }
    names = {os.fsencode(path.name) for path in (special / "names").iterdir()}
    assert b"n" * 255 in names
    assert b"\n" in names
    assert b"not-utf-8-\xff\xfe\x80" in names


@pytest.mark.btrfs
def test_special_shares_extents_within_and_across_files(seeded: Path) -> None:
    shared = shared_extents(seeded / "special" / "reflinks")
    assert shared[(b"original", b"original")] == 8 * 4096
    assert shared[(b"original", b"whole")] == 64 * 4096 + 8 * 4096
    assert shared[(b"original", b"own-start")] == 16 * 4096
    assert shared[(b"original", b"twin")] == 32 * 4096 + 8 * 4096


@pytest.mark.parametrize("large_files", [0, 3, 40])
def test_count_and_bytes_are_exactly_those_asked_for(tmp_path: Path, large_files: int) -> None:
    spec = SeedSpec(
        seed=3,
        file_count=40,
        total_bytes=1_234_567,
        large_files=large_files,
        files_per_directory=7,
        special=False,
    )
    seed_tree(tmp_path, spec)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 40
    assert sum(path.stat().st_size for path in files) == 1_234_567


@pytest.mark.parametrize(
    ("file_count", "total_bytes", "large_files", "large_share"),
    [(0, 1, 0, 0.5), (40, -1, 0, 0.5), (40, 1, 41, 0.5), (40, 1, 0, 1.5)],
)
def test_an_impossible_spec_is_refused(
    file_count: int, total_bytes: int, large_files: int, large_share: float
) -> None:
    with pytest.raises(ValueError, match=r"SeedSpec|of 40"):
        SeedSpec(3, file_count, total_bytes, large_files, large_share)
