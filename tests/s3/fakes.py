"""Time, chance, cancellation and the way to a service under a test's control; digests in short."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BY_MODEM = "the route goes through wwan0"
"""An objection to a way."""


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


class FakeTime:
    """A clock that only moves when somebody waits; itself the ``Cancellation`` that is waited on.

    ``on_wait`` is called after every wait, which is where a test lets other things happen.
    """

    def __init__(self, on_wait: Callable[[FakeTime], None] | None = None) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self.on_wait = on_wait
        self.cancelled = False
        self._lock = threading.Lock()

    def clock(self) -> float:
        with self._lock:
            return self.now

    def is_set(self) -> bool:
        return self.cancelled

    def wait(self, timeout_s: float) -> bool:
        assert timeout_s >= 0
        with self._lock:
            self.now += timeout_s
            self.waits.append(timeout_s)
        if self.on_wait is not None:
            self.on_wait(self)
        return self.cancelled

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class FakeWay:
    """A way that a test closes and opens."""

    why_not: str | None = None

    def objection(self) -> str | None:
        return self.why_not

    def objection_to(self, _address: str) -> str | None:
        return self.why_not

    def opens_after(self, waits: int) -> Callable[[FakeTime], None]:
        """For ``FakeTime.on_wait``: the way is free after so many waits."""

        def wait(time: FakeTime) -> None:
            if len(time.waits) >= waits:
                self.why_not = None

        return wait
