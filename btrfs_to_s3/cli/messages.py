"""Lines on standard error: notes, warnings and errors, from the program and from its loggers.

On a terminal and under systemd a line has no time of its own; elsewhere (cron, a log file) it
has, but for errors: they begin with ``error: `` wherever they go. Where standard error is the
journal, a line begins with its priority (sd-daemon(3)). A line that cannot be written (a closed
pipe, a terminal that is gone) is lost and ends nothing.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import threading
from enum import IntEnum
from typing import TYPE_CHECKING, Self, TextIO

from btrfs_to_s3.cli.rendering import human

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from btrfs_to_s3.cli.exit_codes import Failure

_OWN_LOGGER = "btrfs_to_s3"
_RETRIES = "btrfs_to_s3.s3.retry"
"""Its warnings name single attempts; the outage gate's say what a person needs to know."""
_TAIL_LINES = 100


class Verbosity(IntEnum):
    """How much is told: ``-q``, nothing given, ``-v``."""

    QUIET = -1
    NORMAL = 0
    VERBOSE = 1


class Level(IntEnum):
    """Priorities of syslog(3)."""

    ERROR = 3
    WARNING = 4
    NOTE = 6
    DEBUG = 7


class Style(IntEnum):
    """What stands before a line."""

    BARE = 0
    TIMED = 1
    JOURNAL = 2

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str]) -> Self:
        """The style for this stream, by where it leads and by what systemd says of this run."""
        if _is_journal(stream, environ.get("JOURNAL_STREAM", "")):
            return cls(cls.JOURNAL)
        if stream.isatty() or environ.get("INVOCATION_ID") or environ.get("JOURNAL_STREAM"):
            return cls(cls.BARE)
        return cls(cls.TIMED)


class Messages:
    """Writes lines; safe to call from many threads."""

    def __init__(
        self,
        stream: TextIO,
        style: Style,
        verbosity: Verbosity,
        clock: Callable[[], datetime],
    ) -> None:
        self.verbosity = verbosity
        self._stream = stream
        self._style = style
        self._clock = clock
        self._lock = threading.Lock()
        self._through: Callable[[str], None] | None = None
        self._tail: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines, also those that ``-q`` leaves out, each with its time."""
        with self._lock:
            return tuple(self._tail)

    def note(self, text: str) -> None:
        """Tell something worth knowing, unless told to be quiet."""
        self._tell(Level.NOTE, "", text)

    def warn(self, text: str) -> None:
        """Tell something a person should act on."""
        self._tell(Level.WARNING, "warning: ", text)

    def debug(self, text: str) -> None:
        """Tell a detail, only with ``-v``."""
        self._tell(Level.DEBUG, "", text)

    def fail(self, failure: Failure, subject: str = "") -> None:
        """``error: …`` and, where there is one, ``hint: …``."""
        where = f"{subject}: " if subject else ""
        self._tell(Level.ERROR, "error: ", f"{where}{failure.message}")
        if failure.hint:
            self._tell(Level.ERROR, "hint: ", failure.hint)

    @contextlib.contextmanager
    def through(self, write: Callable[[str], None]) -> Iterator[None]:
        """Within the block lines go through ``write``, which knows what else is on the screen."""
        self._through = write
        try:
            yield
        finally:
            self._through = None

    @contextlib.contextmanager
    def logging(self) -> Iterator[None]:
        """Within the block, what loggers say comes out here too."""
        handler = _Handler(self)
        root, own = logging.getLogger(), logging.getLogger(_OWN_LOGGER)
        before = own.level
        verbose = self.verbosity >= Verbosity.VERBOSE
        own.setLevel(logging.DEBUG if verbose else logging.WARNING)
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)
            own.setLevel(before)

    def _tell(self, level: Level, before: str, text: str) -> None:
        shown = level <= _MOST[self.verbosity]
        if not shown and level > Level.NOTE:
            return
        first, *rest = text.splitlines() or [""]
        lines = [before + first, *(f"  {line}" for line in rest)]
        with self._lock:
            time = human.moment(self._clock())
            self._tail.extend(f"{time} {human.printable(line)}" for line in lines)
            for line in lines if shown else ():
                self._write(self._leader(level) + human.printable(line))

    def _leader(self, level: Level) -> str:
        if self._style is Style.JOURNAL:
            return f"<{level}>"
        timed = self._style is Style.TIMED and level is not Level.ERROR
        return f"{human.moment(self._clock())} " if timed else ""

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._through is not None:
                self._through(line)
                return
            self._stream.write(f"{line}\n")
            self._stream.flush()


_MOST = {
    Verbosity.QUIET: Level.WARNING,
    Verbosity.NORMAL: Level.NOTE,
    Verbosity.VERBOSE: Level.DEBUG,
}


class _Handler(logging.Handler):
    """What loggers say, as lines. Libraries are only heard when they warn."""

    def __init__(self, messages: Messages) -> None:
        super().__init__()
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record at the level it has for a person."""
        verbose = self._messages.verbosity >= Verbosity.VERBOSE
        own = record.name.partition(".")[0] == _OWN_LOGGER
        text = record.getMessage()
        if record.name == _RETRIES:
            self._messages.debug(text)
        elif own and record.levelno >= logging.WARNING:
            self._messages.warn(text)
        elif own or (verbose and record.levelno >= logging.WARNING):
            self._messages.debug(text if own else f"{record.name}: {text}")


def _is_journal(stream: TextIO, journal_stream: str) -> bool:
    """Whether JOURNAL_STREAM names this very stream (systemd.exec(5))."""
    if not journal_stream:
        return False
    try:
        seen = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return journal_stream == f"{seen.st_dev}:{seen.st_ino}"
