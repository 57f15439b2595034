"""How far a run is, written down now and then for ``status`` in another process."""

from __future__ import annotations

import contextlib
import os
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psutil

from btrfs_to_s3.cli.work import Work
from btrfs_to_s3.host.running import RunningRecord
from btrfs_to_s3.model.running import Progress, Running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_EVERY_S = 3.0


class RunFollower:
    """Implements ``ports.Reporter``; keeps a record in every repository the run has open.

    A thread of its own writes: whoever reports must not wait for a disk.
    """

    def __init__(
        self, command: str, clock: Callable[[], datetime], every_s: float = _EVERY_S
    ) -> None:
        self._clock = clock
        self._every_s = every_s
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._command = command
        self._started = clock()
        self._work: Work | None = None
        self._records: dict[Path, RunningRecord] = {}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def within(self, directory: Path) -> Iterator[None]:
        """Within the block the run works on the repository with this state directory."""
        record = _record(directory)
        if record is None:
            yield
            return
        with self._writing:
            record.write(self._running())
            self._records[directory] = record
            if self._thread is None:
                # A daemon: it owns nothing, and a hanging disk must not hold the program.
                self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._writing:
                self._records.pop(directory, None)
                record.remove()

    def close(self) -> None:
        """The run is over: no record stays; idempotent."""
        self._over.set()
        with self._writing:
            while self._records:
                _, record = self._records.popitem()
                record.remove()

    def begin(self, subject: str, activity: str, expected_bytes: int | None) -> None:
        """A piece of work starts."""
        with self._lock:
            self._work = Work(subject, activity, expected_bytes, self._clock().timestamp())

    def advance(self, raw_bytes: int, stored_bytes: int, chunks: int) -> None:
        """So much more is done."""
        with self._lock:
            if self._work is not None:
                self._work.advance(raw_bytes, stored_bytes, chunks)

    def activity(self, text: str) -> None:
        """What is happening now."""
        with self._lock:
            if self._work is not None:
                self._work.now = text

    def note(self, text: str) -> None:
        """Nothing to write down."""

    def warn(self, text: str) -> None:
        """Nothing to write down."""

    def end(self) -> None:
        """The piece of work is over."""
        with self._lock:
            self._work = None

    def _follow(self) -> None:
        while not self._over.wait(self._every_s):
            with self._writing:
                run = self._running()
                for record in self._records.values():
                    record.write(run)

    def _running(self) -> Running:
        """How far the run is now."""
        with self._lock:
            progress = None if self._work is None else _progress(self._work)
            return Running(self._command, os.getpid(), self._started, self._clock(), progress)


def _progress(work: Work) -> Progress:
    return Progress(
        work.subject,
        work.what,
        datetime.fromtimestamp(work.started_s, UTC),
        work.expected_bytes,
        work.raw_bytes,
        work.stored_bytes,
        work.chunks,
        work.now,
    )


def _record(directory: Path) -> RunningRecord | None:
    """None without /proc, where no process can say which one it is: the run needs no record."""
    try:
        record = RunningRecord(directory)
        record.begin()
    except (psutil.Error, OSError):
        return None
    return record
