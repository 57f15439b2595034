"""The gate while the way to the service may not be used: nothing passes, nothing is counted."""

from __future__ import annotations

import pytest

from btrfs_to_s3.errors import AccessDeniedError, RepositoryError, UnreachableError
from btrfs_to_s3.s3.gate import GateSettings, OutageGate, Pass
from btrfs_to_s3.s3.retry import Failure, HeldBackError, Retrier, RetryPolicy, Verdict
from tests.s3.fakes import BY_MODEM, FakeTime, FakeWay

SETTINGS = GateSettings(threshold=3, probe_base_s=2.0, patience_s=600.0, first_patience_s=60.0)
DOWN = ConnectionError("down")


def gate(time: FakeTime, way: FakeWay, settings: GateSettings = SETTINGS) -> OutageGate:
    return OutageGate(settings, clock=time.clock, random=lambda: 1.0, way=way)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_everybody_waits_and_goes_on_within_a_second_of_the_change() -> None:
    way, time = FakeWay(BY_MODEM), FakeTime()
    made = gate(time, way)
    time.on_wait = way.opens_after(7)
    assert made.enter(time, fresh=True) is Pass.NORMAL
    assert time.waits == [1.0] * 7


def test_nobody_passes_as_a_probe_either() -> None:
    way, time = FakeWay(), FakeTime()
    made = gate(time, way)
    for _ in range(3):
        made.failed(Pass.NORMAL, DOWN)
    way.why_not = BY_MODEM
    started = time.now
    assert made.enter(time, fresh=False) is None
    assert time.now - started == 600.0


def test_the_patience_is_that_of_an_outage_also_before_the_first_answer() -> None:
    time = FakeTime()
    made = gate(time, FakeWay(BY_MODEM))
    started = time.now
    assert made.enter(time, fresh=True) is None
    assert time.now - started == 600.0
    assert made.held_back() == (BY_MODEM, 600.0)


def test_a_call_that_begins_after_the_patience_is_not_tried_at_all() -> None:
    time = FakeTime()
    made = gate(time, FakeWay(BY_MODEM))
    made.enter(time, fresh=True)
    time.waits.clear()
    assert made.enter(time, fresh=True) is None
    assert time.waits == []


def test_an_outage_before_it_is_forgotten() -> None:
    way, time = FakeWay(), FakeTime()
    made = gate(time, way)
    made.answered(Pass.NORMAL)
    for _ in range(3):
        made.failed(Pass.NORMAL, DOWN)
    assert made.is_open
    time.now += 599.0
    way.why_not = BY_MODEM
    time.on_wait = way.opens_after(100)
    assert made.enter(time, fresh=False) is Pass.NORMAL
    assert not made.is_open


def test_waiting_ends_at_once_on_cancellation() -> None:
    time = FakeTime(on_wait=FakeTime.cancel)
    assert gate(time, FakeWay(BY_MODEM)).enter(time, fresh=True) is None
    assert len(time.waits) == 1


def test_it_is_told_once_each_way(caplog: pytest.LogCaptureFixture) -> None:
    way, time = FakeWay(BY_MODEM), FakeTime()
    made = gate(time, way)
    time.on_wait = way.opens_after(90)
    made.enter(time, fresh=True)
    made.enter(time, fresh=True)
    assert told(caplog) == [
        f"nothing is sent: {BY_MODEM}; waiting up to 10 min 0 s",
        "the service is reached by a way that may be used, after 1 min 30 s",
    ]


def classify(error: Exception, operation: str, key: str) -> Failure:  # noqa: ARG001 - a Classifier
    assert isinstance(error, RepositoryError)
    outage = isinstance(error, UnreachableError)
    return Failure(Verdict.OUTAGE if outage else Verdict.FINAL, error)


def retrier(gate: OutageGate, attempts: int = 2) -> Retrier:
    policy = RetryPolicy(attempts=attempts, base_s=0.1)
    return Retrier(policy, gate, classify, random=lambda: 1.0, service="the service")


@pytest.mark.parametrize(
    "error",
    [HeldBackError("cut"), UnreachableError("no connection"), AccessDeniedError("log in here")],
)
def test_what_fails_while_the_way_is_closed_costs_no_attempt(error: RepositoryError) -> None:
    way, time = FakeWay(), FakeTime()
    numbers: list[int] = []

    def attempt(number: int) -> str:
        numbers.append(number)
        if number <= 20:
            time.waits.clear()
            way.why_not, time.on_wait = BY_MODEM, way.opens_after(2)
            raise error
        return "done"

    made = gate(time, way)
    assert retrier(made).run("PutObject", "k", attempt, time) == "done"
    assert numbers == list(range(1, 22))
    assert not made.is_open


def test_after_the_patience_the_error_says_why_and_that_the_work_can_go_on() -> None:
    time = FakeTime()
    made = gate(time, FakeWay(BY_MODEM))
    with pytest.raises(UnreachableError) as caught:
        retrier(made).run("PutObject", "k", lambda _: pytest.fail("it was sent"), time)
    assert str(caught.value) == f"nothing was sent to the service for 10 min 0 s: {BY_MODEM}"
    assert "resumed" in str(caught.value.hint)
    assert caught.value.exit_code == 4
