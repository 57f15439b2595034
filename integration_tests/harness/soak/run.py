"""The soak itself: lanes of activities for a while, a last round without faults, and the end."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
import traceback
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from integration_tests.harness.soak.activities import ACTIVITIES, Activity, Lane, Load, Player
from integration_tests.harness.soak.events import (
    BEGIN,
    END,
    EVENTS_FILE,
    Event,
    EventKind,
    EventLog,
)
from integration_tests.harness.soak.faults import Faults
from integration_tests.harness.soak.judgement import FaultHistory
from integration_tests.harness.soak.monitor import Monitor
from integration_tests.harness.soak.runner import Runner
from integration_tests.harness.soak.world import World, world
from integration_tests.harness.soak.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_UNSCALED_FROM_S: Final = 300.0
_SMALLEST_SCALE: Final = 0.1
_SAMPLE_EVERY_S: Final = 5.0
_SAY_EVERY_S: Final = 60.0
_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """How long, how, from which seed, and where monitor.log and events.jsonl go."""

    duration_s: float
    load: Load
    seed: int
    directory: Path

    @property
    def scale(self) -> float:
        """What periods are multiplied by: short soaks do everything more often."""
        return min(1.0, max(_SMALLEST_SCALE, self.duration_s / _UNSCALED_FROM_S))


def soak(plan: SoakPlan, command: Sequence[str], say: Callable[[str], None]) -> bool:
    """Soak until the time is up or SIGINT or SIGTERM comes; return whether the time was up.

    Whatever happens is in the plan's directory afterwards, and nothing of it anywhere else.
    Failures to set up and to clean up are raised; later ones are events. Main thread only.
    """
    plan.directory.mkdir(parents=True, exist_ok=True)
    log = EventLog(plan.directory / EVENTS_FILE)
    with world(plan.directory, plan.seed) as made:
        return _Soak(plan, command, say, made, log).run()


@dataclass(slots=True)
class _Soak:
    plan: SoakPlan
    command: Sequence[str]
    say: Callable[[str], None]
    world: World
    log: EventLog
    stop: threading.Event = field(default_factory=threading.Event)
    watched_enough: threading.Event = field(default_factory=threading.Event)
    interrupted: bool = False
    failed: bool = False

    def run(self) -> bool:
        history = FaultHistory()
        runner = Runner(self.command, self.world.environment(), self.plan.directory, history)
        interval_s = max(0.5, _SAMPLE_EVERY_S * self.plan.scale)
        monitor = Monitor(self.world, runner, history, interval_s)
        watching = self._thread("monitor", lambda: monitor.watch(self.watched_enough))
        self._note(BEGIN, f"{self.plan.load}, seed {self.plan.seed}")
        with (
            contextlib.closing(self.world.service.client()) as client,
            self._hearing_signals(),
        ):
            player = self._player(runner, history, client)
            watching.start()
            try:
                self._play(player, monitor)
                if not (self.interrupted or self.failed):
                    self.say("a last round without faults")
                    self._last_round(player, monitor)
            finally:
                self.watched_enough.set()
                watching.join()
        if not self.failed:
            self._note(END, "interrupted" if self.interrupted else "time is up")
        return not self.interrupted

    def _player(self, runner: Runner, history: FaultHistory, client: Any) -> Player:  # noqa: ANN401
        def rng(salt: str) -> random.Random:
            return random.Random(f"{self.plan.seed}/{salt}")  # noqa: S311 - to be repeated

        faults = Faults(
            self.world, runner, history, self.log, rng("faults"), self.stop, self.plan.scale
        )
        writer = Writer(self.world.data, rng("changes"))
        return Player(self.world, runner, writer, faults, self.log, client, rng("choices"))

    def _play(self, player: Player, monitor: Monitor) -> None:
        deadline = time.monotonic() + self.plan.duration_s
        started = time.monotonic()
        threads = [
            self._thread(lane.value, partial(self._follow, lane, player, started)) for lane in Lane
        ]
        for thread in threads:
            thread.start()
        said = started
        while not self.stop.wait(min(_POLL_S, max(0.0, deadline - time.monotonic()))):
            self._look_after(monitor)
            if time.monotonic() >= deadline:
                break
            if time.monotonic() - said >= _SAY_EVERY_S:
                said = time.monotonic()
                self.say(f"{(said - started) / 60:.0f} min: {self.log.summary}")
        self.stop.set()
        self._wait_for(threads, player.runner)

    def _last_round(self, player: Player, monitor: Monitor) -> None:
        def everything() -> None:
            for activity in ACTIVITIES:
                if activity.final and not self.interrupted:
                    activity.act(player)

        thread = self._thread("last round", everything)
        thread.start()
        self._wait_for([thread], player.runner)
        self._look_after(monitor)

    def _follow(self, lane: Lane, player: Player, started: float) -> None:
        """Do a lane's activities when they are due, until it is time to stop."""
        scale = self.plan.scale
        due = {each: started + each.first_s * scale for each in ACTIVITIES if each.lane is lane}
        while True:
            activity: Activity = min(due, key=lambda each: due[each])
            if self.stop.wait(max(0.0, due[activity] - time.monotonic())):
                return
            activity.act(player)
            elapsed_s = time.monotonic() - started
            pace = 1.0 if lane is Lane.FAULT else self.plan.load.pace(elapsed_s / scale)
            due[activity] = time.monotonic() + activity.every_s * scale / pace

    def _wait_for(self, threads: list[threading.Thread], runner: Runner) -> None:
        """Wait for threads to end by themselves, or after an interruption make them."""
        while any(thread.is_alive() for thread in threads) and not self.interrupted:
            time.sleep(_POLL_S)
        if self.interrupted:
            self.say("interrupted: ending what runs")
            runner.end()
        for thread in threads:
            thread.join()

    def _look_after(self, monitor: Monitor) -> None:
        for name in monitor.dead:
            self._fail(f"{name} ended by itself")

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except Exception:  # noqa: BLE001 - whatever it is, it ends the soak and is reported
                self._fail(f"{name}: {traceback.format_exc()}")

        return threading.Thread(target=guarded, name=name)

    def _fail(self, message: str) -> None:
        self.failed = True
        now = time.time()
        self.log.add(
            Event(
                kind=EventKind.HARNESS,
                name="failure",
                started_s=now,
                ended_s=now,
                expected=False,
                message=message,
            )
        )
        self.stop.set()

    def _note(self, name: str, message: str) -> None:
        now = time.time()
        self.log.add(
            Event(kind=EventKind.HARNESS, name=name, started_s=now, ended_s=now, message=message)
        )

    @contextlib.contextmanager
    def _hearing_signals(self) -> Iterator[None]:
        def hear(*_: object) -> None:
            self.interrupted = True
            self.stop.set()

        heard = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, hear) for number in heard]
        try:
            yield
        finally:
            for number, handler in zip(heard, before, strict=True):
                signal.signal(number, handler)
