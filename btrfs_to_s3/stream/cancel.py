"""A cancellation that one piece of work sets for itself, linked to the run's own."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from btrfs_to_s3.ports import Cancellation

_PARENT_POLL_S = 0.05


class LinkedCancellation:
    """Implements ``ports.Cancellation``: set by itself or, when it has one, by its parent.

    Setting it never touches the parent, so a failed stage ends only its own work. Thread-safe,
    and ``set`` may be called from a signal handler, which ``threading.Event`` does not allow:
    its lock could be held by the very thread the signal interrupted. A waiter notices its own
    flag at once and the parent's within 50 ms.
    """

    def __init__(self, parent: Cancellation | None = None) -> None:
        self._parent = parent
        self._own = False
        self._first = threading.Lock()
        self._turnstile = threading.Lock()
        self._turnstile.acquire()

    def set(self) -> None:
        """End the waits of everyone who holds this; idempotent."""
        self._own = True
        # Exactly one caller ever opens the turnstile: releasing an open lock is an error.
        if self._first.acquire(blocking=False):
            self._turnstile.release()

    def is_set(self) -> bool:
        """Whether the work should stop, by itself or by its parent."""
        return self._own or (self._parent is not None and self._parent.is_set())

    def wait(self, timeout_s: float) -> bool:
        """Sleep up to ``timeout_s``; True as soon as the work should stop."""
        deadline = time.monotonic() + timeout_s
        # The parent is told that somebody waits, by being asked in the same way.
        while not self._own and not (self._parent is not None and self._parent.wait(0.0)):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            slice_s = left_s if self._parent is None else min(left_s, _PARENT_POLL_S)
            if self._turnstile.acquire(timeout=min(slice_s, threading.TIMEOUT_MAX)):
                self._turnstile.release()
        return True


class DeadlineCancellation:
    """Implements ``ports.Cancellation``: set once ``seconds`` have passed.

    For cleaning up after a failure, which must not listen to the cancellation that caused it and
    must not wait for ever either.
    """

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds

    def is_set(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._deadline

    def wait(self, timeout_s: float) -> bool:
        """Sleep up to ``timeout_s``; True when the time is up."""
        left_s = max(0.0, self._deadline - time.monotonic())
        time.sleep(max(0.0, min(timeout_s, left_s)))
        return self.is_set()
