"""What the service manager is told of a run: READY, live status text, signs of life."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.rendering import human
from btrfs_to_s3.cli.work import Work
from btrfs_to_s3.host.heartbeat import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from btrfs_to_s3.cli.exit_codes import Failure
    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.host.supervisor import Supervisor

_RATE_OVER_S = 10.0
"""The speed that is told is that of about so long."""


class ServiceStatus:
    """Implements ``ports.Reporter``: what a run does, in one line, and how often it reported."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._events = 0
        self._work: Work | None = None
        self._doing = "starting"
        self._marks: list[tuple[float, int]] = []

    @property
    def events(self) -> int:
        """Grows with every report."""
        return self._events

    def line(self) -> str:
        """``full backup of data: 41 %, 171.7 MiB/s``, or what is done beside a piece of work."""
        with self._lock:
            work = self._work
            if work is None:
                return self._doing
            done = f"{work.share:.0%}".replace("%", " %") if work.share is not None else None
            parts = [done or human.size(work.raw_bytes), self._rate(work)]
            if work.now:
                parts.append(work.now)
            return human.printable(f"{work.what} of {work.subject}: {', '.join(parts)}")

    def begin(self, subject: str, activity: str, expected_bytes: int | None) -> None:
        """A piece of work starts."""
        with self._lock:
            self._events += 1
            now_s = self._clock()
            self._work = Work(subject, activity, expected_bytes, now_s)
            self._marks = [(now_s, 0)]

    def advance(self, raw_bytes: int, stored_bytes: int, chunks: int) -> None:
        """So much more is done."""
        with self._lock:
            self._events += 1
            if self._work is not None:
                self._work.advance(raw_bytes, stored_bytes, chunks)

    def activity(self, text: str) -> None:
        """What is happening now."""
        with self._lock:
            self._events += 1
            if self._work is not None:
                self._work.now = text
            else:
                self._doing = text

    def note(self, text: str) -> None:  # noqa: ARG002 - the journal has it
        """Something a person may want to know."""
        with self._lock:
            self._events += 1

    def warn(self, text: str) -> None:
        """Something a person should act on."""
        self.note(text)

    def end(self) -> None:
        """The piece of work is over."""
        with self._lock:
            self._events += 1
            self._work = None
            self._doing = "working"

    def _rate(self, work: Work) -> str:
        """The speed since a moment ago; every asking leaves a mark for the next ones."""
        now_s = self._clock()
        while len(self._marks) > 1 and now_s - self._marks[1][0] >= _RATE_OVER_S:
            del self._marks[0]
        since_s, raw_bytes = self._marks[0]
        self._marks.append((now_s, work.raw_bytes))
        return human.rate(work.raw_bytes - raw_bytes, now_s - since_s)


@contextlib.contextmanager
def supervised(
    session: Session, supervisor: Supervisor
) -> Iterator[Callable[[Failure | None], None]]:
    """Within the block the service manager hears of the run; call the result with how it ended."""
    status = ServiceStatus(time.monotonic)
    session.signs.append(lambda: status.events)
    heartbeat = Heartbeat(supervisor, session.stop, status.line, session.moves)
    session.followers.append(status)
    session.begun = heartbeat.ready
    last = "ended at once"

    def finish(failure: Failure | None) -> None:
        nonlocal last
        last = "done" if failure is None else f"failed: {failure.message}"

    heartbeat.start()
    try:
        yield finish
    finally:
        heartbeat.end(human.printable(last))
