"""How fast a source changes: measured on the backups that its head lists, or given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from statistics import median_low
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.model.identity import Kind

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import Head, HeadEntry

_RECENT_FULLS: Final = 5
_RECENT_INCREMENTS: Final = 30
_DAY: Final = timedelta(days=1)
_TICK: Final = timedelta(microseconds=1)
_HOUR: Final = timedelta(hours=1)
_ZERO: Final = timedelta(0)


@dataclass(frozen=True, slots=True)
class Rates:
    """Sizes of raw stream in bytes: a full one, and what changes in a day.

    ``stored_ratio`` is stored bytes by raw ones. A backup is made ``every`` so often.
    """

    full_bytes: int
    daily_bytes: int
    stored_ratio: Decimal = Decimal(1)
    every: timedelta = _DAY

    def raw_bytes(self, span: timedelta | None) -> int:
        """The stream of an increment over that much time, or of a full backup (None)."""
        if span is None:
            return self.full_bytes
        return min(self.full_bytes, self.daily_bytes * (span // _TICK) // (_DAY // _TICK))

    def stored_bytes(self, raw_bytes: int) -> int:
        """What is stored of that much stream."""
        return int(raw_bytes * self.stored_ratio)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a head tells; None where it has too few backups to tell it."""

    full_bytes: int | None
    daily_bytes: int | None
    stored_ratio: Decimal | None
    every: timedelta | None


def measure(head: Head) -> Measured:
    """Medians of the last 5 full backups and of the last 30 increments.

    Backups are made every hour at most: some by hand, one after the other, are no schedule.
    What changes in a day is the median of the increments' raw sizes by the time since the parent.
    """
    entries = sorted(head.backups, key=lambda entry: entry.sequence)
    fulls = [entry for entry in entries if entry.kind is Kind.FULL][-_RECENT_FULLS:]
    increments = [entry for entry in entries if entry.kind is not Kind.FULL][-_RECENT_INCREMENTS:]
    recent = entries[-_RECENT_INCREMENTS - 1 :]
    gaps = [later.snapshot_time - earlier.snapshot_time for earlier, later in pairwise(recent)]
    forward = [gap for gap in gaps if gap > _ZERO]
    raw = sum(entry.raw_size_bytes for entry in (*fulls, *increments))
    stored = sum(entry.stored_size_bytes for entry in (*fulls, *increments))
    return Measured(
        full_bytes=_median([entry.raw_size_bytes for entry in fulls]),
        daily_bytes=_median(_daily(head, increments)),
        stored_ratio=Decimal(stored) / raw if raw else None,
        every=max(_HOUR, median_low(forward)) if forward else None,
    )


def _daily(head: Head, increments: list[HeadEntry]) -> list[int]:
    by_id = {entry.backup_id: entry for entry in head.backups}
    found = []
    for entry in increments:
        parent = None if entry.parent is None else by_id.get(entry.parent)
        span = _ZERO if parent is None else entry.snapshot_time - parent.snapshot_time
        if span > _ZERO:
            found.append(int(entry.raw_size_bytes * Decimal(_DAY / span)))
    return found


def _median(sizes: list[int]) -> int | None:
    return median_low(sizes) if sizes else None
