"""Reproducible trees: the same SeedSpec always makes the same tree, down to nanoseconds and xattrs.

A tree has `data/` with as many regular files and bytes as asked for, and, unless switched off,
`special/` with at least one of everything that Btrfs can hold and a backup may get wrong (see
`specials`). Equality is that of `compare`: inode numbers, ctime and atime are not reproducible.
"""

from __future__ import annotations

import contextlib
import os
import random
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration_tests.harness.trees import specials
from integration_tests.harness.trees.specials import random_time_ns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WRITE_BYTES = 1024**2
_REPEAT_BYTES = 1024
_REPEATS = 4
_MODES = (0o644, 0o600, 0o755, 0o640)
_DIRECTORIES_PER_LEVEL = 32


@dataclass(frozen=True, slots=True)
class SeedSpec:
    """What to make.

    `file_count` regular files hold `total_bytes` together. The first `large_files` of them share
    `large_share` of the bytes evenly; the others have log-normal sizes, mostly small. A
    `compressible_share` of the files compresses about 4:1 with any algorithm, the rest not at all.
    `special` adds `special/`: about 200 entries and 2 MiB on disk, whatever the other numbers.
    """

    seed: int
    file_count: int = 200
    total_bytes: int = 4 * 1024**2
    large_files: int = 2
    large_share: float = 0.5
    compressible_share: float = 0.5
    files_per_directory: int = 100
    special: bool = True

    def __post_init__(self) -> None:
        if self.file_count < 1 or self.total_bytes < 0 or self.files_per_directory < 1:
            raise ValueError(f"nothing to seed with {self}")
        if not 0 <= self.large_files <= self.file_count:
            raise ValueError(f"{self.large_files} large files of {self.file_count}")
        if not (0 <= self.large_share <= 1 and 0 <= self.compressible_share <= 1):
            raise ValueError(f"a share is not within 0 and 1 in {self}")


def seed_tree(root: Path, spec: SeedSpec) -> None:
    """Fill an existing, empty directory.

    `special` needs root and Btrfs; without it any filesystem and owner will do. OSError is raised
    as it comes and leaves a partial tree.
    """
    rng = new_random("seed", spec.seed)
    with fixed_umask():
        directories = [root, *_fill(root / "data", spec, rng)]
        if spec.special:
            directories.append(specials.make(root / "special", rng))
    # Deepest first, and after all the files: making an entry touches its directory.
    for directory in reversed(directories):
        time_ns = random_time_ns(rng)
        os.utime(directory, ns=(time_ns, time_ns))


@contextlib.contextmanager
def fixed_umask() -> Iterator[None]:
    """Keep the caller's umask out of what is made; it belongs to the process, not the thread."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def new_random(*salt: object) -> random.Random:
    """Return a generator that depends on nothing but the salt."""
    return random.Random("/".join(map(str, salt)))  # noqa: S311 - reproducible, not secret


def content(rng: random.Random, size: int, *, compressible: bool) -> Iterator[bytes]:
    """Yield `size` bytes in blocks of at most 1 MiB."""
    remaining = size
    while remaining:
        wanted = min(remaining, _WRITE_BYTES)
        if compressible:
            period = _REPEAT_BYTES * _REPEATS
            block = b"".join(
                rng.randbytes(_REPEAT_BYTES) * _REPEATS for _ in range(-(-wanted // period))
            )[:wanted]
        else:
            block = rng.randbytes(wanted)
        yield block
        remaining -= wanted


def _fill(base: Path, spec: SeedSpec, rng: random.Random) -> list[Path]:
    """Make the plain files below `base`; return its directories, parents first."""
    directories = [base]
    base.mkdir()
    middle = leaf = base
    for number, size in enumerate(_sizes(spec, rng)):
        leaf_number, position = divmod(number, spec.files_per_directory)
        if position == 0:
            if leaf_number % _DIRECTORIES_PER_LEVEL == 0:
                middle = base / f"m{leaf_number // _DIRECTORIES_PER_LEVEL:03d}"
                middle.mkdir()
                directories.append(middle)
            leaf = middle / f"d{leaf_number:05d}"
            leaf.mkdir()
            directories.append(leaf)
        compressible = rng.random() < spec.compressible_share
        suffix = "txt" if compressible else "bin"
        descriptor = os.open(
            f"{leaf}/f{number:06d}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR
        )
        try:
            for block in content(rng, size, compressible=compressible):
                _write_all(descriptor, block)
            os.fchmod(descriptor, rng.choice(_MODES))
            time_ns = random_time_ns(rng)
            os.utime(descriptor, ns=(time_ns, time_ns))
        finally:
            os.close(descriptor)
    return directories


def _sizes(spec: SeedSpec, rng: random.Random) -> list[int]:
    """Return the size of every file; their sum is exactly `total_bytes`."""
    small_files = spec.file_count - spec.large_files
    large_bytes = int(spec.total_bytes * spec.large_share) if spec.large_files else 0
    if not small_files:
        large_bytes = spec.total_bytes
    sizes = _shares(large_bytes, [1.0] * spec.large_files)
    weights = [rng.lognormvariate(0, 1.5) for _ in range(small_files)]
    sizes += _shares(spec.total_bytes - large_bytes, weights)
    return sizes


def _shares(total: int, weights: list[float]) -> list[int]:
    """Cut a total in proportion to weights, without losing a byte to rounding."""
    if not weights:
        return []
    scale = total / sum(weights)
    shares = [int(weight * scale) for weight in weights]
    shares[-1] += total - sum(shares)
    return shares


def _write_all(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]
