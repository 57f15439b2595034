"""What is happening now: a bar on a terminal, a line now and then elsewhere.

Both implement ``ports.Reporter`` and are called from many threads. Nothing here can fail a run.
"""

from __future__ import annotations

import contextlib
import threading
from typing import IO, TYPE_CHECKING, Any, cast

from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from btrfs_to_s3.cli.messages import Verbosity
from btrfs_to_s3.cli.rendering import human
from btrfs_to_s3.cli.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from btrfs_to_s3.cli.messages import Messages

_LINE_EVERY_S = 30.0
_LINE_EVERY_SHARE = 0.1
_LINE_AT_MOST_EVERY_S = 5.0
_WIDE = 110
"""Columns from which a terminal has room for a bar beside the facts."""


class LineReporter:
    """Tells how far the work is at most every 30 s, or 10 % where the end is known."""

    def __init__(self, messages: Messages, clock: Callable[[], float], *, lines: bool) -> None:
        self._messages = messages
        self._clock = clock
        self._lines = lines
        self._lock = threading.Lock()
        self._work: Work | None = None
        self._told_s = 0.0
        self._told_share = 0.0

    def begin(self, subject: str, activity: str, expected_bytes: int | None) -> None:
        """A piece of work starts."""
        with self._lock:
            now = self._clock()
            self._work = Work(subject, activity, expected_bytes, now)
            self._told_s, self._told_share = now, 0.0
        if self._lines:
            about = f", about {human.size(expected_bytes)}" if expected_bytes else ""
            self._messages.note(f"{subject}: {activity} starts{about}")

    def advance(self, raw_bytes: int, stored_bytes: int, chunks: int) -> None:
        """So much more is done."""
        with self._lock:
            work = self._work
            if work is None:
                return
            work.advance(raw_bytes, stored_bytes, chunks)
            now = self._clock()
            if not self._lines or not self._is_due(work, now):
                return
            self._told_s, self._told_share = now, work.share or 0.0
            line = work.line(now)
        self._messages.note(line)

    def activity(self, text: str) -> None:
        """What is happening now."""
        with self._lock:
            if self._work is not None:
                self._work.now = text
        self._messages.debug(text)

    def note(self, text: str) -> None:
        """Something a person may want to know."""
        self._messages.note(text)

    def warn(self, text: str) -> None:
        """Something a person should act on."""
        self._messages.warn(text)

    def end(self) -> None:
        """The piece of work is over."""
        with self._lock:
            self._work = None

    def _is_due(self, work: Work, now_s: float) -> bool:
        silent_s = now_s - self._told_s
        if silent_s >= _LINE_EVERY_S:
            return True
        step = (work.share or 0.0) - self._told_share
        return step >= _LINE_EVERY_SHARE and silent_s >= _LINE_AT_MOST_EVERY_S


class TerminalReporter:
    """A bar for each piece of work, gone when it ends; other lines go above it."""

    def __init__(self, messages: Messages, stream: TextIO, clock: Callable[[], float]) -> None:
        self._messages = messages
        self._clock = clock
        self._lock = threading.Lock()
        screen = cast("IO[str]", _Screen(stream))
        self._console = _Roomy(file=screen, markup=False, highlight=False, emoji=False)
        self._shown: _Shown | None = None

    def begin(self, subject: str, activity: str, expected_bytes: int | None) -> None:
        """A piece of work starts."""
        self.end()
        with self._lock:
            work = Work(subject, activity, expected_bytes, self._clock())
            self._shown = _Shown(work, self._console, self._messages, self._clock)

    def advance(self, raw_bytes: int, stored_bytes: int, chunks: int) -> None:
        """So much more is done."""
        with self._lock:
            if self._shown is None:
                return
            self._shown.work.advance(raw_bytes, stored_bytes, chunks)
            self._shown.update()

    def activity(self, text: str) -> None:
        """What is happening now."""
        with self._lock:
            if self._shown is not None:
                self._shown.work.now = text
        self._messages.debug(text)

    def note(self, text: str) -> None:
        """Something a person may want to know."""
        self._messages.note(text)

    def warn(self, text: str) -> None:
        """Something a person should act on."""
        self._messages.warn(text)

    def end(self) -> None:
        """The piece of work is over; its bar goes."""
        with self._lock:
            shown, self._shown = self._shown, None
        if shown is not None:
            shown.close()


class _Roomy(Console):
    """Leaves room for the ``^C`` that a terminal echoes: a full line would break and stay there."""

    @property  # type: ignore[misc]  # nothing here sets it
    def size(self) -> ConsoleDimensions:
        """The terminal's size, three columns less."""
        whole = super().size
        return ConsoleDimensions(max(1, whole.width - 3), whole.height)


class _Screen:
    """A stream for rich's own thread, which must not die of a terminal that is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write what can be written."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush if it can be."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


class _Shown:
    """One bar on the screen, redrawn by rich's own thread."""

    def __init__(
        self, work: Work, console: Console, messages: Messages, clock: Callable[[], float]
    ) -> None:
        self.work = work
        self._closing = contextlib.ExitStack()
        wide = console.width >= _WIDE
        description = human.printable(f"{work.subject}: {work.what}")
        whole = Column(no_wrap=True, min_width=cell_len(description))
        self._progress = Progress(
            SpinnerColumn(table_column=Column(width=1)),
            TextColumn("{task.description}", markup=False, table_column=whole),
            *((BarColumn(bar_width=16), TimeElapsedColumn()) if wide else ()),
            _Facts(work, clock),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._closing.enter_context(self._progress)
        self._closing.enter_context(
            messages.through(lambda line: self._progress.console.print(line, soft_wrap=True))
        )
        self._task: TaskID = self._progress.add_task(description, total=work.expected_bytes or None)

    def update(self) -> None:
        """Show how far the work is; past its estimate the end is unknown."""
        total = self.work.expected_bytes if self.work.share is not None else None
        task = self._progress.tasks[0]
        if task.total != total:
            task.total = total
        self._progress.update(self._task, completed=self.work.raw_bytes)

    def close(self) -> None:
        """Take it off the screen."""
        self._closing.close()


class _Facts(ProgressColumn):
    """Bytes, what is happening, time left, speed and chunks: cut at the end where it is narrow."""

    def __init__(self, work: Work, clock: Callable[[], float]) -> None:
        # The only column that may shrink: it must look foldable to rich, its text must not be.
        super().__init__(table_column=Column())
        self._work = work
        self._clock = clock

    def render(self, task: Task) -> Text:
        """The column's text now."""
        work, now = self._work, self._clock()
        parts = [human.size(work.raw_bytes)]
        if work.share is not None and task.total:
            parts[0] += f" of ~{human.size(task.total)}"
        if work.now:
            parts.append(work.now)
        left = work.left(now)
        if left is not None:
            parts.append(f"~{human.span(left)} left")
        parts.append(human.rate(work.raw_bytes, now - work.started_s))
        parts.append(human.count(work.chunks, "chunk"))
        return Text(human.printable(" · ".join(parts)), no_wrap=True, overflow="ellipsis")


def make_reporter(
    messages: Messages, stream: TextIO, clock: Callable[[], float], *, progress: bool
) -> LineReporter | TerminalReporter:
    """The reporter for this stream; ``progress`` False (or ``-q``) leaves warnings and notes."""
    wanted = progress and messages.verbosity > Verbosity.QUIET
    if wanted and stream.isatty():
        return TerminalReporter(messages, stream, clock)
    return LineReporter(messages, clock, lines=wanted)
