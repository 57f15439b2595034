"""What a thaw takes, hand-computed, and when it must be asked for again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from btrfs_to_s3.errors import IntegrityError, UsageError
from btrfs_to_s3.model.backup import ChunkRecord
from btrfs_to_s3.model.objects import ListedObject, ListedVersion, ObjectState
from btrfs_to_s3.model.storage_class import Tier, storage_class
from btrfs_to_s3.plan.cost.cost import ReadCost
from btrfs_to_s3.plan.restore.thaw import (
    Asked,
    ThawTerms,
    download_rate,
    expected_end,
    lasts,
    plan_thaw,
    require_budget,
)
from btrfs_to_s3.plan.restore.thaw_state import (
    Group,
    LinkThaw,
    Tally,
    ThawState,
    by_head,
    by_listing,
    joined,
    may_be_archived,
)
from tests.plan.build import chain
from tests.plan.prices import PRICES

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
GIB = 1024**3
FULL, INCREMENT = chain(2)


def record(number: int = 0, version_id: str | None = None) -> ChunkRecord:
    key = f"chunks/data-1f2e3d4c/b/{number:08}-0a1b2c3d.zst"
    return ChunkRecord(number, key, 0, 10, "", 7, "", "e", version_id, 16, ("",), (7,))


def listed(number: int, name: str = "DEEP_ARCHIVE", **thaw: object) -> ListedObject:
    entry = ListedObject(record(number).key, 7, "e", NOW, name)
    return replace(entry, **thaw)  # type: ignore[arg-type]  # by name


def link(*groups: tuple[str, ThawState, int, int]) -> LinkThaw:
    made = tuple(
        Group(name, storage_class(name), state, count, size, None)
        for name, state, count, size in groups
    )
    return LinkThaw(FULL.backup_id, 3 * GIB, made)


def terms(tier: Tier = Tier.STANDARD, days: int | None = None) -> ThawTerms:
    return ThawTerms(tier, days, download_rate(GIB, None), PRICES)


@pytest.mark.parametrize(
    ("name", "thaw", "state"),
    [
        ("STANDARD", {}, ThawState.READABLE),
        ("GLACIER_IR", {}, ThawState.READABLE),
        ("SOMEONE_ELSES", {}, ThawState.READABLE),
        ("GLACIER", {}, ThawState.FROZEN),
        ("GLACIER", {"thawing": True}, ThawState.THAWING),
        ("GLACIER", {"thawed_until": NOW + HOUR}, ThawState.THAWED),
        ("GLACIER", {"thawed_until": NOW}, ThawState.FROZEN),
        ("GLACIER", {"thawing": True, "thawed_until": NOW + HOUR}, ThawState.THAWED),
    ],
)
def test_a_listing_tells_the_state(name: str, thaw: dict[str, object], state: ThawState) -> None:
    assert by_listing(record(), listed(0, name, **thaw), NOW).state is state


@pytest.mark.parametrize(
    ("archive_status", "state", "tiers"),
    [
        (None, ThawState.READABLE, 0),
        ("ARCHIVE_ACCESS", ThawState.FROZEN, 3),
        ("DEEP_ARCHIVE_ACCESS", ThawState.FROZEN, 2),
    ],
)
def test_a_head_tells_the_archive_tiers_of_intelligent_tiering(
    archive_status: str | None, state: ThawState, tiers: int
) -> None:
    headed = ObjectState("k", 7, "e", None, "INTELLIGENT_TIERING", None)
    found = by_head(record(), replace(headed, archive_status=archive_status), NOW)
    assert (found.state, len(found.thawed_as.thaw)) == (state, tiers)
    assert not found.keeps_days


def test_only_old_objects_of_intelligent_tiering_can_be_archived() -> None:
    young = listed(0, "INTELLIGENT_TIERING")
    assert not may_be_archived(young, NOW + timedelta(days=89))
    assert may_be_archived(young, NOW + timedelta(days=90))
    assert not may_be_archived(listed(0), NOW + timedelta(days=900))


def test_the_index_is_joined_with_what_is_listed_and_nothing_else() -> None:
    records = [record(number) for number in (0, 1, 3)]
    orphan = replace(listed(1), key=record(1).key.replace("0a1b2c3d", "00000000"))
    found = list(joined(records, [listed(0), orphan, listed(1), listed(2)]))
    keys = [None if entry is None else entry.key for _, entry in found]
    assert keys == [records[0].key, records[1].key, None]


def test_the_recorded_version_is_the_one_that_counts() -> None:
    def version(name: str, *, delete_marker: bool = False) -> ListedVersion:
        return ListedVersion(
            record().key, name, latest=True, delete_marker=delete_marker, modified=NOW
        )

    versions = [version("newer"), version("mine"), version("older")]
    [(_, found)] = joined([record(version_id="mine")], versions)
    assert found is versions[1]
    [(_, found)] = joined([record(version_id="gone")], versions)
    assert found is None
    [(_, found)] = joined([record()], [version("m", delete_marker=True), *versions])
    assert found is versions[0]


def test_an_index_out_of_order_is_refused() -> None:
    with pytest.raises(IntegrityError, match="order"):
        list(joined([record(1), record(0)], []))


def test_a_tally_adds_up_by_class_and_state_and_keeps_the_earliest_end() -> None:
    tally = Tally(FULL.backup_id, 30)
    for number, hours in enumerate((5, 2, 9)):
        thawed = listed(number, thawed_until=NOW + hours * HOUR)
        tally.add(by_listing(record(number), thawed, NOW))
    tally.add(by_listing(record(3), listed(3, "STANDARD"), NOW))
    found = tally.result()
    assert (found.object_count, found.stored_size_bytes, found.raw_size_bytes) == (4, 28, 30)
    assert found.until == NOW + 2 * HOUR
    assert found.ready
    assert found.count(ThawState.THAWED) == 3


def test_a_plan_is_what_one_reckons_by_hand() -> None:
    chain_of_two = [
        link(("DEEP_ARCHIVE", ThawState.FROZEN, 1000, 100 * GIB)),
        link(("STANDARD", ThawState.READABLE, 10, 20 * GIB)),
    ]
    plan = plan_thaw(chain_of_two, terms())
    assert [each.tier for each in plan.tiers] == [Tier.STANDARD, Tier.BULK]
    assert plan.download_time == timedelta(seconds=120)
    assert plan.peak_disk_bytes == 6 * GIB
    standard, bulk = plan.tiers
    price = PRICES.classes["DEEP_ARCHIVE"].thaw
    # 12 h + 1.5 x 2 min + 1 day, in whole days; 48 h + the same.
    assert (standard.days, bulk.days) == (2, 4)
    assert (standard.time.latest, bulk.time.latest) == (12 * HOUR, 48 * HOUR)
    assert standard.cost is not None
    assert standard.cost.thaw_requests == price[Tier.STANDARD].requests_1000
    assert standard.cost.retrieval == 100 * price[Tier.STANDARD].retrieval_gb
    month = PRICES.classes["STANDARD"].storage_gb_month
    assert standard.cost.copy == 100 * month * 2 / 30
    assert plan.chosen == standard


def test_what_is_thawed_already_costs_no_thaw() -> None:
    plan = plan_thaw([link(("DEEP_ARCHIVE", ThawState.THAWED, 1000, 100 * GIB))], terms())
    (only,) = plan.tiers
    assert only.tier is None
    assert only.cost is not None
    assert only.cost.thaw_requests == only.cost.retrieval == only.cost.copy == 0


def test_a_tier_must_be_known_to_every_archived_class() -> None:
    mixed = [
        link(("GLACIER", ThawState.FROZEN, 1, 1)),
        link(("DEEP_ARCHIVE", ThawState.THAWED, 1, 1)),
    ]
    assert plan_thaw(mixed[:1], terms(Tier.EXPEDITED)).chosen.time.latest == timedelta(minutes=5)
    with pytest.raises(UsageError, match="DEEP_ARCHIVE has no expedited tier"):
        plan_thaw(mixed, terms(Tier.EXPEDITED))
    plain = [link(("STANDARD", ThawState.READABLE, 1, 1))]
    assert plan_thaw(plain, terms(Tier.EXPEDITED)).ready


def test_the_slowest_class_decides_the_hours() -> None:
    mixed = [
        link(("GLACIER", ThawState.FROZEN, 1, 1), ("DEEP_ARCHIVE", ThawState.FROZEN, 1, 1)),
    ]
    assert plan_thaw(mixed, terms()).chosen.time.latest == 12 * HOUR


def test_a_budget_is_kept_to_and_not_without_a_price() -> None:
    cost = plan_thaw([link(("DEEP_ARCHIVE", ThawState.FROZEN, 9, GIB))], terms()).chosen.cost
    assert cost is not None
    require_budget(cost, Decimal(0), cost.total, "USD")
    require_budget(cost, Decimal(0), None, "USD")
    with pytest.raises(UsageError, match="more than the budget"):
        require_budget(cost, Decimal("0.01"), cost.total, "USD")
    with pytest.raises(UsageError, match=r"cost 0\.0002 USD, more than the budget of 0\.00015"):
        require_budget(ReadCost(egress=Decimal("0.00016")), Decimal(0), Decimal("0.00015"), "USD")
    unpriced = replace(cost, unpriced=frozenset({"OTHER"}))
    with pytest.raises(UsageError, match="no price for OTHER"):
        require_budget(unpriced, Decimal(0), Decimal(1000), "USD")


def test_expedited_thaws_of_intelligent_tiering_have_no_price_and_say_so() -> None:
    tiering = Group(
        "INTELLIGENT_TIERING", storage_class("GLACIER"), ThawState.FROZEN, 10, GIB, None
    )
    made = LinkThaw(FULL.backup_id, GIB, (tiering,))
    expedited, standard, _ = plan_thaw([made], terms()).tiers
    assert expedited.cost is not None
    assert standard.cost is not None
    assert expedited.cost.unpriced
    assert not standard.cost.unpriced


def test_a_copy_must_stay_half_as_long_again_as_its_download() -> None:
    assert lasts(None, NOW, 1000 * HOUR)
    assert lasts(NOW + 4 * HOUR, NOW, 2 * HOUR)
    assert not lasts(NOW + 4 * HOUR, NOW, 2.01 * HOUR)


@pytest.mark.parametrize(
    ("measured", "limit", "rate", "origin"),
    [
        (5e6, None, 5e6, "measured"),
        (None, None, 12_500_000, "assumed"),
        (5e6, 1_000_000, 1_000_000, "bandwidth_limit"),
        (5e6, 9_000_000, 5e6, "measured"),
    ],
)
def test_the_rate_is_measured_assumed_or_limited(
    measured: float | None, limit: int | None, rate: float, origin: str
) -> None:
    found = download_rate(measured, limit)
    assert found.bytes_per_s == rate
    assert found.origin.startswith(origin)


def test_the_expected_time_is_that_of_the_request_and_the_tiers_latest() -> None:
    waiting = link(("DEEP_ARCHIVE", ThawState.THAWING, 1, 1))
    asked = {FULL.backup_id: Asked(NOW - 2 * HOUR, Tier.STANDARD, 2)}
    second = timedelta(seconds=1)
    assert expected_end([waiting], asked, NOW) == NOW + 10 * HOUR + second
    # Somebody else asked: the slowest tier, from now.
    assert expected_end([waiting], {}, NOW) == NOW + 48 * HOUR + second
    frozen = link(("DEEP_ARCHIVE", ThawState.FROZEN, 1, 1))
    assert expected_end([waiting, frozen], asked, NOW) is None
    assert expected_end([link(("STANDARD", ThawState.READABLE, 1, 1))], asked, NOW) is None
