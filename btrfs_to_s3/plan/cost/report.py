"""What a repository costs: by source and class, its requests, its deletion, its restore.

Made from heads alone. Left out are metadata (manifests, indexes, catalogs, heads: small beside the
data, and unknown without reading them) and objects of no live backup.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.model.storage_class import storage_class
from btrfs_to_s3.plan.chain import chain_of
from btrfs_to_s3.plan.cost.cost import (
    STANDARD,
    EarlyDeletion,
    PriceLookup,
    PutRequests,
    StorageCost,
    Stored,
    early_deletion,
    put_cost,
    storage_cost,
)
from btrfs_to_s3.plan.cost.restore import restore_estimates, stored_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.model.prices import PriceList
    from btrfs_to_s3.plan.cost.restore import Line, RestoreEstimate

REQUESTS_SPAN: Final = timedelta(days=30)
"""How far back the requests of "the last month" go."""
_METADATA_AFTER = 2
"""Writes after the manifest counted its requests: the manifest itself and the head."""
_THOUSAND = Decimal(1000)


@dataclass(frozen=True, slots=True)
class ClassCost:
    """One storage class of one source: its live backups' chunks."""

    class_name: str
    backup_count: int
    stored: Stored
    storage: StorageCost
    early: EarlyDeletion


@dataclass(frozen=True, slots=True)
class RequestCost:
    """What the requests of some backups cost. Deleting costs nothing.

    ``counts`` are by kind; ``backup_count`` says of how many backups.
    """

    backup_count: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    put: Decimal = Decimal(0)
    get: Decimal = Decimal(0)
    list: Decimal = Decimal(0)
    unpriced: frozenset[str] = frozenset()

    @property
    def total(self) -> Decimal:
        """All of them."""
        return self.put + self.get + self.list


@dataclass(frozen=True, slots=True)
class SourceCost:
    """One source. ``newest`` and ``restores`` are of its newest backup; none without backups."""

    source_id: SourceId
    host_name: str
    classes: tuple[ClassCost, ...]
    requests: RequestCost
    newest: BackupId | None
    links: int
    restores: tuple[RestoreEstimate, ...]

    @property
    def storage(self) -> StorageCost:
        """What the source costs a month."""
        return sum((each.storage for each in self.classes), StorageCost())

    @property
    def early(self) -> EarlyDeletion:
        """What deleting all of it now would cost."""
        return sum((each.early for each in self.classes), EarlyDeletion())

    @property
    def unpriced(self) -> frozenset[str]:
        """Everything that some figure here lacks a price for."""
        found = self.storage.unpriced | self.early.unpriced | self.requests.unpriced
        return found.union(*(each.cost.unpriced for each in self.restores))


@dataclass(frozen=True, slots=True)
class CostReport:
    """The sources in the order of their heads."""

    sources: tuple[SourceCost, ...]

    @property
    def storage(self) -> StorageCost:
        """What all of them cost a month."""
        return sum((each.storage for each in self.sources), StorageCost())

    @property
    def early(self) -> EarlyDeletion:
        """What deleting everything now would cost."""
        return sum((each.early for each in self.sources), EarlyDeletion())

    @property
    def requests_total(self) -> Decimal:
        """What the last month's requests of all of them cost."""
        return sum((each.requests.total for each in self.sources), Decimal(0))

    @property
    def unpriced(self) -> frozenset[str]:
        """Everything that some figure lacks a price for."""
        return frozenset().union(*(each.unpriced for each in self.sources))


def recent(head: Head, now: datetime) -> tuple[HeadEntry, ...]:
    """The live backups whose requests count as the last month's."""
    return tuple(entry for entry in head.backups if entry.finished > now - REQUESTS_SPAN)


def source_cost(prices: PriceList, head: Head, line: Line, now: datetime) -> SourceCost:
    """What one source costs.

    ``IntegrityError`` when the newest backup's chain is not complete.
    """
    by_class: dict[str, list[HeadEntry]] = {}
    for entry in head.backups:
        by_class.setdefault(entry.data_class, []).append(entry)
    newest = head.newest
    chain = () if newest is None else chain_of(head, newest.backup_id)
    return SourceCost(
        source_id=head.source_id,
        host_name=head.host_name,
        classes=tuple(
            _class_cost(prices, name, entries, now) for name, entries in sorted(by_class.items())
        ),
        requests=request_cost(prices, recent(head, now)),
        newest=None if newest is None else newest.backup_id,
        links=len(chain),
        restores=restore_estimates(prices, chain, line) if chain else (),
    )


def request_cost(prices: PriceList, entries: Iterable[HeadEntry]) -> RequestCost:
    """What the requests known of these backups cost, and the writes of manifest and head.

    A PUT for each chunk is its class's; one for the index (and the catalog) is the metadata
    class's; the others sent parts. A resumed backup counts what its last run made.
    """
    count = 0
    counts: Counter[str] = Counter()
    objects: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    reads: Counter[str] = Counter()
    for entry in entries:
        record = entry.requests
        if record is None:
            continue
        count += 1
        made = {**record.counts, "put": record.counts.get("put", 0) + _METADATA_AFTER}
        counts.update(made)
        metadata = min(made["put"], record.metadata_objects + _METADATA_AFTER)
        chunks = min(made["put"] - metadata, entry.chunk_count)
        objects[record.metadata_class] += metadata
        objects[entry.data_class] += chunks
        parts[entry.data_class] += made["put"] - metadata - chunks
        reads[record.metadata_class] += made.get("get", 0) + made.get("head", 0)
    puts = put_cost(
        prices, *(PutRequests(name, objects[name], parts[name]) for name in sorted(objects))
    )
    found = PriceLookup(prices)
    get = sum((made * found.of(name).get_1000 for name, made in reads.items()), Decimal(0))
    listed = Decimal(0)
    if counts["list"]:
        listed = counts["list"] * found.of(STANDARD).put_1000
    return RequestCost(
        count,
        dict(counts),
        puts.total,
        get / _THOUSAND,
        listed / _THOUSAND,
        puts.unpriced | found.unpriced,
    )


def _class_cost(
    prices: PriceList, name: str, entries: Iterable[HeadEntry], now: datetime
) -> ClassCost:
    backups = [(stored_of(entry), entry.finished) for entry in entries]
    billed_longer = storage_class(name).minimum_duration
    early = (
        early_deletion(prices, stored, since, now)
        for stored, since in backups
        if since + billed_longer > now
    )
    return ClassCost(
        class_name=name,
        backup_count=len(backups),
        stored=Stored(
            name,
            sum(stored.object_count for stored, _ in backups),
            sum(stored.size_bytes for stored, _ in backups),
        ),
        storage=storage_cost(prices, *(stored for stored, _ in backups)),
        early=sum(early, EarlyDeletion()),
    )
