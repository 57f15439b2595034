"""When a command runs by itself, as systemd tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service that a timer starts, and how its last run went. Times are aware, in UTC.

    ``result`` is systemd's word for that run (systemd.exec(5), SERVICE_RESULT: ``success``,
    ``exit-code``, ``timeout``, ``watchdog``, …); None where it has not ended since the machine was
    started. ``exit_status`` is the program's exit code; None after a signal. ``main_pid`` and
    ``started_time`` are of the run under way; None between runs.
    """

    name: str
    known: bool
    result: str | None = None
    exit_status: int | None = None
    ended_time: datetime | None = None
    main_pid: int | None = None
    started_time: datetime | None = None

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self.main_pid is not None

    @property
    def failed(self) -> bool:
        """Whether the last run that ended did so badly."""
        return self.result not in {None, "success"}


@dataclass(frozen=True, slots=True)
class TimerState:
    """A timer and its service. Times are aware, in UTC, to the second.

    ``known``: there is such a unit. ``enabled``: it starts with the machine. ``active``: it starts
    its service from now on. ``next_time`` has the random delay in it; None while the timer is not
    active or its service runs. ``last_time`` is when it last elapsed; a persistent timer remembers
    it over restarts of the machine, and has the time of its first start until it elapses (systemd
    touches its stamp then). None: never.
    """

    name: str
    known: bool
    enabled: bool
    active: bool
    next_time: datetime | None
    last_time: datetime | None
    service: ServiceState
