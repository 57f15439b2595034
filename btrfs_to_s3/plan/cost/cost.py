"""What storing, reading, deleting and writing objects costs by a price list.

Amounts are ``Decimal`` in the list's currency, to 28 digits and rounded to no unit: that is left to
who shows them. A month is 30 days wherever a monthly price is paid for days. A class that the list
does not have costs nothing here and is named in the result's ``unpriced``: such a figure is too
low, and must not be shown without saying so.

Sources: Amazon S3 pricing; Amazon S3 User Guide, "Understanding S3 storage classes for long-term
data storage" (overhead, early deletion) and "Uploading and copying objects using multipart
upload" (what the requests of an upload to an archive class are billed as).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar, Final, Self

from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.model.prices import GB_BYTES, ClassPrice
from btrfs_to_s3.model.storage_class import Tier, storage_class

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from btrfs_to_s3.model.prices import PriceList, ThawPrice
    from btrfs_to_s3.model.storage_class import StorageClass

DAYS_OF_MONTH: Final = 30
STANDARD: Final = "STANDARD"
_NOTHING: Final = Decimal(0)
_THOUSAND: Final = Decimal(1000)


@dataclass(frozen=True, slots=True)
class Stored:
    """Objects of one class: how many, and their stored bytes together.

    The objects of a set are taken to be of about one size: several small sets tell more than a
    large one where a class bills a minimum size.
    """

    class_name: str
    object_count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Cost:
    """Amounts that can be added up; ``unpriced`` names what no price was found for."""

    unpriced: frozenset[str] = frozenset()
    _amounts: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls._amounts = tuple(cls.__annotations__)

    @property
    def total(self) -> Decimal:
        """All amounts together."""
        return sum((getattr(self, name) for name in self._amounts), _NOTHING)

    def __add__(self, other: Self) -> Self:
        """Both together."""
        if not isinstance(other, type(self)):
            return NotImplemented
        amounts = {name: getattr(self, name) + getattr(other, name) for name in self._amounts}
        return type(self)(unpriced=self.unpriced | other.unpriced, **amounts)


@dataclass(frozen=True, slots=True)
class StorageCost(_Cost):
    """What keeping objects costs for one month.

    ``data`` is paid for the stored bytes, or the class's minimum size where that is more;
    ``own_overhead`` at the class's price and ``index_overhead`` at STANDARD's for what an archive
    class adds to each object; ``monitoring`` for each object.
    """

    data: Decimal = _NOTHING
    own_overhead: Decimal = _NOTHING
    index_overhead: Decimal = _NOTHING
    monitoring: Decimal = _NOTHING

    @property
    def a_day(self) -> Decimal:
        """The same for one day, of which a month has 30."""
        return self.total / DAYS_OF_MONTH


@dataclass(frozen=True, slots=True)
class ReadCost(_Cost):
    """What reading objects once costs.

    ``thaw_requests`` and ``copy`` (the temporary copy at STANDARD's price) are paid for archived
    objects only. ``egress`` is what the transfer out of the service costs beyond its free
    allowance.
    """

    thaw_requests: Decimal = _NOTHING
    retrieval: Decimal = _NOTHING
    copy: Decimal = _NOTHING
    get_requests: Decimal = _NOTHING
    egress: Decimal = _NOTHING


@dataclass(frozen=True, slots=True)
class EarlyDeletion(_Cost):
    """What deleting now costs: the storage of what is left of the minimum duration."""

    charge: Decimal = _NOTHING


@dataclass(frozen=True, slots=True)
class PutCost(_Cost):
    """What requests that write cost: those that make an object, and those that prepare it."""

    objects: Decimal = _NOTHING
    parts: Decimal = _NOTHING


@dataclass(frozen=True, slots=True)
class PutRequests:
    """Requests that write objects of one class.

    ``objects`` make one each: PutObject or CompleteMultipartUpload. ``parts`` come before a
    CompleteMultipartUpload: CreateMultipartUpload and UploadPart.
    """

    class_name: str
    objects: int
    parts: int = 0

    @property
    def count(self) -> int:
        """All of them."""
        return self.objects + self.parts


@dataclass(frozen=True, slots=True)
class Reading:
    """How objects are read.

    ``days`` is how long thawed copies stay. Each object is read in ranges of ``part_size_bytes``,
    one GET each; None reads each whole. ``already_out_bytes`` left the service earlier in the
    month and used up as much of its free allowance; with 0 the whole allowance is still there.
    """

    tier: Tier = Tier.STANDARD
    days: Decimal = Decimal(1)
    part_size_bytes: int | None = None
    already_out_bytes: int = 0


def storage_cost(prices: PriceList, *sets: Stored) -> StorageCost:
    """What keeping these objects costs a month."""
    objects: Counter[str] = Counter()
    billed_bytes: Counter[str] = Counter()
    for stored in sets:
        objects[stored.class_name] += stored.object_count
        billed_bytes[stored.class_name] += billed_bytes_of(stored)
    total = StorageCost()
    for name, count in objects.items():
        known, found = storage_class(name), PriceLookup(prices)
        price = found.of(name)
        index_bytes = count * known.index_overhead_bytes
        index_price = found.of(STANDARD).storage_gb_month if index_bytes else _NOTHING
        total += StorageCost(
            data=_gb(billed_bytes[name]) * price.storage_gb_month,
            own_overhead=_gb(count * known.own_overhead_bytes) * price.storage_gb_month,
            index_overhead=_gb(index_bytes) * index_price,
            monitoring=count * price.monitoring_1000 / _THOUSAND,
            unpriced=found.unpriced,
        )
    return total


def billed_bytes_of(stored: Stored) -> int:
    """The bytes that are paid for: each object's at least the minimum size of its class."""
    minimum = storage_class(stored.class_name).minimum_size_bytes
    return max(stored.size_bytes, stored.object_count * minimum)


def common_tiers(classes: Iterable[StorageClass]) -> tuple[Tier, ...]:
    """The tiers in which all of the archived ones can be thawed, fastest first.

    All of them where nothing is archived.
    """
    archived = [each for each in classes if each.archived]
    return tuple(tier for tier in Tier if all(tier in each.thaw for each in archived))


def read_cost(
    prices: PriceList, sets: Iterable[Stored], how: Reading, thawed: Iterable[Stored] = ()
) -> ReadCost:
    """What reading these objects out of the service costs.

    ``thawed`` are archived objects whose temporary copy is there already: only GET requests and
    egress are paid for them. ``UsageError`` when a class cannot be thawed in that tier.
    """
    total, out_bytes = ReadCost(), 0
    for stored in sets:
        total += _thaw_cost(prices, stored, how) + _get_cost(prices, stored, how)
        out_bytes += stored.size_bytes
    for stored in thawed:
        total += _get_cost(prices, stored, how)
        out_bytes += stored.size_bytes
    return total + ReadCost(egress=egress_cost(prices, out_bytes, how.already_out_bytes))


def egress_cost(prices: PriceList, out_bytes: int, already_out_bytes: int = 0) -> Decimal:
    """What the transfer costs beyond what is left of the month's free allowance."""
    free_gb = max(_NOTHING, prices.egress_free_gb - _gb(already_out_bytes))
    return max(_NOTHING, _gb(out_bytes) - free_gb) * prices.egress_gb


def minimum_until(class_name: str, since: datetime) -> datetime:
    """Until when deleting what is stored since then is billed; ``since`` itself for most."""
    return since + storage_class(class_name).minimum_duration


def early_deletion(
    prices: PriceList, stored: Stored, since: datetime, now: datetime
) -> EarlyDeletion:
    """What deleting objects now costs that are stored since ``since``.

    Paid is the rest of the minimum duration, bytes and own overhead at the class's price; never
    more than the whole of it, whatever the clocks say.
    """
    known, found = _class_of(stored), PriceLookup(prices)
    left = min(known.minimum_duration, since + known.minimum_duration - now)
    if left <= timedelta(0):
        return EarlyDeletion()
    billed_bytes = billed_bytes_of(stored) + stored.object_count * known.own_overhead_bytes
    month = _gb(billed_bytes) * found.of(stored.class_name).storage_gb_month
    return EarlyDeletion(charge=month * days_of(left) / DAYS_OF_MONTH, unpriced=found.unpriced)


def days_of(span: timedelta) -> Decimal:
    """A length of time in days, exact to a microsecond."""
    return Decimal(span // timedelta(microseconds=1)) / (86_400 * 1_000_000)


def put_requests(stored: Stored, part_size_bytes: int) -> PutRequests:
    """What writing these chunks takes: one request where a chunk fits a part, else parts + 2."""
    if not stored.object_count:
        return PutRequests(stored.class_name, 0)
    chunk_bytes = -(-stored.size_bytes // stored.object_count)
    if chunk_bytes <= part_size_bytes:
        return PutRequests(stored.class_name, stored.object_count)
    parts = -(-chunk_bytes // part_size_bytes)
    return PutRequests(stored.class_name, stored.object_count, stored.object_count * (parts + 1))


def put_cost(prices: PriceList, *requests: PutRequests) -> PutCost:
    """What writing costs. Parts on their way to an archive class are billed as STANDARD's."""
    total = PutCost()
    for each in requests:
        archived, found = storage_class(each.class_name).archived, PriceLookup(prices)
        by_part = found.of(STANDARD if archived else each.class_name) if each.parts else None
        total += PutCost(
            objects=each.objects * found.of(each.class_name).put_1000 / _THOUSAND,
            parts=each.parts * by_part.put_1000 / _THOUSAND if by_part else _NOTHING,
            unpriced=found.unpriced,
        )
    return total


class PriceLookup:
    """Prices by class that remember what they were asked for in vain."""

    def __init__(self, prices: PriceList) -> None:
        self.unpriced: frozenset[str] = frozenset()
        self._prices = prices

    def of(self, class_name: str) -> ClassPrice:
        """A class's prices; all nothing when the list does not have it."""
        price = self._prices.of_class(class_name)
        if price is None:
            self.unpriced |= {class_name}
            return ClassPrice(_NOTHING, _NOTHING, _NOTHING)
        return price

    def of_thaw(self, class_name: str, tier: Tier) -> ThawPrice | None:
        """The prices of thawing in a tier, which a list can lack though it has the class."""
        price = self.of(class_name).thaw.get(tier)
        if price is None and class_name not in self.unpriced:
            self.unpriced |= {f"{class_name} (thaw, {tier})"}
        return price


def _thaw_cost(prices: PriceList, stored: Stored, how: Reading) -> ReadCost:
    """Making objects readable: retrieval, and a thaw where one is needed."""
    known, found = _class_of(stored), PriceLookup(prices)
    size_gb = _gb(stored.size_bytes)
    if not known.archived:
        retrieval = size_gb * found.of(stored.class_name).retrieval_gb
        return ReadCost(retrieval=retrieval, unpriced=found.unpriced)
    if how.tier not in known.thaw:
        raise UsageError(
            f"objects of {known.name} cannot be thawed in the tier {how.tier}",
            hint=f"{known.name} has the tiers {', '.join(known.thaw)}",
        )
    price = found.of_thaw(stored.class_name, how.tier)
    copy_gb_month = found.of(STANDARD).storage_gb_month
    return ReadCost(
        thaw_requests=stored.object_count * price.requests_1000 / _THOUSAND if price else _NOTHING,
        retrieval=size_gb * price.retrieval_gb if price else _NOTHING,
        copy=size_gb * copy_gb_month * how.days / DAYS_OF_MONTH,
        unpriced=found.unpriced,
    )


def _get_cost(prices: PriceList, stored: Stored, how: Reading) -> ReadCost:
    found = PriceLookup(prices)
    count = get_requests(stored, how.part_size_bytes)
    amount = count * found.of(stored.class_name).get_1000 / _THOUSAND
    return ReadCost(get_requests=amount, unpriced=found.unpriced)


def get_requests(stored: Stored, part_size_bytes: int | None) -> int:
    """How many GETs reading these objects takes at most."""
    if part_size_bytes is None or not stored.object_count:
        return stored.object_count
    # Each object ends in one part that may be short: sum(ceil(s / p)) <= n + sum(s) / p.
    return stored.object_count + stored.size_bytes // part_size_bytes


def _class_of(stored: Stored) -> StorageClass:
    return storage_class(stored.class_name)


def _gb(size_bytes: int) -> Decimal:
    return Decimal(size_bytes) / GB_BYTES
