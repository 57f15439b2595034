"""What carrying out a plan would cost: the requests and storage of backups, what a prune saves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.plan.cost.cost import (
    EarlyDeletion,
    PutCost,
    PutRequests,
    StorageCost,
    Stored,
    early_deletion,
    put_cost,
    put_requests,
    storage_cost,
)
from btrfs_to_s3.plan.cost.restore import stored_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from btrfs_to_s3.model.backup import HeadEntry
    from btrfs_to_s3.model.prices import PriceList

METADATA_WRITES: Final = 3
"""Index, manifest and head of every backup."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a source's backups are stored. Sizes in bytes; ``chunk_size_bytes`` of raw stream."""

    data_class: str
    chunk_size_bytes: int
    part_size_bytes: int
    metadata_class: str = "STANDARD"

    def stored(self, raw_size_bytes: int, stored_size_bytes: int) -> Stored:
        """The chunks of a stream of this size."""
        return Stored(
            self.data_class, -(-raw_size_bytes // self.chunk_size_bytes), stored_size_bytes
        )

    def puts(self, stored: Stored) -> tuple[PutRequests, PutRequests]:
        """The requests that write a backup of these chunks: data, then metadata."""
        return (
            put_requests(stored, self.part_size_bytes),
            PutRequests(self.metadata_class, METADATA_WRITES),
        )


@dataclass(frozen=True, slots=True)
class BackupCost:
    """What one backup would cost: once, and then every month."""

    stored: Stored
    put_count: int
    puts: PutCost
    storage: StorageCost


@dataclass(frozen=True, slots=True)
class PruneCost:
    """What removing backups would save every month, and what is charged for it once."""

    removals: int
    saved: StorageCost
    early: EarlyDeletion


def backup_cost(
    prices: PriceList, form: Form, raw_size_bytes: int, stored_size_bytes: int
) -> BackupCost:
    """What storing a stream of about this size would cost."""
    stored = form.stored(raw_size_bytes, stored_size_bytes)
    requests = form.puts(stored)
    return BackupCost(
        stored=stored,
        put_count=sum(each.count for each in requests),
        puts=put_cost(prices, *requests),
        storage=storage_cost(prices, stored),
    )


def prune_cost(prices: PriceList, removals: Iterable[HeadEntry], now: datetime) -> PruneCost:
    """What removing these backups now would save and be charged."""
    gone = [(stored_of(entry), entry.finished) for entry in removals]
    charges = (early_deletion(prices, stored, since, now) for stored, since in gone)
    return PruneCost(
        removals=len(gone),
        saved=storage_cost(prices, *(stored for stored, _ in gone)),
        early=sum(charges, EarlyDeletion()),
    )
