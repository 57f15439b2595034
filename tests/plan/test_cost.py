"""Amounts of money: every expected figure is worked out by hand beside it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.model.storage_class import AWS_CLASSES, Tier, storage_class
from btrfs_to_s3.plan.cost.cost import (
    EarlyDeletion,
    PutRequests,
    ReadCost,
    Reading,
    StorageCost,
    Stored,
    common_tiers,
    early_deletion,
    egress_cost,
    get_requests,
    minimum_until,
    put_cost,
    put_requests,
    read_cost,
    storage_cost,
)
from tests.plan.build import T0, days
from tests.plan.prices import GB, PRICES

MIB = 1024**2
UNPRICED_COLD = replace(
    PRICES, classes={name: each for name, each in PRICES.classes.items() if name != "GLACIER"}
)
WITHOUT_STANDARD = replace(
    PRICES, classes={name: each for name, each in PRICES.classes.items() if name != "STANDARD"}
)


def money(text: str) -> Decimal:
    return Decimal(text)


def test_a_class_without_overhead_costs_its_bytes() -> None:
    # 2 GB x 0.03 = 0.06 a month; 0.06 / 30 = 0.002 a day.
    cost = storage_cost(PRICES, Stored("STANDARD", 8, 2 * GB))
    assert cost == StorageCost(data=money("0.06"))
    assert (cost.total, cost.a_day) == (money("0.06"), money("0.002"))


def test_an_archived_object_costs_32_kib_more_there_and_8_kib_in_standard() -> None:
    # 10 GB x 0.001 = 0.01
    # 32768 objects x 32 KiB = 1 GB x 0.001 = 0.001 at the class's own price
    # 32768 objects x 8 KiB = 0.25 GB x 0.03 = 0.0075 at STANDARD's
    cost = storage_cost(PRICES, Stored("DEEP_ARCHIVE", 32768, 10 * GB))
    assert cost == StorageCost(
        data=money("0.01"), own_overhead=money("0.001"), index_overhead=money("0.0075")
    )
    assert cost.total == money("0.0185")


def test_a_small_object_costs_the_minimum_size() -> None:
    # 8192 objects of 1 KiB are billed as 128 KiB each: 1 GB x 0.012 = 0.012.
    small = Stored("STANDARD_IA", 8192, 8192 * 1024)
    assert storage_cost(PRICES, small).total == money("0.012")


def test_small_sets_do_not_hide_behind_large_ones() -> None:
    # The small set as above; 3 GB x 0.012 = 0.036; merged into one it would look cheaper.
    small = Stored("STANDARD_IA", 8192, 8192 * 1024)
    large = Stored("STANDARD_IA", 12, 3 * GB)
    assert storage_cost(PRICES, small, large).total == money("0.048")


def test_a_monitored_class_costs_by_object() -> None:
    # 1 GB x 0.03 = 0.03; 400 objects x 2.5 / 1000 = 1.
    cost = storage_cost(PRICES, Stored("INTELLIGENT_TIERING", 400, GB))
    assert cost == StorageCost(data=money("0.03"), monitoring=money("1"))


def test_a_class_without_a_price_is_named() -> None:
    glacier, plain = Stored("GLACIER", 8, GB), Stored("STANDARD", 8, GB)
    cost = storage_cost(UNPRICED_COLD, glacier, plain)
    assert cost.unpriced == {"GLACIER"}
    assert storage_cost(PRICES, glacier, plain).unpriced == frozenset()
    assert early_deletion(UNPRICED_COLD, glacier, T0, T0).unpriced == {"GLACIER"}
    assert put_cost(UNPRICED_COLD, PutRequests("GLACIER", 1)).unpriced == {"GLACIER"}
    assert read_cost(UNPRICED_COLD, [glacier], Reading()).unpriced == {"GLACIER"}
    assert read_cost(UNPRICED_COLD, [], Reading(), [glacier]).unpriced == {"GLACIER"}


def test_a_missing_price_of_standard_is_named_where_an_archive_class_needs_it() -> None:
    glacier = Stored("GLACIER", 8, GB)
    assert storage_cost(WITHOUT_STANDARD, glacier).unpriced == {"STANDARD"}
    assert read_cost(WITHOUT_STANDARD, [glacier], Reading()).unpriced == {"STANDARD"}
    assert put_cost(WITHOUT_STANDARD, PutRequests("GLACIER", 1, 3)).unpriced == {"STANDARD"}
    assert put_cost(WITHOUT_STANDARD, PutRequests("GLACIER", 1)).unpriced == frozenset()
    assert storage_cost(WITHOUT_STANDARD, Stored("STANDARD_IA", 8, GB)).unpriced == frozenset()


def test_a_tier_without_a_price_is_named() -> None:
    cold = replace(PRICES.classes["GLACIER"], thaw={})
    prices = replace(PRICES, classes={**PRICES.classes, "GLACIER": cold})
    cost = read_cost(prices, [Stored("GLACIER", 8, GB)], Reading(Tier.BULK))
    assert cost.unpriced == {"GLACIER (thaw, bulk)"}


def test_a_full_thaw_costs_requests_retrieval_a_copy_gets_and_egress() -> None:
    # 1000 objects, 200 GB, standard tier, 6 days, one GET each:
    # thaw requests 1000 x 0.1 / 1000 = 0.1; retrieval 200 x 0.02 = 4
    # copy 200 x 0.03 x 6 / 30 = 1.2; GETs 1000 x 0.4 / 1000 = 0.4
    # egress (200 - 100 free) x 0.09 = 9; together 14.7
    cost = read_cost(
        PRICES,
        [Stored("DEEP_ARCHIVE", 1000, 200 * GB)],
        Reading(Tier.STANDARD, Decimal(6)),
    )
    assert cost == ReadCost(
        thaw_requests=money("0.1"),
        retrieval=money("4"),
        copy=money("1.2"),
        get_requests=money("0.4"),
        egress=money("9"),
    )
    assert cost.total == money("14.7")


def test_a_slower_tier_costs_less() -> None:
    # 1000 x 0.025 / 1000 = 0.025; 200 x 0.0025 = 0.5
    cost = read_cost(PRICES, [Stored("DEEP_ARCHIVE", 1000, 200 * GB)], Reading(Tier.BULK))
    assert (cost.thaw_requests, cost.retrieval) == (money("0.025"), money("0.5"))


def test_what_is_thawed_already_costs_only_gets_and_egress() -> None:
    # 10 objects x 0.4 / 1000 = 0.004; (110 - 100 free) x 0.09 = 0.9
    cost = read_cost(PRICES, [], Reading(), [Stored("GLACIER", 10, 110 * GB)])
    assert cost == ReadCost(get_requests=money("0.004"), egress=money("0.9"))


def test_a_class_that_reads_at_once_costs_retrieval_but_no_thaw() -> None:
    # 50 x 0.01 = 0.5; 100 x 1 / 1000 = 0.1; all 50 GB are within the free 100.
    cost = read_cost(PRICES, [Stored("STANDARD_IA", 100, 50 * GB)], Reading(Tier.EXPEDITED))
    assert cost == ReadCost(retrieval=money("0.5"), get_requests=money("0.1"))


def test_the_free_egress_is_given_once_for_everything_that_is_read() -> None:
    # 60 + 60 = 120 GB, 100 of them free: 20 x 0.09 = 1.8, and no GB free twice.
    two = [Stored("STANDARD", 1, 60 * GB), Stored("STANDARD", 1, 60 * GB)]
    assert read_cost(PRICES, two, Reading()).egress == money("1.8")


def test_what_left_earlier_in_the_month_uses_up_the_free_egress() -> None:
    # 100 - 90 = 10 GB are left free: (30 - 10) x 0.09 = 1.8; with all used up 30 x 0.09 = 2.7.
    assert egress_cost(PRICES, 30 * GB, 90 * GB) == money("1.8")
    assert egress_cost(PRICES, 30 * GB, 500 * GB) == money("2.7")
    assert egress_cost(PRICES, 100 * GB) == 0
    late = Reading(already_out_bytes=90 * GB)
    assert read_cost(PRICES, [Stored("STANDARD", 1, 30 * GB)], late).egress == money("1.8")


def test_every_range_of_an_object_is_a_get() -> None:
    # Two objects of 40 MiB in ranges of 16 MiB: 2 + 80 // 16 = 7, and 2 x 3 = 6 are needed.
    assert get_requests(Stored("STANDARD", 2, 80 * MIB), 16 * MIB) == 7
    assert get_requests(Stored("STANDARD", 2, 80 * MIB), None) == 2
    assert get_requests(Stored("STANDARD", 0, 0), 16 * MIB) == 0


@given(st.lists(st.integers(1, 500), min_size=1, max_size=20), st.integers(1, 200))
def test_the_gets_counted_are_never_too_few(sizes: list[int], part: int) -> None:
    needed = sum(-(-size // part) for size in sizes)
    assert get_requests(Stored("STANDARD", len(sizes), sum(sizes)), part) >= needed


def test_a_tier_that_a_class_lacks_is_refused() -> None:
    cold = Stored("DEEP_ARCHIVE", 1, GB)
    with pytest.raises(UsageError, match="DEEP_ARCHIVE cannot be thawed in the tier expedited"):
        read_cost(PRICES, [cold], Reading(Tier.EXPEDITED))
    both = [storage_class("GLACIER"), storage_class("STANDARD")]
    assert common_tiers(both) == (Tier.EXPEDITED, Tier.STANDARD, Tier.BULK)
    assert common_tiers([*both, storage_class("DEEP_ARCHIVE")]) == (Tier.STANDARD, Tier.BULK)


def test_deleting_early_costs_the_rest_of_the_minimum() -> None:
    # 180 - 60 = 120 days left; 10 GB x 0.001 x 120 / 30 = 0.04
    # 32768 objects x 32 KiB = 1 GB x 0.001 x 120 / 30 = 0.004; the 8 KiB in STANDARD have none.
    stored = Stored("DEEP_ARCHIVE", 32768, 10 * GB)
    assert early_deletion(PRICES, stored, T0, T0 + days(60)).charge == money("0.044")


def test_deleting_within_a_day_counts_parts_of_it() -> None:
    # 90 days less 12 hours are 89.5: 1 GB x 0.006 x 89.5 / 30 = 0.0179, and the overhead of one
    # object, 32 KiB or 1/32768 GB: 0.006 / 32768 x 89.5 / 30.
    stored = Stored("GLACIER", 1, GB)
    overhead = money("0.0179") / 32768
    charge = early_deletion(PRICES, stored, T0, T0 + days(0.5)).charge
    assert charge == money("0.0179") + overhead


@pytest.mark.parametrize("age", [180, 181, 1000])
def test_deleting_after_the_minimum_costs_nothing(age: int) -> None:
    stored = Stored("DEEP_ARCHIVE", 10, GB)
    assert early_deletion(PRICES, stored, T0, T0 + days(age)) == EarlyDeletion()


def test_a_clock_that_was_wrong_never_charges_more_than_the_whole_minimum() -> None:
    stored = Stored("DEEP_ARCHIVE", 10, GB)
    assert early_deletion(PRICES, stored, T0 + days(500), T0) == early_deletion(
        PRICES, stored, T0, T0
    )


def test_a_plain_class_can_be_deleted_at_any_time() -> None:
    assert early_deletion(PRICES, Stored("STANDARD", 1, GB), T0, T0) == EarlyDeletion()
    assert minimum_until("STANDARD", T0) == T0
    assert minimum_until("DEEP_ARCHIVE", T0) == T0 + days(180)


def test_a_chunk_of_several_parts_takes_two_requests_more_than_parts() -> None:
    # 100 MiB in parts of 16 MiB: 7 parts, one to create the upload, one to complete it.
    assert put_requests(Stored("STANDARD", 1, 100 * MIB), 16 * MIB) == PutRequests("STANDARD", 1, 8)
    assert put_requests(Stored("STANDARD", 4, 400 * MIB), 16 * MIB).count == 4 * 9
    assert put_requests(Stored("STANDARD", 4, 64 * MIB), 16 * MIB).count == 4
    assert put_requests(Stored("STANDARD", 0, 0), 16 * MIB).count == 0


def test_parts_on_their_way_to_an_archive_class_cost_what_standard_does() -> None:
    # 1 x 50 / 1000 = 0.05 to complete; 8 x 5 / 1000 = 0.04 to create and to send the parts.
    cost = put_cost(PRICES, PutRequests("DEEP_ARCHIVE", 1, 8))
    assert (cost.objects, cost.parts, cost.total) == (money("0.05"), money("0.04"), money("0.09"))
    # 9 x 10 / 1000 = 0.09: elsewhere every request is the class's own.
    assert put_cost(PRICES, PutRequests("STANDARD_IA", 1, 8)).total == money("0.09")


@given(st.sampled_from(sorted(AWS_CLASSES)), st.integers(0, 10**6), st.integers(0, 10**15))
def test_no_amount_is_negative_and_sums_keep_everything(name: str, count: int, size: int) -> None:
    stored = Stored(name, count, size)
    one = storage_cost(PRICES, stored)
    assert one.total >= 0
    twice = storage_cost(PRICES, stored, stored)
    assert abs(twice.total - 2 * one.total) <= twice.total * money("1e-25")
    assert (one.unpriced == frozenset()) == (name in PRICES.classes)
