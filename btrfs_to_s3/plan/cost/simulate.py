"""A policy replayed day by day: what it would store, cost, and ask of a restore.

The model: a source of constant size of which a constant amount changes a day (``Rates``). A full
backup is as large as the source; an increment holds what changed since its parent, that amount
times the time between the two, and never more than a full one. Changes are taken to hit other data
each time: where the same files change again and again, ``tree`` stores less than is reckoned here.
Every run finds a change and succeeds, and its snapshot stays as long as an increment is to be built
on it. After the last run of a day the keep rules prune, and what is live then is paid for that
day. In a class with a minimum duration ``prune`` leaves what is billed anyway: so does this,
without asking what its ancestors cost meanwhile, and prunes once a week. Growth, parents and
pruning are the program's own (``plan.growth``, ``tree``, ``retention``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from uuid import UUID

from btrfs_to_s3.model.backup import Head, HeadEntry, StreamIdentity
from btrfs_to_s3.model.identity import BackupId, Kind, SourceId
from btrfs_to_s3.model.policy import Strategy
from btrfs_to_s3.model.storage_class import storage_class
from btrfs_to_s3.plan.backup.growth import coming_bases, full_due_after
from btrfs_to_s3.plan.backup.tree import Level, places
from btrfs_to_s3.plan.cost.cost import (
    EarlyDeletion,
    PutCost,
    StorageCost,
    Stored,
    billed_bytes_of,
    early_deletion,
    minimum_until,
    put_cost,
    storage_cost,
)
from btrfs_to_s3.plan.cost.restore import estimates_of, stored_of
from btrfs_to_s3.plan.retention.retention import plan_prune

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from btrfs_to_s3.model.policy import ChainPolicy, KeepPolicy
    from btrfs_to_s3.model.prices import PriceList
    from btrfs_to_s3.plan.cost.of_plan import Form
    from btrfs_to_s3.plan.cost.rates import Rates
    from btrfs_to_s3.plan.cost.restore import Line, RestoreEstimate

_DAY: Final = timedelta(days=1)
_DAYS_OF_WEEK: Final = 7
_NOWHERE: Final = SourceId("simulated", "00000000")


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is replayed: from ``start`` on for so many days, beginning with no backup."""

    rates: Rates
    chain: ChainPolicy
    keep: KeepPolicy
    form: Form
    start: datetime
    days: int


@dataclass(frozen=True, slots=True)
class Simulated:
    """What came of one strategy.

    ``made``, ``full`` and ``removed`` count backups; ``stored_end_bytes`` is live at the end,
    ``stored_peak_bytes`` the most there ever was. ``month`` is what the end costs a month,
    ``storage_total``, ``puts`` and ``early`` what was paid over the whole span. ``worst`` is the
    time of the restore point that took the most to restore when it was the newest, ``worst_links``
    and ``worst_bytes`` its chain.
    """

    strategy: Strategy
    made: int
    full: int
    removed: int
    stored_end_bytes: int
    stored_peak_bytes: int
    month: StorageCost
    storage_total: Decimal
    puts: PutCost
    early: EarlyDeletion
    longest_chain: int
    worst: datetime | None
    worst_links: int
    worst_bytes: int
    restores: tuple[RestoreEstimate, ...]

    @property
    def total(self) -> Decimal:
        """All that was paid over the span."""
        return self.storage_total + self.puts.total + self.early.total

    @property
    def unpriced(self) -> frozenset[str]:
        """Everything that some figure lacks a price for."""
        found = self.month.unpriced | self.puts.unpriced | self.early.unpriced
        return found.union(*(each.cost.unpriced for each in self.restores))


def simulate(prices: PriceList, scenario: Scenario, strategy: Strategy, line: Line) -> Simulated:
    """Replay the scenario with one strategy; its other rules are the scenario's."""
    world = Replay(prices, scenario, strategy)
    storage_total, run = Decimal(0), scenario.start
    billed_on = storage_class(scenario.form.data_class).minimum_duration
    pruned_every = _DAYS_OF_WEEK if billed_on else 1
    for day in range(1, scenario.days + 1):
        end = scenario.start + day * _DAY
        last = None
        while run < end:
            world.back_up(run)
            last, run = run, run + scenario.rates.every
        if last is not None and (day - 1) % pruned_every == 0:
            world.prune(last)
        storage_total += world.storage.a_day
    worst = world.worst
    return Simulated(
        strategy=strategy,
        made=world.made,
        full=world.full,
        removed=world.made - len(world.live),
        stored_end_bytes=world.stored_bytes,
        stored_peak_bytes=world.peak_bytes,
        month=world.storage,
        storage_total=storage_total,
        puts=world.puts,
        early=world.early,
        longest_chain=world.longest,
        worst=None if worst is None else worst.newest.time,
        worst_links=0 if worst is None else worst.links,
        worst_bytes=0 if worst is None else worst.size_bytes,
        restores=() if worst is None else estimates_of(prices, worst.stored, line),
    )


class _Name(BackupId):
    """The id of a simulated backup, of which there is one object: looked up millions of times."""

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __str__(self) -> str:
        return "simulated"


@dataclass(frozen=True, slots=True)
class _Chain:
    """A backup with all it needs: its links, since when, and their chunks together."""

    newest: BackupId
    links: int
    begun: datetime
    stored: tuple[Stored, ...]

    @property
    def size_bytes(self) -> int:
        """All that restoring the backup takes."""
        return sum(each.size_bytes for each in self.stored)


class Replay:
    """A source's backups as they change; ``live`` are those there are, oldest first.

    It begins with those of ``head``, where one is given, whose chains must be complete.
    """

    def __init__(
        self, prices: PriceList, scenario: Scenario, strategy: Strategy, head: Head | None = None
    ) -> None:
        self.live: dict[BackupId, HeadEntry] = {}
        self.made = self.full = self.longest = 0
        self.stored_bytes = self.peak_bytes = 0
        self.puts, self.early = PutCost(), EarlyDeletion()
        self.worst: _Chain | None = None
        self._prices = prices
        self._scenario = scenario
        self._tree = strategy is Strategy.TREE
        self._policy = scenario.chain
        self._billed: dict[str, Stored] = {}
        self._chains: dict[BackupId, _Chain] = {}
        self._newest: HeadEntry | None = None
        self._bases: dict[Level, HeadEntry] = {}
        self._put_costs: dict[Stored, PutCost] = {}
        self._sequence = 0
        if head is not None:
            self._begin(head)

    @property
    def storage(self) -> StorageCost:
        """What is live now, for a month."""
        return storage_cost(self._prices, *self._billed.values())

    @property
    def newest(self) -> tuple[Stored, ...]:
        """What restoring the newest backup takes."""
        return () if self._newest is None else self._chains[self._newest.backup_id].stored

    @property
    def newest_links(self) -> int:
        """How many backups that is."""
        return 0 if self._newest is None else self._chains[self._newest.backup_id].links

    def back_up(self, taken: datetime, *, full: bool = False) -> None:
        """One backup, on the parent that the strategy wants unless it is to be full."""
        parent, level = (None, Level.YEAR) if full else self._parent(taken)
        rates = self._scenario.rates
        raw = rates.raw_bytes(None if parent is None else taken - parent.snapshot_time)
        stored = self._scenario.form.stored(raw, rates.stored_bytes(raw))
        self.made += 1
        self.full += parent is None
        self._sequence += 1
        entry = _entry(self._sequence, parent, taken, raw, stored)
        self._add(entry, parent, stored)
        self._pay(stored)
        self._newest, self._bases[level] = entry, entry

    def prune(self, now: datetime) -> None:
        """What the keep rules let go, with the charge for deleting it early."""
        keep = self._scenario.keep
        if keep.keeps_everything:
            return
        bases = coming_bases(self._spine(), self._policy, now, self.live)
        pinned = {entry.backup_id: "increments to come are built on it" for entry in bases}
        if any(storage_class(name).minimum_duration for name in self._billed):
            pinned |= {
                backup_id: "its class bills it all the same"
                for backup_id, entry in self.live.items()
                if minimum_until(entry.data_class, entry.finished) > now
            }
        for entry in plan_prune(_head(self.live.values()), keep, now, pinned).removals:
            stored = stored_of(entry)
            self.early += early_deletion(self._prices, stored, entry.finished, now)
            self._count(stored, -1)
            del self.live[entry.backup_id], self._chains[entry.backup_id]
        self._bases = {
            level: entry for level, entry in self._bases.items() if entry.backup_id in self.live
        }

    def _parent(self, taken: datetime) -> tuple[HeadEntry | None, Level]:
        """What to build on (None: a full one), and what the backup begins in the tree."""
        if self._newest is None:
            return None, Level.YEAR
        base, level = self._newest, Level.MOMENT
        if self._tree:
            found = places(self._spine(), taken, self._policy.max_chain)
            if not found:
                return None, Level.YEAR
            base, level = found[0].bases[0], found[0].level
        chain = self._chains[base.backup_id]
        due = full_due_after(chain.links, taken - chain.begun, self._policy)
        return (base, level) if due is None else (None, Level.YEAR)

    def _spine(self) -> Head:
        """The part of the head that coming backups can be built on: the newest of each level.

        The whole head gives the same answers, only slower.
        """
        needed: dict[BackupId, HeadEntry] = {}
        for base in (*self._bases.values(), *([self._newest] if self._newest else [])):
            entry: HeadEntry | None = base
            while entry is not None and entry.backup_id not in needed:
                needed[entry.backup_id] = entry
                # Only the tree looks at ancestors, and its chains are short.
                entry = self.live.get(entry.parent) if entry.parent and self._tree else None
        return _head(needed.values())

    def _add(self, entry: HeadEntry, parent: HeadEntry | None, stored: Stored) -> None:
        self.live[entry.backup_id] = entry
        self._count(stored, 1)
        self.peak_bytes = max(self.peak_bytes, self.stored_bytes)
        chain = _Chain(entry.backup_id, 1, entry.snapshot_time, (stored,))
        if parent is not None:
            chain = _longer(self._chains[parent.backup_id], chain)
        self._chains[entry.backup_id] = chain
        self.longest = max(self.longest, chain.links)
        if self.worst is None or chain.size_bytes > self.worst.size_bytes:
            self.worst = chain

    def _pay(self, stored: Stored) -> None:
        if stored not in self._put_costs:
            requests = self._scenario.form.puts(stored)
            self._put_costs[stored] = put_cost(self._prices, *requests)
        self.puts += self._put_costs[stored]

    def _count(self, stored: Stored, times: int) -> None:
        self.stored_bytes += times * stored.size_bytes
        before = self._billed.get(stored.class_name, Stored(stored.class_name, 0, 0))
        self._billed[stored.class_name] = Stored(
            stored.class_name,
            before.object_count + times * stored.object_count,
            before.size_bytes + times * billed_bytes_of(stored),
        )

    def _begin(self, head: Head) -> None:
        """Take over what is live already; it was paid for before."""
        for entry in sorted(head.backups, key=lambda entry: entry.sequence):
            parent = None if entry.parent is None else self.live[entry.parent]
            self._add(entry, parent, stored_of(entry))
            self._newest, self._sequence = entry, entry.sequence
        self.worst, self.longest = None, 0
        for place in places(head, self._scenario.start) if self._tree else ():
            # A place is on the newest of the period around it.
            self._bases.setdefault(Level(place.level - 1), place.bases[0])


def _longer(chain: _Chain, link: _Chain) -> _Chain:
    (added,) = link.stored
    same = [each for each in chain.stored if each.class_name == added.class_name]
    others = [each for each in chain.stored if each.class_name != added.class_name]
    together = Stored(
        added.class_name,
        sum(each.object_count for each in (*same, added)),
        sum(each.size_bytes for each in (*same, added)),
    )
    return _Chain(link.newest, chain.links + 1, chain.begun, (*others, together))


def _entry(
    number: int, parent: HeadEntry | None, taken: datetime, raw_bytes: int, stored: Stored
) -> HeadEntry:
    uuid = UUID(int=number << 96)
    kind = Kind.FULL if parent is None else Kind.INCREMENTAL
    return HeadEntry(
        backup_id=_Name(taken, kind, uuid.hex[:8]),
        parent=None if parent is None else parent.backup_id,
        sequence=number,
        kind=kind,
        manifest_sha256_hex="",
        stream=StreamIdentity(uuid, number),
        snapshot_uuid=uuid,
        snapshot_ctransid=number,
        snapshot_time=taken,
        finished=taken,
        raw_size_bytes=raw_bytes,
        stored_size_bytes=stored.size_bytes,
        chunk_count=stored.object_count,
        data_class=stored.class_name,
    )


def _head(entries: Iterable[HeadEntry]) -> Head:
    backups = tuple(entries)
    newest = max(backups, key=lambda entry: entry.sequence)
    return Head(
        source_id=_NOWHERE,
        repository_id="",
        sequence=newest.sequence,
        host_id="",
        host_name="",
        subvolume_uuid=newest.snapshot_uuid,
        writer="",
        written=newest.finished,
        backups=backups,
    )
