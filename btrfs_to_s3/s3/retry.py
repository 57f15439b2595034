"""The one retry policy. botocore's own retries are off; nothing else in the package repeats.

An attempt ends in one of four ways (``Verdict``):

- an answer: returned;
- FINAL: an error that repeating cannot heal: raised after exactly one request;
- TRANSIT: the service works but these bytes were damaged or cut: repeated at most
  ``transit_attempts`` times in this call, never opens the gate;
- OUTAGE: no answer, 5xx or throttling: repeated at most ``attempts`` times while the gate is
  closed. Failures made while the gate is open are not counted against the call: then only the
  gate's patience ends it. So there is one limit at any moment, never a product of two.

An attempt that is broken off, or fails however, while there is an objection to the way to the
service (``Held``) counts nowhere: what answered may have been a modem's portal. It is repeated once
the gate lets it through.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeVar

from btrfs_to_s3.errors import BtrfsToS3Error, InterruptedRunError, UnreachableError
from btrfs_to_s3.s3.gate import in_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from btrfs_to_s3.ports import Cancellation
    from btrfs_to_s3.s3.gate import OutageGate, Pass

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Verdict(Enum):
    """What a failed attempt says about trying again."""

    FINAL = "final"
    TRANSIT = "transit"
    OUTAGE = "outage"


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt, translated. ``retry_after_s`` is what the service asked for, or 0."""

    verdict: Verdict
    error: BtrfsToS3Error
    retry_after_s: float = 0.0


class HeldBackError(UnreachableError):
    """A request was broken off because its way may not be used."""


@dataclass(frozen=True, slots=True)
class Held:
    """An attempt that tells nothing, because its way may not be used."""


class Classifier(Protocol):
    """Turns what the client library raised into a ``Failure``; None for a bug of ours."""

    def __call__(self, error: Exception, operation: str, key: str) -> Failure | None:
        """Translate the error of one attempt of ``operation`` on ``key``."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Attempts per call and the backoff between them, in seconds."""

    attempts: int = 10
    transit_attempts: int = 4
    base_s: float = 0.5
    cap_s: float = 30.0

    def backoff_s(self, failures: int, draw: float) -> float:
        """Full jitter: ``draw`` (0..1) of the exponential bound after ``failures`` ≥ 1 failures.

        (AWS Architecture Blog, "Exponential Backoff And Jitter".)
        """
        return draw * min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, 30))


class Retrier:
    """Runs calls under the policy and the gate. Thread-safe; one per client."""

    __slots__ = ("_classify", "_gate", "_policy", "_random", "_service")

    def __init__(
        self,
        policy: RetryPolicy,
        gate: OutageGate,
        classify: Classifier,
        *,
        random: Callable[[], float],
        service: str,
    ) -> None:
        self._policy = policy
        self._gate = gate
        self._classify = classify
        self._random = random
        self._service = service

    def run(self, operation: str, key: str, attempt: Callable[[int], T], cancel: Cancellation) -> T:
        """Call ``attempt(number)``, from 1, until it succeeds or the error is final.

        Raises the translated error, ``UnreachableError`` when the policy or the patience is
        used up, ``InterruptedRunError`` as soon as ``cancel`` is set.
        """
        number = 0
        counted = {Verdict.OUTAGE: 0, Verdict.TRANSIT: 0}
        last: BtrfsToS3Error | None = None
        while True:
            passed = self._pass(operation, key, cancel, last)
            number += 1
            outcome = self._once(operation, key, attempt, number, passed)
            if isinstance(outcome, Held):
                _log.debug("%s %s: attempt %d was held back", operation, key, number)
                continue
            if not isinstance(outcome, Failure):
                return outcome[0]
            last = outcome.error
            if outcome.verdict is Verdict.FINAL:
                raise last
            gated = outcome.verdict is Verdict.OUTAGE and self._gate.is_open
            if not gated:
                counted[outcome.verdict] += 1
            wait_s = 0.0 if gated else self._next_wait(operation, key, outcome, counted)
            _log.warning(
                "%s %s: attempt %d failed, %s: %s",
                operation,
                key,
                number,
                "waiting at the outage gate" if gated else f"again in {wait_s:.1f} s",
                last,
            )
            if wait_s > 0:
                cancel.wait(wait_s)  # a cancellation is seen at the gate

    def _pass(
        self, operation: str, key: str, cancel: Cancellation, last: BtrfsToS3Error | None
    ) -> Pass:
        passed = self._gate.enter(cancel, fresh=last is None)
        if cancel.is_set():
            if passed is not None:
                self._gate.abandoned(passed)
            raise interrupted(operation, key) from last
        if passed is None:
            raise self._given_up(operation, key, last) from last
        return passed

    def _once(
        self, operation: str, key: str, attempt: Callable[[int], T], number: int, passed: Pass
    ) -> tuple[T] | Failure | Held:
        """One attempt; whatever happens, the gate hears of it exactly once."""
        told = False
        try:
            result = attempt(number)
        except HeldBackError:
            return Held()
        except Exception as error:
            failure = self._classify(error, operation, key)
            if failure is None:
                raise
            if isinstance(failure.error, InterruptedRunError):
                # Ours, from a body that was being sent or read: it says nothing of the service.
                return failure
            if self._gate.objects():
                return Held()
            told = True
            if failure.verdict is Verdict.OUTAGE:
                self._gate.failed(passed, failure.error)
            else:
                self._gate.answered(passed)
            if failure.error is not error:
                failure.error.__cause__ = error
            return failure
        else:
            told = True
            self._gate.answered(passed)
            return (result,)
        finally:
            if not told:
                self._gate.abandoned(passed)

    def _next_wait(
        self, operation: str, key: str, failure: Failure, counted: dict[Verdict, int]
    ) -> float:
        """Seconds before the next attempt; raises when the call has none left."""
        count = counted[failure.verdict]
        transit = failure.verdict is Verdict.TRANSIT
        if count >= (self._policy.transit_attempts if transit else self._policy.attempts):
            _log.error(
                "%s %s: given up after %d attempts: %s", operation, key, count, failure.error
            )
            failure.error.context["attempts"] = count
            raise failure.error
        wanted = min(failure.retry_after_s, self._policy.cap_s)
        return max(wanted, self._policy.backoff_s(count, self._random()))

    def _given_up(self, operation: str, key: str, last: Exception | None) -> UnreachableError:
        held = self._gate.held_back()
        if held is not None:
            objection, held_s = held
            return UnreachableError(
                f"nothing was sent to {self._service} for {in_words(held_s)}: {objection}",
                hint="the work can be resumed by another way; outage_patience sets how long a run "
                "waits, network_interfaces and network_exclude which ways may be used",
                operation=operation,
                key=key,
                outage_s=round(held_s, 1),
            )
        waited_s = self._gate.open_for_s()
        last = last or self._gate.last_error
        return UnreachableError(
            f"{self._service} gave no usable answer for {in_words(waited_s)}"
            + (f"; the last error: {last}" if last is not None else ""),
            hint="the work can be resumed once the service is back; outage_patience sets how "
            "long a run waits",
            operation=operation,
            key=key,
            outage_s=round(waited_s, 1),
        )


def interrupted(operation: str, key: str) -> InterruptedRunError:
    """The error of a call whose cancellation was set."""
    return InterruptedRunError(
        f"interrupted during {operation} {key}", operation=operation, key=key
    )
