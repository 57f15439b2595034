"""What the service manager hears of a run while it works: live status, a stop, signs of life.

The watchdog's ping says that the *work* is alive, not that a thread is. Signs of life are

- whatever the run reports: bytes that moved, a chunk stored, the next activity;
- requests to the service and the pieces of their bodies, however slow the line;
- a wait on purpose (``Cancellation.wait``), also an hour at the outage gate or days for a thaw: it
  ends by itself;
- CPU time of child processes: ``btrfs send`` can compare for long and write nothing.

Threads that only wait for each other, as in a deadlock, give none, and neither does a call that
hangs in the kernel. Without a sign the ping is withheld, and systemd ends the run between one and
one and a half watchdog times after the last one (systemd.service(5), WatchdogSec=).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from btrfs_to_s3.host.signals import StopSignal
    from btrfs_to_s3.host.supervisor import Supervisor

_log = logging.getLogger(__name__)
_TICK_S: Final = 1.0
_TICKS_IN_A_WATCHDOG: Final = 20
_STATUS_EVERY_S: Final = 2.0


class Heartbeat:
    """Speaks to the service manager from a thread of its own, between ``start`` and ``end``.

    ``status`` is what the run is doing now, and ``signs`` a value that changes with everything it
    reports and moves; both are asked from that thread.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        stop: StopSignal,
        status: Callable[[], str],
        signs: Callable[[], Hashable],
        *,
        clock: Callable[[], float] = time.monotonic,
        children: Callable[[], Hashable] | None = None,
    ) -> None:
        self._supervisor = supervisor
        self._stop = stop
        self._status = status
        self._signs = signs
        self._clock = clock
        self._children = children or work_of_children
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._stopping = False
        self._complained = False
        self._told = ""
        self._told_s = clock() - _STATUS_EVERY_S
        self._seen: Hashable = None
        self._worked: Hashable = None
        self._alive = False
        self._pinged_s = clock()

    def start(self) -> None:
        """Begin to speak."""
        self._thread.start()

    def ready(self) -> None:
        """Say that the run has begun (READY=1)."""
        self._supervisor.tell("READY=1")

    def end(self, status: str) -> None:
        """Say how the run went and be silent."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._look_safely()  # a stop may have been quicker than the next look
        self._supervisor.tell(f"STATUS={status}")

    def look(self) -> None:
        """Say what is to be said now."""
        now_s, lines = self._clock(), []
        if self._stop.is_set() and not self._stopping:
            self._stopping = True
            lines.append("STOPPING=1")
        status = "stopping" if self._stopping else self._status()
        if status != self._told and now_s - self._told_s >= _STATUS_EVERY_S:
            self._told, self._told_s = status, now_s
            lines.append(f"STATUS={status}")
        if self._is_due(now_s):
            lines.append("WATCHDOG=1")
        if lines:
            self._supervisor.tell(*lines)

    def _is_due(self, now_s: float) -> bool:
        """Whether it is time for a ping and there was a sign of life since the last one."""
        watchdog_s = self._supervisor.watchdog_s
        if watchdog_s is None:
            return False
        seen = (self._stop.waits, self._signs())
        if seen != self._seen:
            self._seen, self._alive = seen, True
        if now_s - self._pinged_s < watchdog_s / 2:
            return False
        worked = self._children()
        if worked == self._worked and not self._alive:
            return False
        self._worked, self._alive, self._pinged_s = worked, False, now_s
        return True

    def _run(self) -> None:
        watchdog_s = self._supervisor.watchdog_s
        tick_s = _TICK_S if watchdog_s is None else min(_TICK_S, watchdog_s / _TICKS_IN_A_WATCHDOG)
        while not self._ended.wait(tick_s):
            self._look_safely()

    def _look_safely(self) -> None:
        """Look; what goes wrong here ends neither the run nor the looks to come."""
        try:
            self.look()
        except Exception as error:  # noqa: BLE001 - a run is not to fail for telling of it
            level = logging.DEBUG if self._complained else logging.WARNING
            _log.log(level, "the service manager cannot be told how the run goes: %r", error)
            self._complained = True


def work_of_children() -> Hashable:
    """Children, theirs included, and the CPU time each has used; changes when one works."""
    used = set()
    with contextlib.suppress(psutil.Error, OSError):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                times = child.cpu_times()
                used.add((child.pid, times.user, times.system))
    return frozenset(used)
