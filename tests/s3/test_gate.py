"""The outage gate: opens on a run of failures, one probe at a time, never hangs, gives up."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from btrfs_to_s3.s3.gate import GateSettings, OutageGate, Pass
from tests.s3.fakes import FakeTime

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = GateSettings(
    threshold=3, probe_base_s=2.0, probe_cap_s=20.0, patience_s=600.0, first_patience_s=600.0
)
DOWN = ConnectionError("down")


def gate(time: FakeTime, settings: GateSettings = SETTINGS, draw: float = 1.0) -> OutageGate:
    return OutageGate(settings, clock=time.clock, random=lambda: draw)


def opened(time: FakeTime, settings: GateSettings = SETTINGS) -> OutageGate:
    made = gate(time, settings)
    for _ in range(settings.threshold):
        assert made.enter(time, fresh=True) is Pass.NORMAL
        made.failed(Pass.NORMAL, DOWN)
    assert made.is_open
    return made


def test_it_opens_only_after_failures_in_a_row() -> None:
    time = FakeTime()
    made = gate(time)
    for _ in range(5):
        made.failed(Pass.NORMAL, DOWN)
        made.failed(Pass.NORMAL, DOWN)
        made.answered(Pass.NORMAL)
    assert not made.is_open
    assert time.waits == []


def test_a_closed_gate_lets_everyone_pass_at_once() -> None:
    time = FakeTime()
    made = gate(time)
    assert [made.enter(time, fresh=True) for _ in range(20)] == [Pass.NORMAL] * 20
    assert time.waits == []


def test_an_open_gate_lets_one_probe_through_after_a_pause() -> None:
    time = FakeTime()
    made = opened(time)
    before = time.now
    assert made.enter(time, fresh=False) is Pass.PROBE
    assert time.now - before == 2.0


def test_others_wait_while_a_probe_is_under_way_and_go_on_when_it_succeeds() -> None:
    def finish_probe(time: FakeTime) -> None:
        if len(time.waits) == 5:
            made.answered(Pass.PROBE)

    time = FakeTime()
    made = opened(time)
    assert made.enter(time, fresh=False) is Pass.PROBE
    time.waits.clear()
    time.on_wait = finish_probe
    assert made.enter(time, fresh=False) is Pass.NORMAL
    assert len(time.waits) == 5


def test_probes_come_at_growing_intervals_up_to_the_cap() -> None:
    time = FakeTime()
    made = opened(time)
    gaps = []
    for _ in range(6):
        before = time.now
        assert made.enter(time, fresh=False) is Pass.PROBE
        gaps.append(time.now - before)
        made.failed(Pass.PROBE, DOWN)
    assert gaps == [2, 4, 8, 16, 20, 20]


def test_a_probe_that_tells_nothing_hands_the_turn_on() -> None:
    time = FakeTime()
    made = opened(time)
    assert made.enter(time, fresh=False) is Pass.PROBE
    made.abandoned(Pass.PROBE)
    assert made.enter(time, fresh=False) is Pass.PROBE


def test_failures_of_attempts_begun_before_it_opened_do_not_put_off_the_probe() -> None:
    time = FakeTime()
    made = opened(time)
    for _ in range(10):
        made.failed(Pass.NORMAL, DOWN)
    before = time.now
    made.enter(time, fresh=False)
    assert time.now - before == 2.0


def test_success_of_an_attempt_begun_before_it_opened_closes_it() -> None:
    time = FakeTime()
    made = opened(time)
    made.answered(Pass.NORMAL)
    assert not made.is_open


def test_it_gives_up_when_the_patience_is_over() -> None:
    time = FakeTime()
    made = opened(time)
    started = time.now
    while made.enter(time, fresh=False) is Pass.PROBE:
        made.failed(Pass.PROBE, DOWN)
    assert 600.0 <= time.now - started < 621.0
    assert made.open_for_s() >= 600.0
    assert made.last_error is DOWN


def test_a_call_that_begins_after_the_patience_may_try_once() -> None:
    time = FakeTime()
    made = opened(time)
    time.now += 601.0
    assert made.enter(time, fresh=False) is None
    assert made.enter(time, fresh=True) is Pass.PROBE
    made.failed(Pass.PROBE, DOWN)
    assert made.enter(time, fresh=False) is None
    assert made.enter(time, fresh=True) is Pass.PROBE
    made.answered(Pass.PROBE)
    assert made.enter(time, fresh=False) is Pass.NORMAL


def test_a_call_that_waited_through_the_patience_gives_up_untried() -> None:
    time = FakeTime()
    made = opened(time)
    assert made.enter(time, fresh=False) is Pass.PROBE  # and it never comes back
    assert made.enter(time, fresh=True) is None


def test_patience_is_short_until_the_service_has_answered_once() -> None:
    settings = GateSettings(threshold=3, patience_s=3600.0, first_patience_s=50.0)
    time = FakeTime()
    never = opened(time, settings)
    time.now += 51.0
    assert never.enter(time, fresh=False) is None
    once = gate(time, settings)
    once.answered(Pass.NORMAL)
    for _ in range(3):
        once.failed(Pass.NORMAL, DOWN)
    time.now += 51.0
    assert once.enter(time, fresh=False) is Pass.PROBE


def test_waiting_ends_at_once_on_cancellation() -> None:
    time = FakeTime(on_wait=FakeTime.cancel)
    made = opened(time)
    assert made.enter(time, fresh=False) is None
    assert len(time.waits) == 1


@given(draw=st.floats(0, 1, exclude_max=True), probes=st.integers(0, 200))
def test_a_probe_never_comes_early_nor_later_than_its_bound(draw: float, probes: int) -> None:
    time = FakeTime()
    made = gate(time, draw=draw)
    for _ in range(3):
        made.failed(Pass.NORMAL, DOWN)
    for number in range(probes):
        before = time.now
        if made.enter(time, fresh=False) is None:
            return
        bound = min(20.0, 2.0 * 2 ** min(number, 30))
        assert bound / 2 - 1e-6 <= time.now - before <= bound + 1e-6
        made.failed(Pass.PROBE, DOWN)


class GateMachine(RuleBasedStateMachine):
    """Any order of entering, failing, succeeding and time passing."""

    def __init__(self) -> None:
        super().__init__()
        self.time = FakeTime()
        self.gate = gate(self.time)
        self.passes: list[Pass] = []
        self.failures = 0

    def enter(self, *, fresh: bool) -> None:
        """Enter, but give up at the first wait, so that no rule blocks."""
        impatient = FakeTime(on_wait=FakeTime.cancel)
        was_open = self.gate.is_open
        passed = self.gate.enter(impatient, fresh=fresh)
        assert was_open or passed is Pass.NORMAL
        if passed is not None:
            self.passes.append(passed)

    @rule(fresh=st.booleans())
    def somebody_enters(self, fresh: bool) -> None:
        self.enter(fresh=fresh)

    @rule(seconds=st.floats(0, 700))
    def time_passes(self, seconds: float) -> None:
        self.time.now += seconds

    @precondition(lambda self: self.passes)
    @rule(data=st.data(), how=st.sampled_from(["answered", "failed", "abandoned"]))
    def an_attempt_ends(self, data: st.DataObject, how: str) -> None:
        index = data.draw(st.integers(0, len(self.passes) - 1))
        passed = self.passes.pop(index)
        was_open = self.gate.is_open
        if how == "failed":
            self.failures += 1
            self.gate.failed(passed, DOWN)
        elif how == "answered":
            self.failures = 0
            self.gate.answered(passed)
            assert not self.gate.is_open
        else:
            self.gate.abandoned(passed)
            assert self.gate.is_open == was_open

    @invariant()
    def one_probe_at_a_time(self) -> None:
        assert self.passes.count(Pass.PROBE) <= 1

    @invariant()
    def open_means_enough_failures(self) -> None:
        assert not self.gate.is_open or self.failures >= SETTINGS.threshold

    @invariant()
    def nobody_is_held_for_ever(self) -> None:
        """With no attempt under way, the next one soon gets through or is told to give up."""
        if not self.passes:
            copy = FakeTime(
                on_wait=lambda t: setattr(self.time, "now", self.time.now + t.waits[-1])
            )
            passed = self.gate.enter(copy, fresh=False)
            assert len(copy.waits) <= 25
            if passed is not None:
                self.passes.append(passed)


TestGateMachine = GateMachine.TestCase
TestGateMachine.settings = hypothesis_settings(max_examples=40, stateful_step_count=30)


def test_threads_pause_together_and_none_is_left_behind() -> None:
    time = FakeTime()
    # Every waiter turns the clock on, so that a probe may seem to take very long.
    made = gate(time, replace(SETTINGS, patience_s=1e9, first_patience_s=1e9))
    down_until = 1500.0
    under_way = threading.Semaphore(0)
    probing: list[int] = []
    lock = threading.Lock()
    overlaps: list[int] = []
    done: list[int] = []

    def work(number: int) -> None:
        while True:
            passed = made.enter(time, fresh=False)
            assert passed is not None
            if passed is Pass.PROBE:
                with lock:
                    probing.append(number)
                    overlaps.append(len(probing))
            failing = time.clock() < down_until
            if passed is Pass.PROBE:
                with lock:
                    probing.remove(number)
            if not failing:
                made.answered(passed)
                with lock:
                    done.append(number)
                under_way.release()
                return
            made.failed(passed, DOWN)

    _run([partial(work, number) for number in range(8)])
    assert sorted(done) == list(range(8))
    assert set(overlaps) == {1}


def _run(jobs: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        if thread.is_alive():
            pytest.fail("a worker hangs")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_service_that_never_answered_is_told_of_at_its_first_failure_and_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = opened(FakeTime())
    assert made.is_open
    assert told(caplog) == ["no usable answer: down; waiting up to 10 min 0 s for the service"]


def test_a_service_that_answered_before_is_told_of_when_it_is_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    time = FakeTime()
    made = gate(time, GateSettings(threshold=3, patience_s=7200, first_patience_s=60))
    made.answered(Pass.NORMAL)
    made.failed(Pass.NORMAL, DOWN)
    made.failed(Pass.NORMAL, DOWN)
    assert told(caplog) == []
    made.failed(Pass.NORMAL, DOWN)
    assert told(caplog) == ["no usable answer: down; waiting up to 2 h 0 min for the service"]
    time.now += 90
    made.answered(Pass.PROBE)
    assert told(caplog)[1:] == ["the service answers after 1 min 30 s"]
    made.failed(Pass.NORMAL, DOWN)
    assert len(told(caplog)) == 2


def test_nothing_is_told_where_nothing_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    made = gate(FakeTime(), GateSettings(threshold=1, patience_s=0))
    made.failed(Pass.NORMAL, DOWN)
    assert told(caplog) == []
