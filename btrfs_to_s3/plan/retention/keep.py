"""Keep rules: each names what it keeps; an item may go only when no rule keeps it.

Periods are of UTC and of the items' own snapshot times. An item from the future (the clock was
wrong when it was taken, or is wrong now) is kept and takes no period from the others, so no jump
of a clock can push a good one out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from btrfs_to_s3.model.policy import KeepPolicy

Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class Dated(Generic[Name]):
    """Something a rule can keep. ``order`` grows with every new one, whatever clocks say."""

    name: Name
    time: datetime
    order: int


@dataclass(frozen=True, slots=True)
class _Period:
    """A span of the calendar that every time lies in exactly one of."""

    word: str
    of: Callable[[datetime], Hashable]


_PERIODS = {
    "hourly": _Period("hour", lambda time: (time.date(), time.hour)),
    "daily": _Period("day", lambda time: time.date()),
    "weekly": _Period("week", lambda time: time.isocalendar()[:2]),
    "monthly": _Period("month", lambda time: (time.year, time.month)),
    "yearly": _Period("year", lambda time: time.year),
}


def kept_by_rules(
    items: Iterable[Dated[Name]], policy: KeepPolicy, now: datetime
) -> Mapping[Name, tuple[str, ...]]:
    """The items that some rule keeps, each with the rules that keep it, as short phrases."""
    newest_first = sorted(items, key=lambda item: (item.time, item.order), reverse=True)
    reasons: dict[Name, list[str]] = {}

    def keep(item: Dated[Name], reason: str) -> None:
        reasons.setdefault(item.name, []).append(reason)

    if policy.keeps_everything:
        for item in newest_first:
            keep(item, "no keep rule is set")
    for number, item in enumerate(_last(newest_first, policy.last), start=1):
        keep(item, f"last {number} of {policy.last}")
    past = [(item, item.time.astimezone(UTC)) for item in newest_first if item.time <= now]
    for rule, period in _PERIODS.items():
        count: int = getattr(policy, rule)
        for number, item in enumerate(_newest_of_each(past, period, count), start=1):
            keep(item, f"{rule} {number} of {count} (the newest of its {period.word})")
    for item in newest_first:
        if item.time > now:
            keep(item, "its time lies in the future: a clock is or was wrong")
    return {name: tuple(phrases) for name, phrases in reasons.items()}


def _last(items: Sequence[Dated[Name]], count: int) -> Iterable[Dated[Name]]:
    by_order = sorted(items, key=lambda item: item.order, reverse=True)
    return by_order[:count]


def _newest_of_each(
    newest_first: Iterable[tuple[Dated[Name], datetime]], period: _Period, count: int
) -> Iterable[Dated[Name]]:
    """The newest item of each of the ``count`` most recent periods that contain one.

    Each item comes with its time in UTC.
    """
    found: list[Dated[Name]] = []
    last: Hashable = None
    for item, time in newest_first:
        key = period.of(time)
        if key == last:
            continue
        if len(found) >= count:
            break
        found.append(item)
        last = key
    return found
