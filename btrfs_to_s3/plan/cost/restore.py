"""What reading backups back would cost and how long it would take, by the tier of the thaw."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Self

from btrfs_to_s3.model.storage_class import ThawTime, Tier, storage_class
from btrfs_to_s3.plan.cost.cost import ReadCost, Reading, Stored, common_tiers, read_cost

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from btrfs_to_s3.model.backup import HeadEntry
    from btrfs_to_s3.model.prices import PriceList

_DAY: Final = timedelta(days=1)
_AT_ONCE: Final = ThawTime(timedelta(0), timedelta(0))
DOWNLOAD_MARGIN: Final = 1.5
"""How much longer a download may take than expected."""
ASSUMED_BYTES_PER_S: Final = 12_500_000
"""What a download is taken to reach where nothing was measured and nothing limits it."""


@dataclass(frozen=True, slots=True)
class Line:
    """How a download is made: bytes a second, in ranges of ``part_size_bytes``.

    ``limited_here`` says that the rate is this machine's setting, not an assumption.
    """

    bytes_per_s: int = ASSUMED_BYTES_PER_S
    part_size_bytes: int = 16 * 1024**2
    limited_here: bool = False

    @classmethod
    def limited(cls, bytes_per_s: int | None, part_size_bytes: int) -> Self:
        """A line with a limit; without one it is taken to be an ordinary one."""
        if bytes_per_s is None:
            return cls(part_size_bytes=part_size_bytes)
        return cls(bytes_per_s, part_size_bytes, limited_here=True)

    def time_for(self, size_bytes: int) -> timedelta:
        """How long these bytes take."""
        return timedelta(seconds=size_bytes / self.bytes_per_s)


@dataclass(frozen=True, slots=True)
class RestoreEstimate:
    """One way to read it all back.

    ``tier`` is None where nothing has to be thawed. The thaw is usually done between
    ``thaw.soonest`` and ``thaw.latest``. Copies are paid for ``copy_kept``.
    """

    tier: Tier | None
    size_bytes: int
    object_count: int
    thaw: ThawTime
    download: timedelta
    copy_kept: timedelta
    cost: ReadCost

    @property
    def latest(self) -> timedelta:
        """When the last byte is here: the whole thaw, then the whole download."""
        return self.thaw.latest + self.download


def stored_of(entry: HeadEntry) -> Stored:
    """A backup's chunks."""
    return Stored(entry.data_class, entry.chunk_count, entry.stored_size_bytes)


def days_for(download: timedelta, latest: timedelta) -> int:
    """For how many days copies must stay.

    What is thawed first must still be there when what is thawed last has come too and all is
    downloaded, half as slowly again as expected, begun up to a day late.
    """
    wanted = latest + download * DOWNLOAD_MARGIN + _DAY
    return -(-wanted // _DAY)


def restore_estimates(
    prices: PriceList, backups: Iterable[HeadEntry], line: Line
) -> tuple[RestoreEstimate, ...]:
    """Reading these backups' chunks, one estimate for each tier, the fastest first.

    One without a tier where nothing is archived. Nothing of it is taken to be thawed already.
    """
    return estimates_of(prices, tuple(stored_of(entry) for entry in backups), line)


def estimates_of(
    prices: PriceList, sets: Sequence[Stored], line: Line
) -> tuple[RestoreEstimate, ...]:
    """``restore_estimates`` of sets of objects."""
    classes = [storage_class(each.class_name) for each in sets]
    if not any(each.archived for each in classes):
        return (_estimate(prices, sets, line, None),)
    return tuple(_estimate(prices, sets, line, tier) for tier in common_tiers(classes))


def cheapest(estimates: Sequence[RestoreEstimate]) -> RestoreEstimate:
    """The one that costs least; the faster where two cost the same."""
    return min(estimates, key=lambda each: each.cost.total)


def _estimate(
    prices: PriceList, sets: Sequence[Stored], line: Line, tier: Tier | None
) -> RestoreEstimate:
    size = sum(each.size_bytes for each in sets)
    download = line.time_for(size)
    thaw = _thaw_time(sets, tier)
    days = 0 if tier is None else days_for(download, thaw.latest)
    how = Reading(tier or Tier.STANDARD, Decimal(days), line.part_size_bytes)
    return RestoreEstimate(
        tier=tier,
        size_bytes=size,
        object_count=sum(each.object_count for each in sets),
        thaw=thaw,
        download=download,
        copy_kept=days * _DAY,
        cost=read_cost(prices, sets, how),
    )


def _thaw_time(sets: Iterable[Stored], tier: Tier | None) -> ThawTime:
    """Of the slowest class among them."""
    times = [
        known.thaw[tier]
        for known in (storage_class(each.class_name) for each in sets)
        if tier is not None and known.archived
    ]
    return max(times, key=lambda each: each.latest, default=_AT_ONCE)
