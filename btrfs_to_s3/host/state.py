"""This host's state directory: journals of work in progress, and caches.

::

    <root>/host-id                       only where /etc/machine-id is missing (host.identity)
    <root>/<repository key>/lock         host.lock
    <root>/<repository key>/<kind>/<name>.jsonl   journals
    <root>/<repository key>/<kind>/<name>.cache   cached values

Everything but an open journal can be deleted at any time (guarantee 10).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from btrfs_to_s3.host.durable import ensure_directory, write_atomically
from btrfs_to_s3.host.journal import FileJournal
from btrfs_to_s3.model.place import StatePlace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_JOURNAL_SUFFIX = ".jsonl"
_CACHE_SUFFIX = ".cache"
_NAME_PATTERN = re.compile(r"[A-Za-z0-9._@+=-]{1,200}")
_NOT_FOR_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_READABLE_KEY_LENGTH = 80


class LocalStateDirectory:
    """Implements ``ports.LocalState`` for one repository.

    Nothing is created before something is written. Reading works without any right to write:
    ``remember`` then does nothing and ``temporary`` uses the system's temporary directory; only
    appending to a journal is an error. ``warn`` is told of damaged journals.
    """

    def __init__(self, root: Path, repository_key: str, warn: Callable[[str], None]) -> None:
        self._directory = root / checked_name(repository_key)
        self._warn = warn

    @property
    def directory(self) -> Path:
        """Where this repository's state lies; may not exist yet."""
        return self._directory

    def journal(self, kind: str, name: str) -> FileJournal:
        """The journal ``name`` of ``kind``; its file exists from the first append on."""
        return FileJournal(self._path(kind, name, _JOURNAL_SUFFIX), self._warn)

    def journals(self, kind: str) -> Sequence[str]:
        """Names of existing journals of a kind, sorted; none where the directory is unreadable."""
        return self._names(kind, _JOURNAL_SUFFIX)

    def remembered(self, kind: str) -> Sequence[str]:
        """Names of cached values of a kind, sorted; none where the directory is unreadable."""
        return self._names(kind, _CACHE_SUFFIX)

    def siblings(self) -> Sequence[LocalStateDirectory]:
        """The state of every other repository this host ever worked with, by directory."""
        try:
            found = sorted(self._directory.parent.iterdir())
        except OSError:
            return ()
        return tuple(
            type(self)(path.parent, path.name, self._warn)
            for path in found
            if path != self._directory and path.is_dir() and _NAME_PATTERN.fullmatch(path.name)
        )

    def remember(self, kind: str, name: str, value: bytes) -> None:
        """Cache a value atomically; where nothing can be written, nothing is cached."""
        path = self._path(kind, name, _CACHE_SUFFIX)
        with contextlib.suppress(OSError):
            ensure_directory(path.parent)
            write_atomically(path, value)

    def recall(self, kind: str, name: str) -> bytes | None:
        """A cached value; None when it was never kept, was deleted or cannot be read."""
        try:
            return self._path(kind, name, _CACHE_SUFFIX).read_bytes()
        except OSError:
            return None

    def temporary(self) -> BinaryIO:
        """An unnamed file (O_TMPFILE where the filesystem can); gone when closed or killed."""
        try:
            ensure_directory(self._directory)
            return cast("BinaryIO", tempfile.TemporaryFile(dir=self._directory))
        except OSError:
            return cast("BinaryIO", tempfile.TemporaryFile())

    def _names(self, kind: str, suffix: str) -> Sequence[str]:
        try:
            entries = tuple((self._directory / checked_name(kind)).iterdir())
        except OSError:
            return ()
        return sorted(entry.stem for entry in entries if entry.suffix == suffix)

    def _path(self, kind: str, name: str, suffix: str) -> Path:
        return self._directory / checked_name(kind) / f"{checked_name(name)}{suffix}"


def checked_name(name: str) -> str:
    """``name`` itself; ``ValueError`` when it could leave its directory or is no id of ours."""
    if not _NAME_PATTERN.fullmatch(name) or name in {".", ".."}:
        raise ValueError(f"{name!r} cannot name local state")
    return name


def repository_key(url: str, endpoint_url: str | None) -> str:
    """The directory name of a repository: readable, and distinct for every URL and endpoint."""
    digest = hashlib.sha256(f"{endpoint_url or ''}\0{url}".encode()).hexdigest()[:12]
    readable = _NOT_FOR_A_NAME.sub("-", url.removeprefix("s3://")).strip("-.")
    return f"{readable[:_READABLE_KEY_LENGTH]}-{digest}"


def state_root(configured: Path, environ: Mapping[str, str]) -> Path:
    """Where state goes: ``configured``, or a person's own cache directory.

    Someone who may not write ``configured`` (an ordinary user and ``/var/lib/btrfs-to-s3``) gets
    ``$XDG_CACHE_HOME/btrfs-to-s3``, by default ``~/.cache/btrfs-to-s3``, so that reading
    catalogs again is quick for them too. Root always gets ``configured``.
    """
    if os.geteuid() == 0 or _could_write(configured):
        return configured
    cache_home = environ.get("XDG_CACHE_HOME", "")
    # XDG Base Directory Specification: a relative path is invalid and is to be ignored.
    home = Path(environ.get("HOME") or Path.home())
    base = Path(cache_home) if cache_home.startswith("/") else home / ".cache"
    return base / "btrfs-to-s3"


def observe_root(root: Path) -> StatePlace:
    """What the state directory, or the place where it would be made, is like."""
    existing = _existing(root)
    facts = os.statvfs(existing)
    return StatePlace(
        path=root,
        exists=existing == root,
        writable=_could_write(root) and existing.is_dir(),
        free_bytes=facts.f_bavail * facts.f_frsize,
    )


def _existing(path: Path) -> Path:
    # os.path.exists, unlike Path.exists, takes a directory we may not enter for an absent one.
    return next(place for place in (path, *path.parents) if os.path.exists(place))  # noqa: PTH110


def _could_write(path: Path) -> bool:
    existing = _existing(path)
    return os.access(existing, os.W_OK | os.X_OK, effective_ids=True)
