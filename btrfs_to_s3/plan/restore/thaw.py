"""What making a chain readable takes: objects, hours, money, days and disk.

Pure: from the states of the chunks, a price list and a rate of download.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.model.storage_class import ThawTime, Tier, storage_class
from btrfs_to_s3.plan.cost.cost import ReadCost, Reading, Stored, common_tiers, read_cost
from btrfs_to_s3.plan.cost.restore import ASSUMED_BYTES_PER_S, DOWNLOAD_MARGIN, days_for
from btrfs_to_s3.plan.restore.thaw_state import ThawState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.model.prices import PriceList
    from btrfs_to_s3.model.storage_class import StorageClass
    from btrfs_to_s3.plan.restore.thaw_state import Group, LinkThaw

_LEAST_LEFT: Final = timedelta(hours=1)
_CENT, _SMALLEST = Decimal("0.01"), Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast data is expected to come, and how that is known."""

    bytes_per_s: float
    origin: str

    def takes(self, size_bytes: int) -> timedelta:
        """The time a download of so much takes."""
        return timedelta(seconds=size_bytes / self.bytes_per_s)


def download_rate(measured_bytes_per_s: float | None, limit_bytes_per_s: int | None) -> Rate:
    """The rate of the last restore, else an assumption; never more than the limit."""
    if measured_bytes_per_s is not None and measured_bytes_per_s > 0:
        rate = Rate(measured_bytes_per_s, "measured by the last restore")
    else:
        rate = Rate(ASSUMED_BYTES_PER_S, "assumed: no restore was measured here yet")
    if limit_bytes_per_s is not None and limit_bytes_per_s < rate.bytes_per_s:
        return Rate(limit_bytes_per_s, "bandwidth_limit")
    return rate


def lasts(until: datetime | None, now: datetime, download: timedelta) -> bool:
    """Whether copies stay long enough to begin a download now."""
    return until is None or until - now >= download * DOWNLOAD_MARGIN + _LEAST_LEFT


@dataclass(frozen=True, slots=True)
class Asked:
    """When this machine asked for what was frozen of a backup, and how."""

    time: datetime
    tier: Tier
    days: int


@dataclass(frozen=True, slots=True)
class TierPlan:
    """What one tier means: how long the thaw takes, the days its copies stay, what it costs.

    ``tier`` is None where nothing has to be thawed.
    """

    tier: Tier | None
    time: ThawTime
    days: int
    cost: ReadCost | None


@dataclass(frozen=True, slots=True)
class ThawPlan:
    """What is needed and what it takes, by tier; links as they are received, oldest first.

    ``tiers`` are those that every archived class of the links has, or one without a tier where
    nothing is frozen; ``chosen`` is that of ``tier``, which was asked for. ``expected`` is when
    all will be readable at the latest, None where a thaw must be requested first or all is
    readable.
    """

    links: tuple[LinkThaw, ...]
    tier: Tier
    tiers: tuple[TierPlan, ...]
    chosen: TierPlan
    rate: Rate
    expected: datetime | None

    @property
    def object_count(self) -> int:
        """All objects to download."""
        return sum(link.object_count for link in self.links)

    @property
    def stored_size_bytes(self) -> int:
        """All bytes to download."""
        return sum(link.stored_size_bytes for link in self.links)

    @property
    def peak_disk_bytes(self) -> int:
        """What receiving all links takes at the target at most: older ones go only at the end."""
        return sum(link.raw_size_bytes for link in self.links)

    @property
    def ready(self) -> bool:
        """Whether everything can be read now."""
        return all(link.ready for link in self.links)

    def count(self, *states: ThawState) -> int:
        """Objects in these states."""
        return sum(link.count(*states) for link in self.links)

    def size_bytes(self, *states: ThawState) -> int:
        """Bytes in these states."""
        groups = (group for link in self.links for group in link.of_state(*states))
        return sum(group.size_bytes for group in groups)

    @property
    def download_time(self) -> timedelta:
        """How long the download of everything takes."""
        return self.rate.takes(self.stored_size_bytes)


@dataclass(frozen=True, slots=True)
class ThawTerms:
    """What was asked for, and what it is reckoned with. ``days`` None: as many as are needed."""

    tier: Tier
    days: int | None
    rate: Rate
    prices: PriceList | None
    part_size_bytes: int | None = None


def plan_thaw(
    links: Sequence[LinkThaw], terms: ThawTerms, expected: datetime | None = None
) -> ThawPlan:
    """Plan the thaw; ``UsageError`` when a class of the chain lacks the tier."""
    archived = {group.thawed_as.name: group.thawed_as for group in _groups(links) if _is(group)}
    require_tier(terms.tier, archived.values())
    common = common_tiers(archived.values())
    plans = {tier: _tier_plan(links, terms, tier) for tier in {*common, terms.tier}}
    chosen = plans[terms.tier]
    frozen = any(group.state is ThawState.FROZEN for group in _groups(links))
    return ThawPlan(
        links=tuple(links),
        tier=terms.tier,
        tiers=tuple(plans[tier] for tier in common) if frozen else (replace(chosen, tier=None),),
        chosen=chosen,
        rate=terms.rate,
        expected=expected,
    )


def require_tier(tier: Tier, classes: Iterable[StorageClass]) -> None:
    """``UsageError`` when one of these classes cannot be thawed in that tier."""
    for known in classes:
        if known.archived and tier not in known.thaw:
            raise UsageError(
                f"{known.name} has no {tier} tier, and the chain has data in it",
                hint=f"give --tier {' or '.join(known.thaw)}",
            )


def require_budget(cost: ReadCost, spent: Decimal, budget: Decimal | None, currency: str) -> None:
    """``UsageError`` when what would be spent, with what was, is above the budget."""
    total = cost.total + spent
    if budget is None:
        return
    if cost.unpriced:
        raise UsageError(
            f"the price list knows no price for {', '.join(sorted(cost.unpriced))}, so --budget "
            "cannot be kept to",
            hint="give a price list that has it with --prices, or leave --budget out",
        )
    if total > budget:
        raise UsageError(
            f"this would cost {_rounded_up(total)} {currency}, more than the budget of {budget}",
            hint="give a larger --budget or a cheaper --tier; 'btrfs-to-s3 thaw SOURCE plan' shows "
            "what each costs",
            cost=str(total),
            budget=str(budget),
        )


def _rounded_up(amount: Decimal) -> Decimal:
    """To the cent, below a whole to four digits: what exceeds a budget must not look smaller."""
    return amount.quantize(_CENT if amount >= 1 else _SMALLEST, ROUND_CEILING)


def expected_end(
    links: Iterable[LinkThaw], asked: Mapping[BackupId, Asked], now: datetime
) -> datetime | None:
    """When everything that is being thawed will be readable at the latest.

    ``asked`` are this machine's records. What somebody else asked for is reckoned from now in the
    slowest tier. Whole seconds; None while anything is frozen, or when nothing is waited for.
    """
    ends: list[datetime] = []
    for link in links:
        if link.of_state(ThawState.FROZEN):
            return None
        for group in link.of_state(ThawState.THAWING):
            known, times = asked.get(link.backup_id), group.thawed_as.thaw
            if known is not None and known.tier in times:
                ends.append(known.time + times[known.tier].latest)
            else:
                ends.append(now + max(time.latest for time in times.values()))
    last = max(ends, default=None)
    return None if last is None else (last + timedelta(seconds=1)).replace(microsecond=0)


def _groups(links: Iterable[LinkThaw]) -> list[Group]:
    return [group for link in links for group in link.groups]


def _is(group: Group) -> bool:
    return group.thawed_as.archived


def _tier_plan(links: Sequence[LinkThaw], terms: ThawTerms, tier: Tier) -> TierPlan:
    groups = _groups(links)
    times = [
        group.thawed_as.thaw[tier]
        for group in groups
        if group.state is ThawState.FROZEN and tier in group.thawed_as.thaw
    ]
    nothing = timedelta(0)
    time = ThawTime(
        max((each.soonest for each in times), default=nothing),
        max((each.latest for each in times), default=nothing),
    )
    download = terms.rate.takes(sum(group.size_bytes for group in groups))
    days = terms.days or days_for(download, time.latest)
    return TierPlan(tier, time, days, cost_of(groups, terms, tier, days))


def cost_of(groups: Iterable[Group], terms: ThawTerms, tier: Tier, days: int) -> ReadCost | None:
    """What reading these chunks costs in that tier; None without a price list."""
    if terms.prices is None:
        return None
    to_thaw: list[Stored] = []
    paid: list[Stored] = []
    tiering = False
    for group in groups:
        stored = Stored(group.class_name, group.object_count, group.size_bytes)
        if group.state is ThawState.THAWED or group.state is ThawState.THAWING:
            paid.append(stored)
            continue
        to_thaw.append(stored)
        tiering |= _is(group) and not storage_class(group.class_name).archived
    how = Reading(tier, Decimal(days), terms.part_size_bytes)
    cost = read_cost(terms.prices, to_thaw, how, paid)
    if tiering and tier is Tier.EXPEDITED:
        # Only this tier costs anything for INTELLIGENT_TIERING, and price lists do not have it.
        unpriced = cost.unpriced | {"INTELLIGENT_TIERING (thaw, expedited)"}
        return replace(cost, unpriced=unpriced)
    return cost


def extension_cost(thawed: Iterable[Group], terms: ThawTerms, days: int) -> ReadCost:
    """What it costs to keep thawed copies for so many days more; nothing without a price list.

    Requests and the copies' storage: what was retrieved is not retrieved again (S3 API,
    RestoreObject: "you can change the restoration period of a restored archive by reissuing").
    """
    if terms.prices is None:
        return ReadCost()
    kept = [
        Stored(group.class_name, group.object_count, group.size_bytes)
        for group in thawed
        if group.keeps_days
    ]
    cost = read_cost(terms.prices, kept, Reading(terms.tier, Decimal(days)))
    return ReadCost(cost.unpriced, thaw_requests=cost.thaw_requests, copy=cost.copy)
