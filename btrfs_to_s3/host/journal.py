"""The append-only local record of work in progress: one checked JSON line per fact.

A line is ``{"crc32":"<8 hex>","record":{…}}`` and a newline; the CRC covers the record's bytes.
What counts is the longest prefix of whole, correct lines. A crash can tear only the last line;
anything else that is wrong is damage, and what follows it is treated as absent: resuming then
sends more again, but never trusts a digest that local damage changed.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import zlib
from typing import TYPE_CHECKING, BinaryIO

from btrfs_to_s3.errors import LocalSpaceError, SourceError, UsageError
from btrfs_to_s3.host.durable import ensure_directory, sync_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class FileJournal:
    """Implements ``ports.Journal`` in one file, which exists from the first ``append`` on.

    Thread-safe. Between calls it holds no descriptor, so there is nothing to close. One process
    at a time appends (``host.lock``); any number may read. ``warn`` gets one sentence when
    damage was found, once.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self._path = path
        self._warn = warn
        self._lock = threading.Lock()
        self._end: int | None = None
        self._damage_told = False

    def append(self, record: Mapping[str, object]) -> None:
        """Add one line, on disk when this returns.

        ``LocalSpaceError`` when the disk is full, ``UsageError`` when the place may not be
        written, ``SourceError`` for other failures of the disk; the earlier lines stay readable
        in each case and the new one is not there.
        """
        line = _encode(record)
        with self._lock:
            try:
                self._append(line)
            except OSError as error:
                raise _as_ours(error, self._path) from error

    def records(self) -> Iterator[dict[str, object]]:
        """The lines so far, oldest first; none when there is no journal.

        ``UsageError`` when the journal exists but may not be read.
        """
        try:
            with self._path.open("rb") as stream:
                for record, _ in self._valid_lines(stream):
                    yield record
        except FileNotFoundError:
            return
        except OSError as error:
            raise _as_ours(error, self._path) from error

    def remove(self) -> None:
        """Delete the journal, durably; absent is no error."""
        with self._lock:
            self._end = None
            try:
                self._path.unlink(missing_ok=True)
                if self._path.parent.is_dir():
                    sync_directory(self._path.parent)
            except OSError as error:
                raise _as_ours(error, self._path) from error

    def _append(self, line: bytes) -> None:
        ensure_directory(self._path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(self._path, flags, 0o600), "r+b", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            end = size if size == self._end else self._valid_end()
            if end < size:
                file.truncate(end)
            file.seek(end)
            try:
                _write_all(file, line)
                os.fdatasync(file.fileno())
            except OSError:
                # Shrinking needs no space: the file ends again where it was good.
                file.truncate(end)
                raise
        if end == 0:
            sync_directory(self._path.parent)
        self._end = end + len(line)

    def _valid_end(self) -> int:
        with self._path.open("rb") as stream:
            return max((end for _, end in self._valid_lines(stream)), default=0)

    def _valid_lines(self, stream: BinaryIO) -> Iterator[tuple[dict[str, object], int]]:
        end = 0
        for number, line in enumerate(stream, start=1):
            record = _decode(line)
            if record is None:
                if line.endswith(b"\n"):
                    self._tell_damage(number)
                return
            end += len(line)
            yield record, end

    def _tell_damage(self, line_number: int) -> None:
        if not self._damage_told:
            self._damage_told = True
            self._warn(f"{self._path} is damaged from line {line_number} on: the rest is not used")


def _encode(record: Mapping[str, object]) -> bytes:
    body = json.dumps(dict(record), separators=(",", ":"), allow_nan=False).encode("ascii")
    return b'{"crc32":"%08x","record":%b}\n' % (zlib.crc32(body), body)


_HEAD_SIZE = len(b'{"crc32":"00000000","record":')


def _decode(line: bytes) -> dict[str, object] | None:
    body = line[_HEAD_SIZE:-2]
    if line != b'{"crc32":"%08x","record":%b}\n' % (zlib.crc32(body), body):
        return None
    try:
        record = json.loads(body)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _as_ours(error: OSError, path: Path) -> Exception:
    reason = error.strerror or str(error)
    if error.errno in _NO_ROOM:
        return LocalSpaceError(
            f"no room for the journal {path}: {reason}",
            hint="free some space there, or choose another place with state_dir; then run it again",
        )
    if error.errno in _NOT_ALLOWED:
        return UsageError(
            f"the journal {path} cannot be used: {reason}",
            hint="run it as root (sudo -E), or choose a directory of your own with state_dir",
        )
    return SourceError(f"the journal {path} cannot be used: {reason}")
