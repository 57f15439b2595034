"""One run at a time per repository and host."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shlex
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import psutil

from btrfs_to_s3.config.settings import SETTINGS
from btrfs_to_s3.errors import LocalSpaceError, LockedError, SourceError, UsageError
from btrfs_to_s3.host.durable import ensure_directory

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

_CONTENT_LIMIT_BYTES = 64 * 1024
_HOLDER_WRITES_WITHIN_S = 0.5
_HOLDER_POLL_S = 0.02
_SAME_PROCESS_TOLERANCE_S = 2.0
"""Start times come from clock ticks and the boot time, which moves when the clock is set."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock, as the lock file says; ``started_s`` is the process's, since 1970."""

    pid: int
    started_s: float
    command: str

    @property
    def runs_here(self) -> bool:
        """Whether that very process can be seen from here (not so across PID namespaces)."""
        try:
            started_s = psutil.Process(self.pid).create_time()
        except psutil.Error:
            return False
        return abs(started_s - self.started_s) < _SAME_PROCESS_TOLERANCE_S

    def __str__(self) -> str:
        started = datetime.fromtimestamp(self.started_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"process {self.pid}, running since {started}: {self.command}"


class RunLock:
    """Holds ``<state>/<repository key>/lock`` by flock(2) while it is entered.

    The kernel drops the lock when its process ends in any way, so the file that a killed run
    leaves is no obstacle. Two locks exclude each other across processes and inside one; children
    do not inherit it. The file is never deleted: a name that comes and goes could be held twice.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Take the lock at once.

        ``LockedError`` with the holder when another run has it; ``UsageError`` when the state
        directory cannot be written or its filesystem has no locks; ``LocalSpaceError``.
        """
        try:
            descriptor = self._open()
        except OSError as error:
            raise _cannot_lock(self._path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_holder(descriptor)
        except BlockingIOError as error:
            try:
                holder = _read_holder(descriptor)
            finally:
                os.close(descriptor)
            raise _locked_by(holder) from error
        except OSError as error:
            os.close(descriptor)
            raise _cannot_lock(self._path, error) from error
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the lock up."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # Emptied first: the next holder must not be reported under this one's name.
            os.ftruncate(descriptor, 0)
            os.close(descriptor)

    def _open(self) -> int:
        ensure_directory(self._path.parent)
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _write_holder(descriptor: int) -> None:
    process = psutil.Process()
    holder = Holder(process.pid, process.create_time(), shown_command(process.cmdline()))
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)


def shown_command(arguments: Iterable[str]) -> str:
    """A command line without the values of secret settings, which everybody is shown."""
    secret = {setting.option for setting in SETTINGS if setting.secret}
    shown, hide = [], False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        shown.append("…" if hide else f"{name}=…" if name in secret and equals else argument)
        hide = argument in secret
    return shlex.join(shown)


def _read_holder(descriptor: int) -> Holder | None:
    """The holder, given a moment to write itself down after a predecessor that was killed."""
    deadline = time.monotonic() + _HOLDER_WRITES_WITHIN_S
    while True:
        holder = _parse_holder(os.pread(descriptor, _CONTENT_LIMIT_BYTES, 0))
        if (holder is not None and holder.runs_here) or time.monotonic() >= deadline:
            return holder
        time.sleep(_HOLDER_POLL_S)


def _parse_holder(content: bytes) -> Holder | None:
    try:
        found = json.loads(content)
        return Holder(int(found["pid"]), float(found["started_s"]), str(found["command"]))
    except (ValueError, KeyError, TypeError):
        return None


def _locked_by(holder: Holder | None) -> LockedError:
    if holder is None:
        return LockedError(
            "another run on this host works on this repository and does not say who it is",
            hint="wait until it has ended",
        )
    if not holder.runs_here:
        return LockedError(
            "another run on this host works on this repository; "
            f"the last that is known to have started is {holder}",
            hint="it may run in a container; wait until it has ended",
            pid=holder.pid,
        )
    return LockedError(
        f"another run on this host works on this repository: {holder}",
        hint=f"wait until it has ended, or stop it (kill {holder.pid}): the next run resumes",
        pid=holder.pid,
        command=holder.command,
    )


def _cannot_lock(path: Path, error: OSError) -> Exception:
    reason = error.strerror or str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return LocalSpaceError(f"no room for the lock file {path}: {reason}")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return UsageError(
            f"the lock file {path} cannot be written: {reason}",
            hint="run it as root (sudo -E), or choose a directory of your own with state_dir",
        )
    if error.errno in {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}:
        return UsageError(
            f"the filesystem of {path} has no locks: {reason}",
            hint="choose a directory on a local disk with state_dir",
        )
    return SourceError(f"the lock file {path} cannot be used: {reason}")
