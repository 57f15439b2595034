"""The retry policy: what is repeated, how often, after how long; and what never is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.errors import (
    AccessDeniedError,
    BtrfsToS3Error,
    IntegrityError,
    InterruptedRunError,
    UnreachableError,
)
from btrfs_to_s3.s3.gate import GateSettings, OutageGate
from btrfs_to_s3.s3.retry import Failure, Retrier, RetryPolicy, Verdict
from tests.s3.fakes import FakeTime

POLICY = RetryPolicy(attempts=5, transit_attempts=3, base_s=1.0, cap_s=8.0)
NEVER_OPENS = GateSettings(threshold=10**9)


class Trouble(Exception):  # noqa: N818 - stands for whatever the library raises
    """What the pretended library raises, with its verdict and what the service asked for."""

    def __init__(self, verdict: Verdict | None, retry_after_s: float = 0.0) -> None:
        super().__init__("trouble")
        self.verdict = verdict
        self.retry_after_s = retry_after_s


def classify(error: Exception, operation: str, key: str) -> Failure | None:
    if isinstance(error, InterruptedRunError):
        return Failure(Verdict.FINAL, error)
    assert isinstance(error, Trouble)
    kinds: dict[Verdict, type[BtrfsToS3Error]] = {
        Verdict.FINAL: AccessDeniedError,
        Verdict.TRANSIT: IntegrityError,
        Verdict.OUTAGE: UnreachableError,
    }
    if error.verdict is None:
        return None
    text = f"{operation} {key}: {error}"
    return Failure(error.verdict, kinds[error.verdict](text), error.retry_after_s)


class Script:
    """An attempt that fails as told, then succeeds; remembers the numbers it was given."""

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = list(troubles)
        self.numbers: list[int] = []

    def __call__(self, number: int) -> str:
        self.numbers.append(number)
        if self.troubles:
            raise self.troubles.pop(0)
        return "done"


def retrier(
    time: FakeTime, gate: GateSettings = NEVER_OPENS, draw: float = 1.0
) -> tuple[Retrier, OutageGate]:
    made = OutageGate(gate, clock=time.clock, random=lambda: draw)
    return Retrier(POLICY, made, classify, random=lambda: draw, service="the service"), made


def outages(count: int) -> list[Trouble]:
    return [Trouble(Verdict.OUTAGE) for _ in range(count)]


def test_success_takes_one_attempt_and_no_wait() -> None:
    time = FakeTime()
    script = Script()
    assert retrier(time)[0].run("Put", "k", script, time) == "done"
    assert (script.numbers, time.waits) == ([1], [])


def test_what_cannot_heal_is_tried_exactly_once() -> None:
    time = FakeTime()
    script = Script(Trouble(Verdict.FINAL))
    with pytest.raises(AccessDeniedError) as caught:
        retrier(time)[0].run("Put", "k", script, time)
    assert (script.numbers, time.waits) == ([1], [])
    assert isinstance(caught.value.__cause__, Trouble)


def test_waits_double_up_to_the_cap() -> None:
    time = FakeTime()
    policy = RetryPolicy(attempts=7, base_s=1.0, cap_s=8.0)
    gate = OutageGate(NEVER_OPENS, clock=time.clock, random=lambda: 1.0)
    made = Retrier(policy, gate, classify, random=lambda: 1.0, service="s")
    assert made.run("Put", "k", Script(*outages(6)), time) == "done"
    assert time.waits == [1, 2, 4, 8, 8, 8]


def test_attempts_are_limited_and_the_last_error_is_told() -> None:
    time = FakeTime()
    script = Script(*outages(99))
    with pytest.raises(UnreachableError, match="Put k: trouble") as caught:
        retrier(time)[0].run("Put", "k", script, time)
    assert script.numbers == [1, 2, 3, 4, 5]
    assert caught.value.context["attempts"] == 5


def test_damage_on_the_way_has_a_limit_of_its_own_and_never_opens_the_gate() -> None:
    time = FakeTime()
    made, gate = retrier(time, GateSettings(threshold=1))
    script = Script(*(Trouble(Verdict.TRANSIT) for _ in range(99)))
    with pytest.raises(IntegrityError):
        made.run("Put", "k", script, time)
    assert script.numbers == [1, 2, 3]
    assert not gate.is_open


def test_the_wait_the_service_asks_for_is_kept_within_the_cap() -> None:
    time = FakeTime()
    troubles = [Trouble(Verdict.OUTAGE, retry_after_s=5), Trouble(Verdict.OUTAGE, 3600)]
    retrier(time, draw=0.0)[0].run("Put", "k", Script(*troubles), time)
    assert time.waits == [5, 8]


def test_attempts_while_the_gate_is_open_are_not_counted() -> None:
    time = FakeTime()
    made, _ = retrier(time, GateSettings(threshold=3, probe_cap_s=4.0, first_patience_s=3600.0))
    script = Script(*outages(100))
    assert made.run("Put", "k", script, time) == "done"
    assert len(script.numbers) == 101


def test_an_outage_ends_after_the_patience_naming_its_length_and_last_error() -> None:
    time = FakeTime()
    gate = GateSettings(threshold=3, patience_s=3600.0, first_patience_s=3600.0)
    made, _ = retrier(time, gate)
    started = time.now
    with pytest.raises(
        UnreachableError, match=r"the service gave no usable answer for 1 h 0 min.*Put k: trouble"
    ) as caught:
        made.run("Put", "k", Script(*outages(10_000)), time)
    assert 3600 <= time.now - started < 3700
    assert caught.value.hint is not None


def test_an_error_about_the_request_closes_the_gate() -> None:
    time = FakeTime()
    made, gate = retrier(time, GateSettings(threshold=2))
    with pytest.raises(AccessDeniedError):
        made.run("Put", "k", Script(*outages(3), Trouble(Verdict.FINAL)), time)
    assert not gate.is_open


def test_a_bug_comes_out_as_it_is_and_frees_the_probe() -> None:
    time = FakeTime()
    made, gate = retrier(time, GateSettings(threshold=1))
    with pytest.raises(Trouble):
        made.run("Put", "k", Script(*outages(1), Trouble(None)), time)
    assert gate.is_open
    assert made.run("Put", "k", Script(), time) == "done"


def test_an_interruption_from_within_frees_the_probe_and_opens_nothing() -> None:
    time = FakeTime()
    made, gate = retrier(time, GateSettings(threshold=1))
    with pytest.raises(InterruptedRunError):
        made.run("Put", "k", Script(*outages(1), InterruptedRunError("stop")), time)
    assert gate.is_open
    assert made.run("Put", "k", Script(), time) == "done"


def test_even_a_keyboard_interrupt_frees_the_probe() -> None:
    def interrupted(_: int) -> str:
        raise KeyboardInterrupt

    time = FakeTime()
    made, gate = retrier(time, GateSettings(threshold=1))
    with pytest.raises(KeyboardInterrupt):
        made.run("Put", "k", lambda n: interrupted(n) if n > 1 else Script(*outages(1))(n), time)
    assert gate.is_open
    assert made.run("Put", "k", Script(), time) == "done"


def test_a_wait_ends_when_cancelled() -> None:
    time = FakeTime(on_wait=FakeTime.cancel)
    script = Script(*outages(9))
    with pytest.raises(InterruptedRunError) as caught:
        retrier(time)[0].run("Put", "k", script, time)
    assert script.numbers == [1]
    assert isinstance(caught.value.__cause__, UnreachableError)


def test_nothing_is_begun_after_cancellation() -> None:
    time = FakeTime()
    time.cancel()
    script = Script()
    with pytest.raises(InterruptedRunError):
        retrier(time)[0].run("Put", "k", script, time)
    assert script.numbers == []


@given(failures=st.integers(1, 10_000), draw=st.floats(0, 1))
def test_a_backoff_is_between_zero_and_its_bound(failures: int, draw: float) -> None:
    wait = POLICY.backoff_s(failures, draw)
    assert 0 <= wait <= min(POLICY.cap_s, POLICY.base_s * 2.0 ** min(failures - 1, 1000))


def test_the_jitter_is_full() -> None:
    assert [POLICY.backoff_s(3, draw) for draw in (0.0, 0.25, 1.0)] == [0.0, 1.0, 4.0]


@given(
    verdicts=st.lists(st.sampled_from(list(Verdict)), max_size=40),
    threshold=st.integers(1, 8),
    draw=st.floats(0, 1),
)
def test_any_run_of_trouble_ends_within_its_limits(
    verdicts: list[Verdict], threshold: int, draw: float
) -> None:
    time = FakeTime()
    made, _ = retrier(time, GateSettings(threshold=threshold, first_patience_s=3600.0), draw)
    script = Script(*(Trouble(verdict) for verdict in verdicts))
    try:
        made.run("Put", "k", script, time)
        assert Verdict.FINAL not in verdicts
        assert verdicts.count(Verdict.TRANSIT) < POLICY.transit_attempts
        assert len(script.numbers) == len(verdicts) + 1
    except AccessDeniedError:
        assert verdicts[len(script.numbers) - 1] is Verdict.FINAL
    except IntegrityError:
        tried = verdicts[: len(script.numbers)]
        assert tried.count(Verdict.TRANSIT) == POLICY.transit_attempts
    except UnreachableError:
        tried = verdicts[: len(script.numbers)]
        assert tried.count(Verdict.OUTAGE) >= POLICY.attempts
