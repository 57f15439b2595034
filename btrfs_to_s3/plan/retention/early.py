"""Whether to remove a backup before its storage class's minimum duration is over.

Deleted early, it is charged the storage of the days that are left: as much as keeping it costs. So
deleting it saves nothing, and it is left until those days are over, unless keeping it would make
ancestors stay that could go without a charge. Those are paid for on top:

- deleting now costs the charge;
- keeping it until its minimum is over costs the same as its own storage, and for as many days the
  storage of every such ancestor.

The ancestors are counted whole for each backup that they would stay for: of several that all may
go, none is worth keeping them. An ancestor inside its own minimum costs nothing more yet; once it
is past it, this is judged again. Not counted are a backup's own metadata and the 8 KiB that an
archive class bills at STANDARD's price for each object: far below what a restore point is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.plan.cost.cost import (
    StorageCost,
    days_of,
    early_deletion,
    minimum_until,
    storage_cost,
)
from btrfs_to_s3.plan.cost.restore import stored_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from decimal import Decimal

    from btrfs_to_s3.model.backup import HeadEntry
    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.model.prices import PriceList


@dataclass(frozen=True, slots=True)
class Minimum:
    """How to treat what is inside its minimum duration; ``pay`` removes it whatever it costs."""

    prices: PriceList
    pay: bool = False


@dataclass(frozen=True, slots=True)
class Early:
    """A backup that nothing keeps and that is billed until ``until`` all the same.

    ``charge`` is what deleting it now costs, and what its storage until then does; ``extra`` what
    its ancestors would cost on top if it stayed. ``unpriced`` names what no price is known for:
    the amounts are too low then.
    """

    until: datetime
    leave: bool
    charge: Decimal
    extra: Decimal
    unpriced: frozenset[str]
    reason: str


def judge_early(
    going: Iterable[HeadEntry], minimum: Minimum, now: datetime
) -> dict[BackupId, Early]:
    """Those of ``going``, which no rule keeps and no kept backup needs, that are billed anyway."""
    forced: dict[BackupId, StorageCost] = {}
    found: dict[BackupId, Early] = {}
    # A parent always has a lower sequence than its child: it was live when that was added.
    for entry in sorted(going, key=lambda entry: entry.sequence):
        above = StorageCost() if entry.parent is None else forced.get(entry.parent, StorageCost())
        if _until(entry) > now:
            found[entry.backup_id] = _judge(entry, above, minimum, now)
            forced[entry.backup_id] = above
        else:
            forced[entry.backup_id] = above + storage_cost(minimum.prices, stored_of(entry))
    return found


def _judge(entry: HeadEntry, storage: StorageCost, minimum: Minimum, now: datetime) -> Early:
    """``storage`` is of the ancestors that could go without a charge if this one went."""
    until = _until(entry)
    charge = early_deletion(minimum.prices, stored_of(entry), entry.finished, now)
    extra = storage.a_day * days_of(until - now)
    unpriced = charge.unpriced | storage.unpriced
    keep = charge.total + extra
    leave = not minimum.pay and (bool(unpriced) or keep <= charge.total)
    billed = f"{entry.data_class} bills it until {until:%Y-%m-%d}"
    if minimum.pay:
        why = f"{billed} all the same, which is to be paid"
    elif unpriced:
        why = f"{billed}, and without a price for {', '.join(sorted(unpriced))} it stays until then"
    elif leave:
        why = f"no rule keeps it, but {billed}: removing it before saves nothing"
    else:
        why = f"{billed} all the same: keeping it would cost more, for what only it needs"
    return Early(until, leave, charge.total, extra, unpriced, why)


def _until(entry: HeadEntry) -> datetime:
    return minimum_until(entry.data_class, entry.finished)
