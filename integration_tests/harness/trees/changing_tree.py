"""The names of a tree by type, kept up to date while `mutate` changes it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from integration_tests.harness.trees import ioctls
from integration_tests.harness.trees.ioctls import FileFlag
from integration_tests.harness.trees.seed import content
from integration_tests.harness.trees.specials import random_time_ns

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence

_PICKS = 20


class NothingToChangeError(LookupError):
    """The tree holds nothing that a kind of mutation could work on."""


class ChangingTree:
    """What can be changed in a tree; immutable and append-only files (`frozen`) cannot.

    `directories` holds the root too, but `pick_directory` never returns it. `linked` holds files
    that had several names when last seen; `pick_linked` looks again.
    """

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root = root
        self.rng = rng
        self.files: list[Path] = []
        self.directories: list[Path] = [root]
        self.others: list[Path] = []
        self.frozen: set[Path] = set()
        self.linked: set[Path] = set()
        self._touched: set[Path] = set()
        self._created = 0
        # Sorted, because the order in which a filesystem lists names is not ours to rely on.
        for directory, names, files in sorted(os.walk(root), key=lambda walked: walked[0]):
            for name in sorted(names + files):
                self._index(Path(directory, name))

    def coin(self) -> bool:
        """Return true half of the times."""
        return self.rng.getrandbits(1) == 1

    def pick(self, names: Sequence[Path], *, minimum_bytes: int = 0) -> Path:
        """Return one of the names; NothingToChangeError when none of some tries is large enough."""
        for _ in range(_PICKS if names else 0):
            path = self.rng.choice(names)
            if not minimum_bytes or path.stat().st_size >= minimum_bytes:
                return path
        raise NothingToChangeError

    def pick_two(self, *, minimum_bytes: int = 0) -> tuple[Path, Path]:
        """Return two files that are not names of one inode."""
        first = self.pick(self.files, minimum_bytes=minimum_bytes)
        for _ in range(_PICKS):
            second = self.pick(self.files, minimum_bytes=minimum_bytes)
            if not first.samefile(second):
                return first, second
        raise NothingToChangeError

    def pick_directory(self) -> Path:
        """Return a directory other than the root."""
        return self.pick(self.directories[1:])

    def new_path(self, stem: str) -> Path:
        """Return an unused name in some directory."""
        directory = self.rng.choice(self.directories)
        while True:
            self._created += 1
            path = directory / f"{stem}-{self._created}"
            if not os.path.lexists(path):
                return path

    def fill(self, path: Path, size: int) -> None:
        """Make a new file; the caller adds it to the names."""
        with path.open("xb") as file:
            file.writelines(content(self.rng, size, compressible=self.coin()))
        self.touch(path)

    def touch(self, path: Path, *, entry: bool = True) -> None:
        """Give what was changed a new mtime; with `entry` the directory that holds the name too."""
        # At once, as the name may go while the inode lives on under another; but directories last,
        # as every name made in them touches them again.
        if path.is_dir() and not path.is_symlink():
            self._touched.add(path)
        elif os.path.lexists(path):
            self._set_time(path)
        if entry:
            self._touched.add(path.parent)

    def pick_linked(self) -> Path:
        """Return a file with several names."""
        return self.pick([path for path in sorted(self.linked) if _has_siblings(path)])

    def inside(self, directory: Path, names: Iterable[Path]) -> list[Path]:
        """Return those of the names that lie below a directory."""
        # Up to 125,000 names are looked through each time: comparing Paths takes ten times as long.
        prefix = f"{directory}/"
        return [name for name in names if str(name).startswith(prefix)]

    def remove(self, names: list[Path], path: Path) -> None:
        """Take a name out of one of the lists."""
        text = str(path)
        del names[next(at for at, name in enumerate(names) if str(name) == text)]

    def moved(self, path: Path, target: Path) -> None:
        """Note that a directory was renamed."""
        prefix = f"{path}/"

        def now(names: Iterable[Path]) -> list[Path]:
            return [
                target / name.relative_to(path) if str(name).startswith(prefix) else name
                for name in names
            ]

        self.remove(self.directories, path)
        self.files = now(self.files)
        self.directories = [*now(self.directories), target]
        self.others = now(self.others)
        self.frozen = set(now(self.frozen))
        self.linked = set(now(self.linked))
        self._touched = {target if name == path else name for name in now(self._touched)}

    def forget(self, gone: set[Path]) -> None:
        """Note that names were removed."""
        self.files = [name for name in self.files if name not in gone]
        self.directories = [name for name in self.directories if name not in gone]
        self.others = [name for name in self.others if name not in gone]

    def stamp(self) -> None:
        """Give the directories that were touched, as far as they still exist, a new mtime."""
        for path in sorted(self._touched):
            if path.is_dir() and not path.is_symlink():
                self._set_time(path)
        self._touched.clear()

    def _set_time(self, path: Path) -> None:
        time_ns = random_time_ns(self.rng)
        os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)

    def _index(self, path: Path) -> None:
        status = path.lstat()
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            self.directories.append(path)
        elif not stat.S_ISREG(mode):
            self.others.append(path)
        elif flags_of(path) & (FileFlag.IMMUTABLE | FileFlag.APPEND_ONLY):
            self.frozen.add(path)
        else:
            self.files.append(path)
            if status.st_nlink > 1:
                self.linked.add(path)


def _has_siblings(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:  # renamed or deleted since
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink > 1


def flags_of(path: Path) -> FileFlag:
    """Return a file's attribute flags, none where the filesystem has none."""
    with path.open("rb") as file:
        return ioctls.file_flags(file.fileno()) or FileFlag(0)
