"""Which unit files an instance needs, and what may be done with those that are there.

Every file we write begins with a line that says so and holds the digest of the rest: a file
without it is somebody else's, one whose rest has another digest was changed by hand. Neither is
ever replaced or removed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_MARK: Final = (
    "# Written by 'btrfs-to-s3 systemd install', which replaces and removes it. Changes belong "
    "into a drop-in (systemctl edit). "
)
_FIRST_LINE = re.compile(re.escape(_MARK) + r"SHA-256: (?P<digest>[0-9a-f]{64})\n")
USUAL_PROGRAM: Final = "/usr/local/bin/btrfs-to-s3"
"""What the shipped units start."""
_PROGRAM = re.compile(r"/[A-Za-z0-9/._+@:=,-]+")
"""Nothing that systemd.service(5) would read as a quote, a specifier or a variable."""
_QUOTED = re.compile(r'["\\%]')
DROP_IN: Final = "50-btrfs-to-s3.conf"
"""The name of our own drop-ins; "systemctl edit" writes override.conf, which wins."""


class FileState(StrEnum):
    """What a unit file is, compared with the one that is wanted."""

    ABSENT = "absent"
    CURRENT = "current"
    OUTDATED = "outdated"
    MODIFIED = "modified"
    FOREIGN = "foreign"

    @property
    def ours(self) -> bool:
        """Whether it may be replaced or removed: we wrote it, and nobody changed it."""
        return self in {FileState.CURRENT, FileState.OUTDATED}


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A file by its path below the units' directory; ``wanted`` is None for one not to be there.

    ``differs`` says that something has to be done to make it so.
    """

    path: str
    state: FileState
    wanted: str | None
    differs: bool

    @classmethod
    def of(cls, path: str, found: str | None, wanted: str | None) -> UnitFile:
        """The file with this text, None for none, that should have that one."""
        return cls(path, state_of(found, wanted), wanted, found != wanted)

    @property
    def of_instance(self) -> bool:
        """Whether it concerns one instance, not all."""
        return self.path.endswith(DROP_IN)


def marked(content: str) -> str:
    """The content with the line that makes it ours."""
    return f"{_MARK}SHA-256: {_digest(content)}\n{content}"


def state_of(found: str | None, wanted: str | None) -> FileState:
    """What a file is; ``wanted`` is the whole text it should have, None if it should not be."""
    if found is None:
        return FileState.ABSENT
    first = _FIRST_LINE.match(found)
    if first is None:
        return FileState.FOREIGN
    if first["digest"] != _digest(found[first.end() :]):
        return FileState.MODIFIED
    return FileState.CURRENT if found == wanted else FileState.OUTDATED


def unit_files(shipped: Mapping[str, str], program: str) -> dict[str, str]:
    """The shipped units with the program that is to run, marked, by name.

    ``UsageError`` for a program whose path cannot stand in a unit.
    """
    if not _PROGRAM.fullmatch(program):
        raise UsageError(
            f"the program's path {program} cannot stand in a unit",
            hint="install it in a directory whose name has no space, quote, $ or %",
        )
    return {
        name: marked(text.replace(f"ExecStart={USUAL_PROGRAM} ", f"ExecStart={program} "))
        for name, text in shipped.items()
    }


def calendar_drop_in(when: str) -> str:
    """A timer's drop-in that puts ``when`` in place of its own time."""
    return marked(f"[Timer]\nOnCalendar=\nOnCalendar={when}\n")


def writable_drop_in(directories: Iterable[str]) -> str | None:
    """A service's drop-in that lets it write to directories its sandbox closes; None for none."""
    paths = sorted(set(directories))
    if not paths:
        return None
    lines = "".join(f'ReadWritePaths="-{_QUOTED.sub(_escaped, path)}"\n' for path in paths)
    return marked(f"[Service]\n{lines}")


def _escaped(found: re.Match[str]) -> str:
    """As systemd.syntax(7) and its specifiers want it between quotes."""
    return "%%" if found[0] == "%" else f"\\{found[0]}"


def drop_in(unit: str) -> str:
    """The path of our drop-in for a unit."""
    return f"{unit}.d/{DROP_IN}"


def require_ours(files: Sequence[UnitFile], directory: str) -> None:
    """``UsageError`` when a file would have to be replaced that is not as we wrote it."""
    others = [
        file
        for file in files
        if file.differs and file.state is not FileState.ABSENT and not file.state.ours
    ]
    if not others:
        return
    names = ", ".join(f"{directory}/{file.path}" for file in others)
    changed = all(file.state is FileState.MODIFIED for file in others)
    why = "changed by hand" if changed else "not written by this program, or changed by hand"
    raise UsageError(
        f"nothing was done: {why}: {names}",
        hint="put what you changed into a drop-in (systemctl edit UNIT), delete the file, and run "
        "it again",
        files=[file.path for file in others],
    )


def _digest(content: str) -> str:
    return sha256(content.encode()).hexdigest()
