"""Which ends of a run the faults explain; every other one is unexpected."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

UNREACHABLE: Final = 4
DAMAGED: Final = 5
LOCKED: Final = 7
INTERRUPTED: Final = 130
_REMEMBERED_S: Final = 3600.0


class Victim(Enum):
    """What a fault does to whom."""

    SERVICE = "service"
    ANSWERS = "answers"
    TERMINATED = "terminated"
    KILLED = "killed"


@dataclass(slots=True)
class Fault:
    """One fault; `pid` is the process a signal went to; `ended_s` is None while it is active."""

    name: str
    victim: Victim
    started_s: float
    ended_s: float | None = None
    pid: int | None = None


class FaultHistory:
    """The faults of the last hour, for any thread to note and to look up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def begin(self, name: str, victim: Victim, pid: int | None = None) -> Fault:
        """Note a fault just before it strikes; a signal is over at once."""
        now = time.time()
        lasts = victim in {Victim.SERVICE, Victim.ANSWERS}
        fault = Fault(name, victim, now, None if lasts else now, pid)
        with self._lock:
            self._faults = [
                each
                for each in self._faults
                if each.ended_s is None or each.ended_s > now - _REMEMBERED_S
            ]
            self._faults.append(fault)
        return fault

    def end(self, fault: Fault) -> None:
        """Note that a fault is over."""
        fault.ended_s = time.time()

    def during(self, started_s: float, ended_s: float) -> list[Fault]:
        """The faults active at some time between two."""
        with self._lock:
            return [
                fault
                for fault in self._faults
                if fault.started_s <= ended_s
                and (fault.ended_s is None or fault.ended_s >= started_s)
            ]

    def active(self) -> list[str]:
        """The names of the faults active now."""
        with self._lock:
            return [fault.name for fault in self._faults if fault.ended_s is None]


def explanation(exit_code: int, pid: int, faults: Sequence[Fault]) -> str | None:
    """Why a run may have ended so; empty for a success, None if nothing explains it.

    `faults` are those of the run's interval. A signal explains only the end of the process that
    it was sent to, a fault of the service only that the repository could not be used, and answers
    that were damaged on the way only that the run refused what it got.
    """
    if exit_code == 0:
        return ""
    names = {fault.name for fault in faults if _explains(fault, exit_code, pid)}
    return ", ".join(sorted(names)) if names else None


def _explains(fault: Fault, exit_code: int, pid: int) -> bool:
    if exit_code == UNREACHABLE:
        return fault.victim is Victim.SERVICE
    if exit_code == DAMAGED:
        return fault.victim is Victim.ANSWERS
    if exit_code == LOCKED:
        return fault.victim in {Victim.TERMINATED, Victim.KILLED}
    if exit_code in {INTERRUPTED, -signal.SIGTERM}:
        return fault.victim is Victim.TERMINATED and fault.pid == pid
    return exit_code == -signal.SIGKILL and fault.victim is Victim.KILLED and fault.pid == pid
