"""Exact comparison of two trees: everything a backup must bring back, and what it cannot.

Compared: names (as bytes), types, content, size, mode, owner, mtime in nanoseconds (of every type),
all xattrs (so ACLs and capabilities too), hard link groups, symlink targets, device numbers, and
where files have holes. Not carried by `btrfs send`, so listed apart as `Comparison.not_carried`:
chattr flags, preallocated extents, nested subvolumes.

Increments lose three things more, listed there too unless Fidelity.EXACT is asked for (all seen on
Linux 6.18, each shown by a test):
- protocol 1 writes zeros over a hole punched since the parent; protocol 2 punches it (send_hole()
  in fs/btrfs/send.c);
- new inodes start under a temporary name in the root of the subvolume, whose mtime then is the
  time of the receive unless the root itself changed since the parent;
- a new owner is sent without the mode if that did not change, and chown(2) clears setuid and
  setgid.

Never compared: inode numbers, ctime, atime, creation time, sizes of directories.

Paths up to PATH_MAX are handled. Memory is bounded by one block of content, the names of one
directory, the directories still to visit, and the inodes with more than one link.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from integration_tests.harness.trees import ioctls
from integration_tests.harness.trees.ioctls import ExtentFlag
from integration_tests.harness.trees.tree import TYPE_NAMES, Aspect, Tree, join_name, opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_BLOCK_BYTES = 1024**2


class Fidelity(Enum):
    """How close a copy must be: EXACT for full streams, INCREMENTAL for chains with increments.

    Increments cannot carry everything (see the module), and that goes to `not_carried` then.
    """

    EXACT = "exact"
    INCREMENTAL = "incremental"


@dataclass(frozen=True, slots=True)
class Difference:
    """One respect in which one path differs; `path` is relative, `b"."` is the tree itself."""

    path: bytes
    aspect: Aspect
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"{self.path!r}: {self.aspect.value}: {self.expected} became {self.actual}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs although it must not, and what differs because send does not carry it."""

    differences: tuple[Difference, ...]
    not_carried: tuple[Difference, ...]


def compare_trees(
    expected: Path, actual: Path, *, fidelity: Fidelity = Fidelity.INCREMENTAL
) -> list[Difference]:
    """Return how `actual` differs from `expected`, in walk order; empty means equal.

    A name on one side only is reported once, not again for what lies below it.
    """
    return list(compare_fully(expected, actual, fidelity=fidelity).differences)


def compare_fully(
    expected: Path, actual: Path, *, fidelity: Fidelity = Fidelity.INCREMENTAL
) -> Comparison:
    """Compare as `compare_trees` does and list what send does not carry as well."""
    comparer = _Comparer(Tree(expected), Tree(actual), fidelity)
    comparer.run()
    return Comparison(tuple(comparer.differences), tuple(comparer.not_carried))


def digest_tree(root: Path) -> dict[bytes, str]:
    """Describe every path in one line, to compare with later by `compare_digests`.

    Holds all that is compared except holes; content is a SHA-256. About 300 bytes per path.
    """
    tree = Tree(root)
    described = {}
    for path, status in tree.walk():
        facts = tree.facts(path, status)
        if stat.S_ISREG(status.st_mode):
            facts[Aspect.SIZE] = str(status.st_size)
            with tree.at(path).open("rb") as file:
                facts[Aspect.CONTENT] = hashlib.file_digest(file, "sha256").hexdigest()
        described[path] = "\t".join(f"{aspect.value}={fact}" for aspect, fact in facts.items())
    return described


def compare_digests(
    expected: Mapping[bytes, str],
    actual: Mapping[bytes, str],
    *,
    fidelity: Fidelity = Fidelity.INCREMENTAL,
) -> list[Difference]:
    """Return how two results of `digest_tree` differ, sorted by path.

    What Fidelity.INCREMENTAL allows is passed over.
    """
    found = []
    for path in sorted({*expected, *actual}):
        if path not in actual:
            found.append(Difference(path, Aspect.MISSING, "present", "absent"))
        elif path not in expected:
            found.append(Difference(path, Aspect.EXTRA, "absent", "present"))
        elif expected[path] != actual[path]:
            before, after = _parse(expected[path]), _parse(actual[path])
            differing = list(_compare_facts(path, before, after))
            aspects = {difference.aspect for difference in differing}
            # As compare_trees does: another type or size makes what follows from it no news.
            if Aspect.TYPE in aspects:
                differing = [entry for entry in differing if entry.aspect is Aspect.TYPE]
            elif Aspect.SIZE in aspects:
                differing = [entry for entry in differing if entry.aspect is not Aspect.CONTENT]
            kind = before[Aspect.TYPE]
            found += [entry for entry in differing if not _is_allowed(entry, kind, fidelity)]
    return found


class _Comparer:
    """Walks both trees side by side, along the names they have in common."""

    def __init__(self, expected: Tree, actual: Tree, fidelity: Fidelity) -> None:
        self.expected = expected
        self.actual = actual
        self.fidelity = fidelity
        self.differences: list[Difference] = []
        self.not_carried: list[Difference] = []

    def run(self) -> None:
        pending = [b"."]
        while pending:
            path = pending.pop()
            if self._same_directory(path):
                common = self._common_names(path)
                pending += (join_name(path, name) for name in sorted(common, reverse=True))

    def _common_names(self, path: bytes) -> set[bytes]:
        there = self.expected.names(path)
        for name in sorted(there):
            inner = join_name(path, name)
            if self.expected.is_nested_subvolume(self.expected.status(inner)):
                there.discard(name)
                self.not_carried.append(
                    Difference(inner, Aspect.NESTED_SUBVOLUME, "subvolume", "not in the stream")
                )
        here = self.actual.names(path)
        for names, aspect in ((there - here, Aspect.MISSING), (here - there, Aspect.EXTRA)):
            sides = ("present", "absent") if aspect is Aspect.MISSING else ("absent", "present")
            self.differences += (
                Difference(join_name(path, name), aspect, *sides) for name in sorted(names)
            )
        return there & here

    def _same_directory(self, path: bytes) -> bool:
        """Compare one entry; return whether both are directories to descend into."""
        expected, actual = self.expected.status(path), self.actual.status(path)
        if stat.S_IFMT(expected.st_mode) != stat.S_IFMT(actual.st_mode):
            kinds = (TYPE_NAMES[stat.S_IFMT(status.st_mode)] for status in (expected, actual))
            self.differences.append(Difference(path, Aspect.TYPE, *kinds))
            return False
        kind = TYPE_NAMES[stat.S_IFMT(expected.st_mode)]
        for difference in _compare_facts(
            path, self.expected.facts(path, expected), self.actual.facts(path, actual)
        ):
            allowed = _is_allowed(difference, kind, self.fidelity)
            (self.not_carried if allowed else self.differences).append(difference)
        is_directory = stat.S_ISDIR(expected.st_mode)
        if is_directory or stat.S_ISREG(expected.st_mode):
            with (
                opened(self.expected.at(path)) as expected_fd,
                opened(self.actual.at(path)) as actual_fd,
            ):
                self._flags(path, expected_fd, actual_fd)
                if not is_directory:
                    self._file(path, expected_fd, actual_fd)
        return is_directory

    def _flags(self, path: bytes, expected_fd: int, actual_fd: int) -> None:
        expected, actual = ioctls.file_flags(expected_fd), ioctls.file_flags(actual_fd)
        if expected != actual:
            self.not_carried.append(
                Difference(path, Aspect.FLAGS, _show_flags(expected), _show_flags(actual))
            )

    def _file(self, path: bytes, expected_fd: int, actual_fd: int) -> None:
        size = os.fstat(expected_fd).st_size
        actual_size = os.fstat(actual_fd).st_size
        if size != actual_size:
            self.differences.append(Difference(path, Aspect.SIZE, str(size), str(actual_size)))
            return
        unwritten, actual_unwritten = _unwritten_bytes(expected_fd), _unwritten_bytes(actual_fd)
        if unwritten != actual_unwritten:
            self.not_carried.append(
                Difference(
                    path,
                    Aspect.PREALLOCATION,
                    f"{unwritten} bytes unwritten",
                    f"{actual_unwritten} bytes unwritten",
                )
            )
        self._content(path, expected_fd, actual_fd, size)

    def _content(self, path: bytes, expected_fd: int, actual_fd: int, size: int) -> None:
        """Compare bytes and holes; of each kind of difference the first place is reported."""
        found: dict[str, Difference] = {}
        for run in _runs(expected_fd, actual_fd, size):
            place = f"at {run.start}"
            if run.expected_data and not run.actual_data:
                lost = Difference(path, Aspect.HOLES, f"data {place}", "hole")
                found.setdefault("lost", lost)
            if run.actual_data and not run.expected_data:
                filled = Difference(path, Aspect.HOLES, f"hole {place}", "data")
                found.setdefault("filled", filled)
            if "content" not in found and (run.expected_data or run.actual_data):
                position = _first_difference(expected_fd, actual_fd, run)
                if position is not None:
                    found["content"] = Difference(
                        path, Aspect.CONTENT, f"content at {position}", "other content"
                    )
        for name, difference in found.items():
            allowed = name == "filled" and self.fidelity is Fidelity.INCREMENTAL
            (self.not_carried if allowed else self.differences).append(difference)


@dataclass(frozen=True, slots=True)
class _Run:
    """A range of two files throughout which each has either data or a hole; bytes."""

    start: int
    end: int
    expected_data: bool
    actual_data: bool


def _runs(expected_fd: int, actual_fd: int, size: int) -> Iterator[_Run]:
    position = 0
    while position < size:
        expected_data, expected_end = _run_at(expected_fd, position, size)
        actual_data, actual_end = _run_at(actual_fd, position, size)
        end = min(expected_end, actual_end)
        yield _Run(position, end, expected_data, actual_data)
        position = end


def _run_at(descriptor: int, position: int, size: int) -> tuple[bool, int]:
    """Return whether there is data at a position, and where that ends.

    Btrfs counts preallocated extents as holes (lseek(2), find_desired_extent() in fs/btrfs/file.c).
    """
    try:
        data = os.lseek(descriptor, position, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return False, size
    if data > position:
        return False, min(data, size)
    return True, min(os.lseek(descriptor, position, os.SEEK_HOLE), size)


def _first_difference(expected_fd: int, actual_fd: int, run: _Run) -> int | None:
    for position in range(run.start, run.end, _BLOCK_BYTES):
        length = min(_BLOCK_BYTES, run.end - position)
        expected = os.pread(expected_fd, length, position)
        actual = os.pread(actual_fd, length, position)
        if expected != actual:
            pairs = enumerate(zip(expected, actual, strict=False))
            shorter = min(len(expected), len(actual))
            return position + next((at for at, (one, two) in pairs if one != two), shorter)
    return None


def _unwritten_bytes(descriptor: int) -> int:
    return sum(
        extent.length
        for extent in ioctls.extents(descriptor)
        if extent.flags & ExtentFlag.UNWRITTEN
    )


def _show_flags(flags: ioctls.FileFlag | None) -> str:
    return "not supported" if flags is None else f"{flags!r}"


def _is_allowed(difference: Difference, kind: str, fidelity: Fidelity) -> bool:
    """Tell whether increments lose this: mtime of the root, setuid and setgid of files."""
    if fidelity is Fidelity.EXACT:
        return False
    if difference.aspect is Aspect.MODE and kind != TYPE_NAMES[stat.S_IFDIR]:
        expected, actual = int(difference.expected, 8), int(difference.actual, 8)
        return expected & ~(stat.S_ISUID | stat.S_ISGID) == actual
    return difference.aspect is Aspect.MTIME and difference.path == b"."


def _parse(described: str) -> dict[Aspect, str]:
    facts = (fact.partition("=") for fact in described.split("\t"))
    return {Aspect(aspect): value for aspect, _, value in facts}


def _compare_facts(
    path: bytes, expected: dict[Aspect, str], actual: dict[Aspect, str]
) -> Iterator[Difference]:
    for aspect in Aspect:
        before, after = expected.get(aspect, "none"), actual.get(aspect, "none")
        if before != after:
            yield Difference(path, aspect, before, after)
