"""What goes wrong during a soak, one thing at a time, each of them a real fault."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from integration_tests.harness.faultproxy.rules import (
    Act,
    Rule,
    Side,
    internal_error,
    slow_down,
)
from integration_tests.harness.soak.events import Event, EventKind
from integration_tests.harness.soak.judgement import Victim

if TYPE_CHECKING:
    import random
    import threading
    from collections.abc import Iterator

    from integration_tests.harness.soak.events import EventLog
    from integration_tests.harness.soak.judgement import FaultHistory
    from integration_tests.harness.soak.runner import Runner
    from integration_tests.harness.soak.world import World

_WRITES: Final = "PutObject|UploadPart|CompleteMultipartUpload"
_SHORTEST_S: Final = 4.0
_LONGEST_S: Final = 16.0
_POLL_S: Final = 0.05

DAMAGE: Final = "damaged answers"
RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "errors": (internal_error(probability=0.2), slow_down(probability=0.2)),
    "outage": (slow_down(),),
    "resets of requests": (
        Rule(act=Act.RESET, side=Side.REQUEST, operation=_WRITES, at_byte=10_000, probability=0.2),
    ),
    "resets of answers": (Rule(act=Act.RESET, operation="GetObject", probability=0.2),),
    "lost answers": (Rule(act=Act.LOSE_ANSWER, operation=_WRITES, probability=0.2),),
    "truncated answers": (
        Rule(act=Act.TRUNCATE, operation="GetObject", at_byte=5_000, probability=0.2),
    ),
    DAMAGE: (Rule(act=Act.CORRUPT, operation="GetObject", path="/chunks/", probability=0.1),),
    "stalls": (Rule(act=Act.STALL, seconds=8, probability=0.05),),
    "delays": (Rule(act=Act.DELAY, seconds=0.5, probability=0.5),),
}
FREEZE: Final = "frozen service"
SIGNALS: Final = {
    "SIGTERM": (signal.SIGTERM, Victim.TERMINATED),
    "SIGKILL": (signal.SIGKILL, Victim.KILLED),
}
NAMES: Final = (*RULES, FREEZE, *SIGNALS, *SIGNALS, *SIGNALS)
"""Signals more often: after them runs go on from what was there."""


@dataclass(slots=True)
class Faults:
    """Strikes with one fault after the other, each kind once in every shuffled round.

    `scale` shortens all of them for short soaks.
    """

    world: World
    runner: Runner
    history: FaultHistory
    log: EventLog
    rng: random.Random
    stop: threading.Event
    scale: float
    _order: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self._order = self._rounds()

    def strike(self) -> None:
        """Let the next fault happen, and return when it is over."""
        name = next(self._order)
        started_s = time.time()
        message = self._signal(name) if name in SIGNALS else self._disturb(name)
        if message is not None:
            self.log.add(
                Event(
                    kind=EventKind.FAULT,
                    name=name,
                    started_s=started_s,
                    ended_s=time.time(),
                    message=message,
                )
            )

    def _rounds(self) -> Iterator[str]:
        while True:
            yield from self.rng.sample(NAMES, len(NAMES))

    def _disturb(self, name: str) -> str:
        seconds = self.rng.uniform(_SHORTEST_S, _LONGEST_S) * self.scale
        victim = Victim.ANSWERS if name == DAMAGE else Victim.SERVICE
        fault = self.history.begin(name, victim)
        try:
            if name == FREEZE:
                with self.world.service.frozen():
                    self.stop.wait(seconds)
            else:
                rules = [replace(rule, name=name) for rule in RULES[name]]
                self.world.proxy.set_rules(*rules, seed=self.rng.randrange(2**32))
                self.stop.wait(seconds)
        finally:
            self.world.proxy.set_rules()
            self.history.end(fault)
        return f"{seconds:.1f} s"

    def _signal(self, name: str) -> str | None:
        """Send a signal to a run at a random time of it; None if there was no run."""
        number, victim = SIGNALS[name]
        deadline = time.monotonic() + _LONGEST_S * self.scale
        while not self.runner.running() and time.monotonic() < deadline:
            self.stop.wait(_POLL_S)
        self.stop.wait(self.rng.uniform(0, 3))
        running = self.runner.running()
        if not running or self.stop.is_set():
            return None
        activity, process = self.rng.choice(running)
        self.history.begin(name, victim, process.pid)
        process.send_signal(number)
        return f"to {activity}, process {process.pid}"
