"""Replaying policies on what the repository tells of its sources."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.operations.repository.known_sources import configured_as
from btrfs_to_s3.plan.cost.rates import Measured, Rates, measure

if TYPE_CHECKING:
    from btrfs_to_s3.operations.repository.listing import Listing
    from btrfs_to_s3.operations.services import Services

_DAY = timedelta(days=1)
NOTHING_MEASURED = Measured(None, None, None, None)


@dataclass(frozen=True, slots=True)
class GivenRates:
    """What the person says of a source; None where the repository is to tell it."""

    full_bytes: int | None = None
    daily_bytes: int | None = None
    runs_per_day: int | None = None


def measured(services: Services, listing: Listing, label: str) -> Measured:
    """What the heads tell of the source that this host's file calls so."""
    source_id = configured_as(services, label, listing)
    found = [head for head in listing.heads if head.source_id == source_id]
    return measure(found[0]) if found else NOTHING_MEASURED


def rates_of(label: str, given: GivenRates, seen: Measured) -> Rates:
    """What to replay with: what was given, else what was measured.

    ``UsageError`` where neither tells a size. Without backups, one a day that does not compress.
    """
    full = seen.full_bytes if given.full_bytes is None else given.full_bytes
    daily = seen.daily_bytes if given.daily_bytes is None else given.daily_bytes
    missing = [
        option
        for option, size in (("--full-size", full), ("--daily-change", daily))
        if size is None
    ]
    if full is None or daily is None:
        raise UsageError(
            f"{label}: its backups do not tell how large it is or how fast it changes",
            hint=f"give {' and '.join(missing)}",
        )
    every = seen.every or _DAY
    if given.runs_per_day is not None:
        every = _DAY / given.runs_per_day
    return Rates(full, daily, seen.stored_ratio or Decimal(1), every)
