"""Whether a new full backup now makes storage and restores together cheaper.

Two courses over a stated time are replayed from what is live now (``plan.simulate``): going on with
the chain, and a full backup now with everything after it built as the policy says. Both pay for
storage, requests and early deletion, and for the expected restores of the newest backup, each in
the cheapest tier (thaw, retrieval, temporary copy, requests and egress). The new full backup is
taken to be as large as the last one. The keep rules free the old chain when they would; backups
that are held stay longer than is reckoned here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.model.identity import Kind
from btrfs_to_s3.plan.backup.estimate import estimate_bytes
from btrfs_to_s3.plan.chain import live_chains
from btrfs_to_s3.plan.cost.rates import Rates, measure
from btrfs_to_s3.plan.cost.restore import cheapest, estimates_of
from btrfs_to_s3.plan.cost.simulate import Replay, Scenario

if TYPE_CHECKING:
    from datetime import datetime

    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.model.policy import ChainPolicy
    from btrfs_to_s3.plan.backup.economy import Economy
    from btrfs_to_s3.plan.cost.cost import Stored

_DAY: Final = timedelta(days=1)
_YEAR: Final = timedelta(days=365)
_PRUNED_EVERY_DAYS: Final = 7
"""Often enough for a year's storage, and a tenth of the time that daily prunes would take."""
_TICK: Final = timedelta(microseconds=1)
_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Course:
    """What one way to go on costs over the horizon.

    ``links`` is how many backups restoring the newest takes after the next run.
    """

    storage: Decimal
    puts: Decimal
    early: Decimal
    restores: Decimal
    links: int

    @property
    def total(self) -> Decimal:
        """All of it."""
        return self.storage + self.puts + self.early + self.restores


@dataclass(frozen=True, slots=True)
class Compaction:
    """The decision, the sentence that says why, and the courses where they were reckoned."""

    worthwhile: bool
    reason: str
    links: int = 0
    go_on: Course | None = None
    anew: Course | None = None


def decide_compaction(
    head: Head | None, policy: ChainPolicy, economy: Economy, now: datetime
) -> Compaction:
    """Whether a full backup now is worth it. Never on figures that lack a price or a size."""
    if head is None or head.newest is None:
        return Compaction(worthwhile=False, reason="there is no backup yet: the first is full")
    try:
        live_chains(head)
    except IntegrityError as error:
        return Compaction(worthwhile=False, reason=f"nothing can be reckoned: {error}")
    full_bytes, seen = estimate_bytes(head, Kind.FULL), measure(head)
    if head.newest.kind is Kind.FULL:
        return Compaction(
            worthwhile=False, reason="the newest backup is full: it is restored by itself", links=1
        )
    if full_bytes is None or seen.daily_bytes is None:
        return Compaction(
            worthwhile=False, reason="the backups do not tell how large a full one would be"
        )
    rates = Rates(full_bytes, seen.daily_bytes, seen.stored_ratio or Decimal(1), seen.every or _DAY)
    days = economy.horizon // _DAY
    scenario = Scenario(rates, policy, economy.keep, economy.form, now, days)
    courses, unpriced = [], frozenset[str]()
    for full in (False, True):
        replay = Replay(economy.prices, scenario, policy.strategy, head)
        links = replay.newest_links
        course, lacking = _course(replay, economy, scenario, full=full)
        courses.append(course)
        unpriced |= lacking
    if unpriced:
        names = ", ".join(sorted(unpriced))
        return Compaction(
            worthwhile=False, reason=f"nothing can be reckoned: no price for {names}", links=links
        )
    go_on, anew = courses
    worthwhile = anew.total < go_on.total
    return Compaction(worthwhile, _reason(economy, links, go_on, anew), links, go_on, anew)


def _course(
    replay: Replay, economy: Economy, scenario: Scenario, *, full: bool
) -> tuple[Course, frozenset[str]]:
    """Replay one course, and what it lacks a price for."""
    costs, storage, restores = _RestoreCosts(economy), Decimal(0), Decimal(0)
    rates, run, links = scenario.rates, scenario.start, 0
    end = scenario.start + scenario.days * _DAY
    for day in range(1, scenario.days + 1):
        last = None
        while run < scenario.start + day * _DAY:
            replay.back_up(run, full=full and not replay.made)
            links = links or replay.newest_links
            # The newest backup is so until the next one is there.
            newest_for = Decimal(min(rates.every, end - run) // _TICK) / (_YEAR // _TICK)
            restores += costs.of(replay.newest) * economy.restores_a_year * newest_for
            last, run = run, run + rates.every
        if last is not None and (day - 1) % _PRUNED_EVERY_DAYS == 0:
            replay.prune(last)
        storage += replay.storage.a_day
    unpriced = replay.storage.unpriced | replay.puts.unpriced | replay.early.unpriced
    course = Course(storage, replay.puts.total, replay.early.total, restores, links)
    return course, unpriced | costs.unpriced


class _RestoreCosts:
    """What restores cost in the cheapest tier, each reckoned once."""

    def __init__(self, economy: Economy) -> None:
        self.unpriced: frozenset[str] = frozenset()
        self._economy = economy
        self._known: dict[tuple[Stored, ...], Decimal] = {}

    def of(self, stored: tuple[Stored, ...]) -> Decimal:
        """Reading these objects back."""
        if stored not in self._known:
            best = cheapest(estimates_of(self._economy.prices, stored, self._economy.line))
            self._known[stored] = best.cost.total
            self.unpriced |= best.cost.unpriced
        return self._known[stored]


def _reason(economy: Economy, links: int, go_on: Course, anew: Course) -> str:
    currency, days = economy.prices.currency, economy.horizon // _DAY
    verdict = "pays" if anew.total < go_on.total else "does not pay"
    return (
        f"a new full backup {verdict}: over {days} days with {economy.restores_a_year} restore(s) "
        f"a year it comes to {_shown(anew)} {currency}, going on with the chain of {links} to "
        f"{_shown(go_on)} {currency} (storage, requests, early deletion, restores; prices of "
        f"{economy.prices.name})"
    )


def _shown(course: Course) -> str:
    parts = (course.storage, course.puts, course.early, course.restores)
    return f"{course.total.quantize(_CENT)} ({' + '.join(str(p.quantize(_CENT)) for p in parts)})"
