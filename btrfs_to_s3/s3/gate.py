"""The outage gate: when the service is away, every worker waits and one probes.

Closed is the normal state. ``threshold`` failures in a row, over all workers, open the gate.
While it is open one worker at a time goes through as the probe, at growing intervals; the
others wait. A probe that is answered (an error about the request itself is an answer) closes the
gate. After ``patience_s`` the waiting calls get None from ``enter`` and end with the last
error; a call that begins later may still try once, so a service that came back is noticed.

Attempts are also held back while there is an objection to the way to the service (a route through
an interface that may not be used). Then there is no probe: nothing is sent at all. It costs no
attempt, and ends with the objection, or after ``patience_s`` like an outage. What failed before
tells nothing of another way: an outage that was under way is forgotten.

Nothing blocks on a lock while waiting: waiters sleep on their own ``Cancellation`` in short
slices and look again, so a missed wake-up or a lost probe cannot hang them.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from btrfs_to_s3.ports import Cancellation, Way

_log = logging.getLogger(__name__)
_SLICE_S: Final = 1.0
_MINUTE_S: Final = 60
"""How often a waiter looks again: the longest delay between recovery and resumption."""


class Pass(Enum):
    """How an attempt went through the gate."""

    NORMAL = "normal"
    PROBE = "probe"


@dataclass(frozen=True, slots=True)
class GateSettings:
    """``threshold`` failures in a row open; probes wait ``probe_base_s`` doubling to the cap.

    ``first_patience_s`` holds until the service has answered once: a mistyped endpoint must not
    look like an outage of an hour.
    """

    threshold: int = 5
    probe_base_s: float = 1.0
    probe_cap_s: float = 60.0
    patience_s: float = 3600.0
    first_patience_s: float = 120.0


class OutageGate:
    """One per client, shared by all its workers. Thread-safe."""

    __slots__ = (
        "_clock",
        "_ever_answered",
        "_failures",
        "_held_since",
        "_last_error",
        "_lock",
        "_next_probe",
        "_objection",
        "_opened",
        "_probes",
        "_probing",
        "_random",
        "_settings",
        "_told",
        "_way",
    )

    def __init__(
        self,
        settings: GateSettings,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        way: Way | None = None,
    ) -> None:
        self._settings = settings
        self._way = way
        self._clock = clock
        self._random = random
        self._lock = threading.Lock()
        self._failures = 0
        self._ever_answered = False
        self._last_error: Exception | None = None
        self._opened: float | None = None
        self._probes = 0
        self._probing = False
        self._next_probe = 0.0
        self._told: float | None = None
        self._held_since: float | None = None
        self._objection = ""

    @property
    def is_open(self) -> bool:
        """Whether attempts are held back now."""
        with self._lock:
            return self._opened is not None

    @property
    def last_error(self) -> Exception | None:
        """The failure seen last, by any worker."""
        with self._lock:
            return self._last_error

    def open_for_s(self) -> float:
        """For how long the gate has been open; 0 when it is closed."""
        with self._lock:
            return 0.0 if self._opened is None else self._clock() - self._opened

    def objects(self) -> bool:
        """Whether there is an objection to the way now, so that attempts are held back."""
        with self._lock:
            return self._look()

    def held_back(self) -> tuple[str, float] | None:
        """The objection that attempts are held back by, and for how many seconds; else None."""
        with self._lock:
            if self._held_since is None:
                return None
            return self._objection, self._clock() - self._held_since

    def enter(self, cancel: Cancellation, *, fresh: bool) -> Pass | None:
        """Wait until this attempt may be made; None when the patience is over.

        ``fresh`` says that the call has not failed yet: a fresh call that begins after the
        patience was used up may still probe once. Every pass must be followed by exactly one
        ``answered``, ``failed`` or ``abandoned``. A wait that ``cancel`` ends gives None too.
        """
        arrived = self._clock()
        while True:
            with self._lock:
                decided = self._held_step() if self._look() else self._step(arrived, fresh=fresh)
            if not isinstance(decided, float):
                return decided
            if cancel.wait(decided):
                return None

    def _step(self, arrived: float, *, fresh: bool) -> Pass | float | None:
        """What ``enter`` gives now, or after how many seconds to look again."""
        if self._opened is None:
            return Pass.NORMAL
        now = self._clock()
        end = self._opened + self._patience_s()
        if now >= end and not (fresh and arrived >= end):
            return None
        if not self._probing and (now >= end or now >= self._next_probe):
            self._probing = True
            return Pass.PROBE
        return _SLICE_S if self._probing else min(_SLICE_S, self._next_probe - now)

    def _held_step(self) -> float | None:
        """The same while the way is objected to: nobody goes through."""
        held_s = self._clock() - (self._held_since or 0.0)
        return None if held_s >= self._settings.patience_s else _SLICE_S

    def _look(self) -> bool:
        """Look at the way; whether attempts are held back. Tells once of each change."""
        objection = None if self._way is None else self._way.objection()
        if objection is not None:
            self._objection = objection
            if self._held_since is None:
                self._held_since = self._clock()
                self._forget_failures()
                patience = in_words(self._settings.patience_s)
                _log.warning("nothing is sent: %s; waiting up to %s", objection, patience)
        elif self._held_since is not None:
            held = in_words(self._clock() - self._held_since)
            _log.warning("the service is reached by a way that may be used, after %s", held)
            self._held_since = None
        return objection is not None

    def answered(self, passed: Pass) -> None:
        """The service answered, well or with an error about the request itself."""
        with self._lock:
            if passed is Pass.PROBE:
                self._probing = False
            if self._told is not None:
                _log.warning("the service answers after %s", in_words(self._clock() - self._told))
                self._told = None
            self._ever_answered = True
            self._forget_failures()

    def failed(self, passed: Pass, error: Exception) -> None:
        """The service could not be reached or refused to work."""
        with self._lock:
            self._last_error = error
            if passed is Pass.PROBE:
                self._probing = False
            if self._opened is None:
                self._failures += 1
                if self._failures >= self._settings.threshold:
                    self._opened = self._clock()
                    self._probes = 0
                    self._plan_probe()
            elif passed is Pass.PROBE:
                self._plan_probe()
            # Else it was under way when the gate opened, and tells nothing new.
            if self._opened is not None or not self._ever_answered:
                self._tell(error)

    def abandoned(self, passed: Pass) -> None:
        """The attempt ended without telling anything of the service (interrupted, a bug)."""
        with self._lock:
            if passed is Pass.PROBE:
                self._probing = False

    def _forget_failures(self) -> None:
        self._failures = 0
        self._opened = None
        self._probes = 0

    def _tell(self, error: Exception) -> None:
        """Say once that the service is waited for, and how long.

        At the first failure while it has never answered: a person who mistyped the endpoint
        is still looking at the screen. Later only of an outage, not of a single failure.
        """
        if self._told is None and self._patience_s() > 0:
            self._told = self._clock()
            patience = in_words(self._patience_s())
            _log.warning("no usable answer: %s; waiting up to %s for the service", error, patience)

    def _patience_s(self) -> float:
        settings = self._settings
        if self._ever_answered:
            return settings.patience_s
        return min(settings.patience_s, settings.first_patience_s)

    def _plan_probe(self) -> None:
        longest = min(
            self._settings.probe_cap_s, self._settings.probe_base_s * 2 ** min(self._probes, 30)
        )
        # Half fixed, half random: many hosts after one outage must not probe in step, and no
        # probe follows another at once.
        self._next_probe = self._clock() + longest * (0.5 + 0.5 * self._random())
        self._probes += 1


def in_words(seconds: float) -> str:
    """``1 h 5 min``, ``2 min 0 s`` or ``12 s``."""
    minutes, rest = divmod(round(seconds), _MINUTE_S)
    hours, minutes = divmod(minutes, _MINUTE_S)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
