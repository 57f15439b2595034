"""Unit files: the shipped ones, and those of a directory that systemd reads."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.errors import SourceError
from btrfs_to_s3.host.durable import sync_directory, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PACKAGE: Final = Path(__file__).parents[1]
_IN_WHEEL: Final = _PACKAGE / "units"
_IN_CHECKOUT: Final = _PACKAGE.parent / "systemd"
_KNOWN: Final = "btrfs-to-s3@.service"
_SUFFIXES: Final = (".service", ".timer")
_PUBLIC_DIRECTORY: Final = 0o755
_PUBLIC_FILE: Final = 0o644
_WANTS: Final = "timers.target.wants"
UNSAFE: Final = tuple(map(Path, ("/home", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 - named, not used
"""Where others than root may write, and what services do not see as it is (PrivateTmp=)."""


def shipped_units(
    *, user: bool, places: Sequence[Path] = (_IN_WHEEL, _IN_CHECKOUT)
) -> Mapping[str, str]:
    """The units this program comes with, by name: the system's, or those for a ``user``.

    They lie beside the package's modules where it was installed, in the folder ``systemd`` of a
    checkout (also of an editable installation). ``SourceError`` where they are missing.
    """
    for place in places:
        if (place / _KNOWN).is_file():
            folder = place / "user" if user else place
            files = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
            return {path.name: path.read_text("utf-8") for path in files}
    raise SourceError(
        "this installation has no units",
        hint="install the package anew (pip install --force-reinstall btrfs-to-s3)",
        places=[str(place) for place in places],
    )


def read_unit(path: Path) -> str | None:
    """A file's text, None where there is none; ``SourceError`` when it cannot be read.

    A link that leads nowhere is there, and empty: somebody made it.
    """
    try:
        return path.read_text("utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return "" if path.is_symlink() else None
    except OSError as error:
        raise _unusable(path, "read", error) from error


def write_unit(path: Path, text: str) -> None:
    """Replace a file as a whole, readable by everybody as systemd wants it; ``SourceError``."""
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=_PUBLIC_DIRECTORY, parents=True)
            sync_directory(path.parent.parent)
        write_atomically(path, text.encode(), _PUBLIC_FILE)
    except OSError as error:
        raise _unusable(path, "written", error) from error


def remove_unit(path: Path) -> None:
    """Remove a file, and the drop-in directory it leaves empty; ``SourceError``."""
    try:
        path.unlink(missing_ok=True)
        if path.parent.name.endswith(".d"):
            with contextlib.suppress(OSError):  # other drop-ins are in it
                path.parent.rmdir()
    except OSError as error:
        raise _unusable(path, "removed", error) from error


def enabled_timers(directory: Path) -> frozenset[str]:
    """The timers that start with the machine, by the links in a directory of units."""
    try:
        return frozenset(link.name for link in (directory / _WANTS).iterdir())
    except OSError:
        return frozenset()


def first_unsafe(paths: Sequence[Path], unsafe: Sequence[Path] = UNSAFE) -> Path | None:
    """The first path that a service of the machine must not run from; None if there is none."""
    for path in paths:
        for place in (path, path.resolve()):
            if any(place.is_relative_to(each) for each in unsafe):
                return place
    return None


def _unusable(path: Path, verb: str, error: OSError) -> SourceError:
    return SourceError(f"{path} cannot be {verb}: {error.strerror or error}")
