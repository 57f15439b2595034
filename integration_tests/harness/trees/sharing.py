"""Which files share extents on disk: what reflinks and dedupe made, as far as FIEMAP shows it."""

from __future__ import annotations

import stat
from itertools import combinations
from typing import TYPE_CHECKING

from integration_tests.harness.trees import ioctls
from integration_tests.harness.trees.compare import Difference
from integration_tests.harness.trees.ioctls import ExtentFlag
from integration_tests.harness.trees.tree import Aspect, Tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def shared_extents(root: Path) -> dict[tuple[bytes, bytes], int]:
    """Return how many bytes each pair of files shares on disk (twice the same path: within one).

    Hard links are one file, under the first of its names. Sharing with files outside the tree does
    not count. For compressed extents the address of a part is not known: two uses of the same
    extent count as the shorter one. Memory grows with the number of shared extents, and for an
    extent with n users n² / 2 pairs are counted.
    """
    tree = Tree(root)
    seen: set[tuple[int, int]] = set()
    plain: list[tuple[int, int, bytes]] = []
    encoded: dict[int, list[tuple[bytes, int]]] = {}
    for path, status in tree.walk():
        inode = (status.st_dev, status.st_ino)
        if not stat.S_ISREG(status.st_mode) or inode in seen:
            continue
        if status.st_nlink > 1:
            seen.add(inode)
        with tree.at(path).open("rb") as file:
            for extent in ioctls.extents(file.fileno(), sync=True):
                if not extent.flags & ExtentFlag.SHARED:
                    continue
                if extent.flags & ExtentFlag.ENCODED:
                    encoded.setdefault(extent.physical, []).append((path, extent.length))
                else:
                    plain.append((extent.physical, extent.physical + extent.length, path))
    shared: dict[tuple[bytes, bytes], int] = {}
    for pair, length in (*_overlaps(plain), *_same_extent(encoded)):
        shared[pair] = shared.get(pair, 0) + length
    return shared


def compare_sharing(expected: Path, actual: Path) -> list[Difference]:
    """Return which pairs of files share another number of bytes than they did.

    Informative only: send clones where it finds it cheap and writes the data elsewhere.
    """
    before, after = shared_extents(expected), shared_extents(actual)
    return [
        Difference(
            b" and ".join(pair),
            Aspect.SHARING,
            f"{before.get(pair, 0)} bytes",
            f"{after.get(pair, 0)} bytes",
        )
        for pair in sorted({*before, *after})
        if before.get(pair, 0) != after.get(pair, 0)
    ]


def _overlaps(uses: list[tuple[int, int, bytes]]) -> Iterator[tuple[tuple[bytes, bytes], int]]:
    """Yield each pair of (start, end, path) whose physical ranges overlap, and by how much."""
    active: list[tuple[int, bytes]] = []
    for start, end, path in sorted(uses):
        active = [(other_end, other) for other_end, other in active if other_end > start]
        for other_end, other in active:
            yield _pair(path, other), min(end, other_end) - start
        active.append((end, path))


def _same_extent(
    uses: dict[int, list[tuple[bytes, int]]],
) -> Iterator[tuple[tuple[bytes, bytes], int]]:
    for users in uses.values():
        for (first, length), (second, other_length) in combinations(users, 2):
            yield _pair(first, second), min(length, other_length)


def _pair(first: bytes, second: bytes) -> tuple[bytes, bytes]:
    return (first, second) if first <= second else (second, first)
