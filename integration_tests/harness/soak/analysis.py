"""The verdict on a soak, from `monitor.log` and `events.jsonl`, by criteria that are stated.

| criterion | holds if |
| --- | --- |
| no crash | the soak came to its end, its servers lived, no run ended with 1 or an unasked signal |
| nothing unexpected | every run ended with 0, or as a fault of the same time explains |
| restores identical | every sampled restore equals the snapshot behind it, and there was one |
| everything happened | each activity succeeded at least once, and there was a fault |
| watched throughout | samples from begin to end without a gap of more than `MAXIMUM_GAP_S` |
| ... flat | the median of the last third is within a bound of the first third's, see `BOUNDS` |

Before thirds are made, the first tenth is left out: caches and pools fill then. The median forgives
single peaks and still sees any steady growth that matters.
"""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from integration_tests.harness.soak.events import (
    BEGIN,
    END,
    EVENTS_FILE,
    Event,
    EventKind,
    read_events,
)
from integration_tests.harness.soak.monitor import MONITOR_FILE, Sample, read_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

REQUIRED: Final = ("change", "backup", "prune", "verify quick", "verify data", "restore")
MAXIMUM_GAP_S: Final = 60.0
_MINIMUM_SAMPLES: Final = 6
_WARM_UP_SHARE: Final = 0.1
_BUG: Final = 1
_MIB: Final = 1024**2


class AnalysisError(Exception):
    """A directory holds no soak's records, or they cannot be read."""


@dataclass(frozen=True, slots=True)
class Bound:
    """How much the last third may exceed the first: by a share of it, and by a fixed amount."""

    name: str
    unit: str
    share: float
    slack: float
    of: Callable[[Sample], float | None]


BOUNDS: Final = (
    Bound("memory of the program", "MiB", 0.25, 32, lambda one: _mib(one.program_rss_bytes)),
    Bound("memory of the soak", "MiB", 0.15, 24, lambda one: _mib(one.soak_rss_bytes)),
    Bound("memory of the service", "MiB", 0.25, 256, lambda one: _mib(one.service_rss_bytes)),
    Bound("descriptors of the program", "", 0.1, 8, lambda one: one.program_descriptors),
    Bound("descriptors of the soak", "", 0.1, 8, lambda one: one.soak_descriptors),
    Bound("threads of the program", "", 0.1, 6, lambda one: one.program_threads),
    Bound("threads of the soak", "", 0.1, 4, lambda one: one.soak_threads),
    Bound("objects in the bucket", "", 0.5, 200, lambda one: one.object_count),
    Bound("bytes in the bucket", "MiB", 0.5, 128, lambda one: _mib(one.object_bytes)),
)


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that must hold, and what was found."""

    name: str
    passed: bool
    found: str


@dataclass(frozen=True)
class Analysis:
    """What happened in one soak, and what is to be thought of it."""

    samples: Sequence[Sample]
    events: Sequence[Event]

    @cached_property
    def criteria(self) -> tuple[Criterion, ...]:
        """All criteria, with what was found for each."""
        return (
            self._no_crash(),
            self._nothing_unexpected(),
            self._restores_identical(),
            self._everything_happened(),
            self._watched(),
            *(self._flat(bound) for bound in BOUNDS),
        )

    @property
    def passed(self) -> bool:
        """Whether every criterion holds."""
        return all(criterion.passed for criterion in self.criteria)

    @property
    def seconds(self) -> float:
        """From the first event to the last one's end."""
        if not self.events:
            return 0.0
        first = min(event.started_s for event in self.events)
        return max(event.ended_s for event in self.events) - first

    @property
    def end(self) -> str:
        """How it ended: `time is up`, `interrupted`, or empty if it never did."""
        return next((each.message for each in self._harness if each.name == END), "")

    @cached_property
    def runs(self) -> list[Event]:
        """Everything the soak did itself, in order of its start."""
        found = [each for each in self.events if each.kind is EventKind.ACTIVITY]
        return sorted(found, key=lambda event: event.started_s)

    @cached_property
    def faults(self) -> list[Event]:
        """Everything that was made to go wrong."""
        return [each for each in self.events if each.kind is EventKind.FAULT]

    @cached_property
    def _harness(self) -> list[Event]:
        return [each for each in self.events if each.kind is EventKind.HARNESS]

    def _no_crash(self) -> Criterion:
        crashes = [each.message for each in self._harness if not each.expected]
        crashes += [
            f"{each.name} ended with {each.exit_code}: {each.message}"
            for each in self.runs
            if not each.expected
            and each.exit_code is not None
            and (each.exit_code < 0 or each.exit_code == _BUG)
        ]
        names = {each.name for each in self._harness}
        if BEGIN not in names or END not in names:
            crashes.append("the soak did not come to its end")
        return Criterion("no crash", not crashes, _listed(crashes) or "none")

    def _nothing_unexpected(self) -> Criterion:
        wrong = [
            f"{each.name} ended with {each.exit_code}: {each.message}"
            for each in self.events
            if not each.expected
        ]
        explained = sum(each.exit_code not in {0, None} for each in self.runs) - sum(
            each.exit_code not in {0, None} for each in self.runs if not each.expected
        )
        found = _listed(wrong) or f"none; {explained} failures that faults explain"
        return Criterion("nothing unexpected", not wrong, found)

    def _restores_identical(self) -> Criterion:
        compared = [each for each in self.runs if each.identical is not None]
        differing = [each.message for each in compared if not each.identical]
        found = _listed(differing) or f"{len(compared)} compared"
        return Criterion("restores identical", bool(compared) and not differing, found)

    def _everything_happened(self) -> Criterion:
        done = Counter(each.name for each in self.runs if each.succeeded)
        missing = [name for name in REQUIRED if not done[name]]
        if not self.faults:
            missing.append("a fault")
        counts = ", ".join(f"{done[name]} {name}" for name in sorted(done))
        found = f"never: {', '.join(missing)}" if missing else counts
        return Criterion("everything happened", not missing, found)

    def _watched(self) -> Criterion:
        times = [sample.time_s for sample in self.samples]
        if len(times) < _MINIMUM_SAMPLES or not self.events:
            found = f"{len(times)} samples: too few to judge"
            return Criterion("watched throughout", passed=False, found=found)
        first = min(event.started_s for event in self.events)
        last = max(event.ended_s for event in self.events)
        marks = [first, *sorted(times), last]
        gap = max(after - before for before, after in itertools.pairwise(marks))
        found = f"{len(times)} samples, at most {gap:.1f} s apart"
        return Criterion("watched throughout", gap <= MAXIMUM_GAP_S, found)

    def _flat(self, bound: Bound) -> Criterion:
        name = f"{bound.name} flat"
        thirds = first_and_last([bound.of(sample) for sample in self.samples])
        if thirds is None:
            return Criterion(name, passed=False, found="too few samples to judge")
        first, last = thirds
        limit = first * (1 + bound.share) + bound.slack
        found = f"{first:,.0f} then {last:,.0f} {bound.unit}".rstrip()
        found += f"; allowed {limit:,.0f}"
        return Criterion(name, last <= limit, found)


def analyze(directory: Path) -> Analysis:
    """Read a soak's records; AnalysisError if they are not there or are damaged."""
    try:
        samples = read_samples(directory / MONITOR_FILE)
        events = read_events(directory / EVENTS_FILE)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise AnalysisError(f"{directory} holds no readable records of a soak: {error}") from error
    return Analysis(samples, events)


def first_and_last(values: Sequence[float | None]) -> tuple[float, float] | None:
    """The medians of the first and of the last third, after the warm-up; None if too few."""
    known = [value for value in values[int(len(values) * _WARM_UP_SHARE) :] if value is not None]
    third = len(known) // 3
    if third == 0:
        return None
    return statistics.median(known[:third]), statistics.median(known[-third:])


def _mib(size_bytes: int | None) -> float | None:
    return None if size_bytes is None else size_bytes / _MIB


def _listed(messages: Sequence[str]) -> str:
    shown = "\n".join(messages[:10])
    more = len(messages) - 10
    return f"{shown}\n(and {more} more)" if more > 0 else shown
