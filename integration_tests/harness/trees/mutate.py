"""Reproducible changes to a tree: the same tree, seed and count give the same result.

What each mutation did is returned, so that a failing comparison can be explained. Everything it
touched gets a new reproducible mtime; what it did not touch keeps its own.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from integration_tests.harness.trees import ioctls
from integration_tests.harness.trees.changing_tree import (
    ChangingTree,
    NothingToChangeError,
    flags_of,
)
from integration_tests.harness.trees.ioctls import FileFlag
from integration_tests.harness.trees.seed import content, fixed_umask, new_random
from integration_tests.harness.trees.specials import BLOCK_BYTES

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    _Done = tuple[Path, Path | None, str]

_MAX_APPEND_BYTES = 64 * 1024
_MAX_OVERWRITE_BYTES = 16 * 1024
_MAX_HOLE_BLOCKS = 64
_MAX_SHARED_BLOCKS = 256
_MAX_DELETED_ENTRIES = 30
_OWNERS = (0, 1, 1000, 65534, 4_000_000_000)
_MODES = (0o600, 0o644, 0o4755, 0o1777, 0o000)
_READABLE_MODES = (0o600, 0o644, 0o4755, 0o1777)


class MutationKind(Enum):
    """What can happen to a tree between two backups."""

    CREATE = "create"
    APPEND = "append"
    OVERWRITE = "overwrite"
    TRUNCATE = "truncate"
    PUNCH_HOLE = "punch hole"
    RENAME = "rename"
    RENAME_OVER = "rename over"
    RENAME_DIRECTORY = "rename directory"
    DELETE = "delete"
    DELETE_DIRECTORY = "delete directory"
    RECREATE = "delete and recreate"
    CHMOD = "chmod"
    CHOWN = "chown"
    CHANGE_TYPE = "change type"
    LINK = "link"
    BREAK_LINK = "break link"
    CLONE = "clone"
    DEDUPE = "dedupe"
    XATTR = "xattr"
    NO_CHANGE = "no change"


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change that was made; paths are relative to the tree, as bytes."""

    kind: MutationKind
    path: bytes
    other: bytes | None = None
    detail: str = ""

    def __str__(self) -> str:
        other = f" -> {self.other!r}" if self.other is not None else ""
        return f"{self.kind.value} {self.path!r}{other} {self.detail}".rstrip()


def mutate_tree(root: Path, seed: int, count: int = len(MutationKind)) -> list[Mutation]:
    """Change a tree on Btrfs `count` times and return what was done, in order.

    Kinds come in shuffled rounds, so `len(MutationKind)` changes hold each kind once where the
    tree allows it. A kind that finds nothing to work on gives way to the next; fewer changes are
    made only when none is possible. Immutable and append-only files are left alone. An ordinary
    user's files keep their owner, and a mode with which that user can go on reading them.
    """
    with fixed_umask():
        return _Mutator(root, new_random("mutate", seed)).run(count)


class _Mutator:
    """One method per kind of mutation; each returns path, other path and detail."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.rng = rng
        self.tree = ChangingTree(root, rng)
        self.is_root = os.geteuid() == 0

    def run(self, count: int) -> list[Mutation]:
        made: list[Mutation] = []
        handlers: dict[MutationKind, Callable[[], _Done]] = {
            kind: getattr(self, f"_{kind.name.lower()}")
            for kind in MutationKind
            if self.is_root or kind is not MutationKind.CHOWN
        }
        while len(made) < count:
            before = len(made)
            for kind in self.rng.sample(list(handlers), len(handlers)):
                if len(made) == count:
                    break
                with contextlib.suppress(NothingToChangeError):
                    made.append(self._describe(kind, *handlers[kind]()))
            if len(made) == before:
                break
        self.tree.stamp()
        return made

    def _describe(
        self, kind: MutationKind, path: Path, other: Path | None, detail: str
    ) -> Mutation:
        names = [
            None if name is None else os.fsencode(name.relative_to(self.tree.root))
            for name in (path, other)
        ]
        return Mutation(kind, names[0] or b".", names[1], detail)

    def _create(self) -> _Done:
        path = self.tree.new_path("created")
        self.tree.fill(path, self.rng.randrange(3 * BLOCK_BYTES))
        self.tree.files.append(path)
        return path, None, f"{path.stat().st_size} bytes"

    def _append(self) -> _Done:
        path = self.tree.pick(self.tree.files)
        size = self.rng.randrange(1, _MAX_APPEND_BYTES)
        with path.open("ab") as file:
            file.writelines(content(self.rng, size, compressible=self.tree.coin()))
        self.tree.touch(path, entry=False)
        return path, None, f"{size} bytes"

    def _overwrite(self) -> _Done:
        path = self.tree.pick(self.tree.files, minimum_bytes=2)
        size = path.stat().st_size
        length = self.rng.randrange(1, min(size, _MAX_OVERWRITE_BYTES))
        position = self.rng.randrange(size - length + 1)
        with path.open("r+b") as file:
            file.seek(position)
            file.write(self.rng.randbytes(length))
        self.tree.touch(path, entry=False)
        return path, None, f"{length} bytes at {position}"

    def _truncate(self) -> _Done:
        path = self.tree.pick(self.tree.files, minimum_bytes=1)
        size = path.stat().st_size
        # Mostly shorter; sometimes longer, which leaves a hole at the end.
        length = self.rng.randrange(size + size // 2 + 1)
        os.truncate(path, length)
        self.tree.touch(path, entry=False)
        return path, None, f"{size} to {length} bytes"

    def _punch_hole(self) -> _Done:
        path = self.tree.pick(self.tree.files, minimum_bytes=2 * BLOCK_BYTES)
        blocks = path.stat().st_size // BLOCK_BYTES
        start = self.rng.randrange(blocks)
        length = self.rng.randrange(1, min(blocks - start, _MAX_HOLE_BLOCKS) + 1)
        with path.open("r+b") as file:
            ioctls.punch_hole(file.fileno(), start * BLOCK_BYTES, length * BLOCK_BYTES)
        self.tree.touch(path, entry=False)
        return path, None, f"{length} blocks at block {start}"

    def _rename(self) -> _Done:
        names = self.rng.choice((self.tree.files, self.tree.others))
        path = self.tree.pick(names)
        target = self.tree.new_path("renamed")
        self.tree.touch(path)
        path.rename(target)
        self.tree.remove(names, path)
        names.append(target)
        self.tree.touch(target)
        return path, target, ""

    def _rename_over(self) -> _Done:
        path, target = self.tree.pick_two()
        self.tree.touch(path)
        path.rename(target)
        self.tree.remove(self.tree.files, path)
        self.tree.touch(target)
        return path, target, ""

    def _rename_directory(self) -> _Done:
        path = self.tree.pick_directory()
        target = self.tree.new_path("moved")
        if target.is_relative_to(path):
            raise NothingToChangeError
        self.tree.touch(path)
        path.rename(target)
        self.tree.moved(path, target)
        self.tree.touch(target)
        return path, target, ""

    def _delete(self) -> _Done:
        names = self.rng.choice((self.tree.files, self.tree.others))
        path = self.tree.pick(names)
        path.unlink()
        self.tree.remove(names, path)
        self.tree.touch(path)
        return path, None, ""

    def _delete_directory(self) -> _Done:
        path = self.tree.pick_directory()
        if self.tree.inside(path, self.tree.frozen):
            raise NothingToChangeError
        inside = [path, *self.tree.inside(path, self.tree.directories)]
        entries = self.tree.inside(path, self.tree.files + self.tree.others)
        if len(inside) + len(entries) > _MAX_DELETED_ENTRIES:
            raise NothingToChangeError
        for name in entries:
            name.unlink()
        for name in sorted(inside, reverse=True):
            name.rmdir()
        gone = {*inside, *entries}
        self.tree.forget(gone)
        self.tree.touch(path)
        return path, None, f"with {len(gone) - 1} entries"

    def _recreate(self) -> _Done:
        path = self.tree.pick(self.tree.files)
        path.unlink()
        self.tree.fill(path, self.rng.randrange(3 * BLOCK_BYTES))
        return path, None, f"{path.stat().st_size} bytes"

    def _chmod(self) -> _Done:
        path = self.tree.pick([*self.tree.files, *self.tree.directories])
        mode = self.rng.choice(_MODES if self.is_root else _READABLE_MODES)
        path.chmod(mode)
        return path, None, f"{mode:04o}"

    def _chown(self) -> _Done:
        path = self.tree.pick([*self.tree.files, *self.tree.directories, *self.tree.others])
        owner, group = self.rng.choice(_OWNERS), self.rng.choice(_OWNERS)
        os.chown(path, owner, group, follow_symlinks=False)
        return path, None, f"{owner}:{group}"

    def _change_type(self) -> _Done:
        names = self.rng.choice((self.tree.files, self.tree.others))
        path = self.tree.pick(names)
        path.unlink()
        self.tree.remove(names, path)
        if names is self.tree.others:
            self.tree.fill(path, 100)
            self.tree.files.append(path)
            return path, None, "to file"
        becomes = self.rng.choice(("directory", "symlink", "fifo"))
        if becomes == "directory":
            path.mkdir()
            self.tree.directories.append(path)
        elif becomes == "symlink":
            path.symlink_to("changed")
            self.tree.others.append(path)
        else:
            os.mkfifo(path)
            self.tree.others.append(path)
        self.tree.touch(path)
        return path, None, f"file to {becomes}"

    def _link(self) -> _Done:
        names = self.rng.choice((self.tree.files, self.tree.others))
        path = self.tree.pick(names)
        target = self.tree.new_path("linked")
        os.link(path, target, follow_symlinks=False)
        names.append(target)
        if names is self.tree.files:
            self.tree.linked |= {path, target}
        self.tree.touch(target)
        return path, target, ""

    def _break_link(self) -> _Done:
        path = self.tree.pick_linked()
        if self.tree.coin():
            path.unlink()
            self.tree.remove(self.tree.files, path)
            self.tree.touch(path)
            return path, None, "removed one name"
        copy = self.tree.new_path("copy")
        copy.write_bytes(path.read_bytes())
        copy.replace(path)
        self.tree.touch(copy)
        self.tree.touch(path)
        return path, None, "replaced by a copy"

    def _clone(self) -> _Done:
        path, target = self.tree.pick_two(minimum_bytes=BLOCK_BYTES)
        if (flags_of(path) ^ flags_of(target)) & FileFlag.NO_COW:
            raise NothingToChangeError
        blocks = path.stat().st_size // BLOCK_BYTES
        start = self.rng.randrange(blocks)
        length = self.rng.randrange(1, min(blocks - start, _MAX_SHARED_BLOCKS) + 1)
        at = self.rng.randrange(target.stat().st_size // BLOCK_BYTES)
        with path.open("rb") as source, target.open("r+b") as file:
            ioctls.clone_range(
                source.fileno(),
                start * BLOCK_BYTES,
                length * BLOCK_BYTES,
                file.fileno(),
                at * BLOCK_BYTES,
            )
        self.tree.touch(target, entry=False)
        return path, target, f"{length} blocks from block {start} to block {at}"

    def _dedupe(self) -> _Done:
        path = self.tree.pick(self.tree.files, minimum_bytes=BLOCK_BYTES)
        if flags_of(path) & FileFlag.NO_COW:
            raise NothingToChangeError
        length = min(path.stat().st_size // BLOCK_BYTES, _MAX_SHARED_BLOCKS) * BLOCK_BYTES
        target = self.tree.new_path("deduped")
        with path.open("rb") as source, target.open("wb") as file:
            file.write(source.read(length))
            file.flush()
            shared = ioctls.dedupe_range(source.fileno(), 0, length, file.fileno(), 0)
        self.tree.files.append(target)
        self.tree.touch(target)
        return path, target, f"{shared} of {length} bytes"

    def _xattr(self) -> _Done:
        path = self.tree.pick([*self.tree.files, *self.tree.directories])
        present = sorted(name for name in os.listxattr(path) if name.startswith("user."))
        if present and self.tree.coin():
            name = self.rng.choice(present)
            os.removexattr(path, name)
            return path, None, f"removed {name!r}"
        name = f"user.mutated-{self.rng.randrange(3)}"
        os.setxattr(path, name, self.rng.randbytes(self.rng.randrange(300)))
        return path, None, f"set {name!r}"

    def _no_change(self) -> _Done:
        """Dirty the inode and its first bytes without changing anything that compares."""
        path = self.tree.pick(self.tree.files, minimum_bytes=1)
        before = path.stat()
        capability = "security.capability"
        privilege = os.getxattr(path, capability) if capability in os.listxattr(path) else None
        with path.open("r+b") as file:
            first = file.read(BLOCK_BYTES)
            file.seek(0)
            file.write(first)
        # Writing drops setuid, setgid and capabilities.
        path.chmod(stat.S_IMODE(before.st_mode))
        if privilege is not None:
            os.setxattr(path, capability, privilege)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return path, None, ""
