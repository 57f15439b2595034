"""The writers: they change the source all the time and keep it from growing or fading away."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from integration_tests.harness.soak.world import source_spec
from integration_tests.harness.trees import ioctls
from integration_tests.harness.trees.ioctls import FileFlag
from integration_tests.harness.trees.mutate import mutate_tree
from integration_tests.harness.trees.seed import seed_tree

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

_MUTATIONS: Final = 8
_FRESH_BYTES: Final = (256 * 1024, 1024**2)
_BYTES: Final = range(6 * 1024**2, 48 * 1024**2)
_ENTRIES: Final = range(150, 1500)
_LOCKS: Final = FileFlag.IMMUTABLE | FileFlag.APPEND_ONLY


@dataclass(slots=True)
class Writer:
    """Changes one subvolume that nobody else writes to; needs root."""

    root: Path
    rng: random.Random
    changes: int = 0

    def change(self) -> str:
        """Change the tree in some ways and say what was done.

        A tree that left its bounds, or whose paths grew too long to change, is made anew: that
        deletes everything and writes as much again.
        """
        self.changes += 1
        try:
            made = mutate_tree(self.root, self.rng.randrange(2**32), _MUTATIONS)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return self._renew("paths too long")
        fresh = self.rng.randrange(*_FRESH_BYTES)
        (self.root / f"fresh-{self.changes}").write_bytes(self.rng.randbytes(fresh))
        size, entries = self._extent()
        if size not in _BYTES or entries not in _ENTRIES:
            return self._renew(f"{size} bytes in {entries} entries")
        return f"{len(made)} changes"

    def _extent(self) -> tuple[int, int]:
        """Bytes on disk and entries."""
        sizes = [status.st_blocks * 512 for status, _, _ in self._entries()]
        return sum(sizes), len(sizes)

    def _renew(self, reason: str) -> str:
        for status, name, directory in self._entries():
            if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
                _unlock(name, directory)
        for entry in list(self.root.iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        seed_tree(self.root, source_spec(self.rng.randrange(2**32)))
        return f"made anew: {reason}"

    def _entries(self) -> Iterator[tuple[os.stat_result, bytes, int]]:
        """Every entry with its name in a directory that is open, however long its path."""
        for _, directories, files, opened in os.fwalk(os.fsencode(self.root)):
            for name in (*directories, *files):
                yield os.stat(name, dir_fd=opened, follow_symlinks=False), name, opened


def _unlock(name: bytes, directory: int) -> None:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
    try:
        flags = ioctls.file_flags(descriptor)
        if flags is not None and flags & _LOCKS:
            ioctls.set_file_flags(descriptor, flags & ~_LOCKS)
    finally:
        os.close(descriptor)
