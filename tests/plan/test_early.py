"""What is inside its storage class's minimum duration goes only where leaving it costs more."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.model.policy import KeepPolicy
from btrfs_to_s3.plan.chain import chain_of, live_chains
from btrfs_to_s3.plan.cost.cost import minimum_until
from btrfs_to_s3.plan.retention.early import Minimum
from btrfs_to_s3.plan.retention.retention import PrunePlan, plan_prune
from tests.plan.build import T0, chain, days, entry, head
from tests.plan.prices import GB, PRICES
from tests.plan.strategies import classes, cold_heads, policies, presents, quickly, times

if TYPE_CHECKING:
    from datetime import datetime

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.prices import PriceList

LAST = KeepPolicy(last=1)
NEWEST = entry(900, time=T0 + days(900))


def stored(
    number: int, parent: HeadEntry | None = None, *, at: float, of: str = "DEEP_ARCHIVE"
) -> HeadEntry:
    """Backup ``number`` of 30 GB in one chunk, finished that many days after ``T0``."""
    made = entry(number, parent, time=T0 + days(at), stored=30 * GB)
    return replace(made, data_class=of, finished=T0 + days(at), chunk_count=1)


def plan(
    *entries: HeadEntry, at: float, pay: bool = False, prices: PriceList = PRICES
) -> PrunePlan:
    """What the rules leave of these and of one that is kept."""
    return plan_prune(head(*entries, NEWEST), LAST, T0 + days(at), None, Minimum(prices, pay))


def removed(result: PrunePlan) -> list[int]:
    return sorted(item.sequence for item in result.removals)


def reason(result: PrunePlan, sequence: int) -> str:
    return next(line.reasons[-1] for line in result.lines if line.entry.sequence == sequence)


def test_what_is_billed_anyway_is_left_until_its_minimum_is_over() -> None:
    result = plan(stored(1, at=0), at=179.9)
    assert removed(result) == []
    ((_, early),) = result.left
    assert early.until == T0 + days(180)
    assert reason(result, 1) == (
        "no rule keeps it, but DEEP_ARCHIVE bills it until 2027-05-19: "
        "removing it before saves nothing"
    )
    assert removed(plan(stored(1, at=0), at=180)) == [1]


def test_a_class_without_a_minimum_is_as_before() -> None:
    result = plan(stored(1, at=0, of="STANDARD"), at=1)
    assert removed(result) == [1]
    assert result.charge_of_all == 0


def test_a_whole_chain_that_is_billed_anyway_is_left() -> None:
    full = stored(1, at=0)
    child = stored(2, full, at=1)
    assert removed(plan(full, child, at=100)) == []


def test_what_would_make_a_free_ancestor_stay_goes_and_pays() -> None:
    """By hand: 30 GB for 100 of 30 days at 0.001 is 0.1; the ancestor for as long is as much."""
    full = stored(1, at=0)
    child = stored(2, full, at=120)
    result = plan(full, child, at=200)
    assert removed(result) == [1, 2]
    (early,) = (line.early for line in result.lines if line.entry == child)
    assert early is not None
    overhead = Decimal(32 * 1024) / GB
    assert early.charge == (30 + overhead) * Decimal("0.001") * 100 / 30
    index = Decimal(8 * 1024) / GB * Decimal("0.03")
    assert round(early.extra, 20) == round(early.charge + index * 100 / 30, 20)
    assert result.charge == early.charge
    assert "keeping it would cost more" in reason(result, 2)


def test_an_ancestor_that_is_kept_anyway_costs_nothing_more() -> None:
    full = stored(1, at=0)
    unwanted, wanted = stored(2, full, at=120), stored(3, full, at=121)
    pins = {wanted.backup_id: "it is held"}
    live = head(full, unwanted, wanted, NEWEST)
    result = plan_prune(live, LAST, T0 + days(200), pins, Minimum(PRICES))
    assert removed(result) == []


def test_siblings_do_not_keep_an_ancestor_for_each_other() -> None:
    full = stored(1, at=0)
    assert removed(plan(full, stored(2, full, at=120), stored(3, full, at=121), at=200)) == [
        1,
        2,
        3,
    ]


def test_an_ancestor_of_another_class_is_free_when_its_own_minimum_is_over() -> None:
    full = stored(1, at=0, of="STANDARD")
    assert removed(plan(full, stored(2, full, at=1), at=2)) == [1, 2]
    full = stored(1, at=0, of="GLACIER")
    assert removed(plan(full, stored(2, full, at=1), at=80)) == []
    assert removed(plan(full, stored(2, full, at=1), at=91)) == [1, 2]


def test_what_has_no_price_is_left_with_the_ancestors_it_needs() -> None:
    prices = replace(PRICES, classes={"STANDARD": PRICES.classes["STANDARD"]})
    full = stored(1, at=0)
    child = stored(2, full, at=120)
    result = plan(full, child, at=200, prices=prices)
    assert removed(result) == []
    assert "without a price for DEEP_ARCHIVE" in reason(result, 2)
    assert reason(result, 1) == f"{child.backup_id} needs it"
    assert result.unpriced == {"DEEP_ARCHIVE"}
    assert removed(plan(full, child, at=300, prices=prices)) == [1, 2]


def test_who_pays_removes_it_all_and_is_told_the_charge() -> None:
    result = plan(stored(1, at=0), stored(2, at=90), at=150, pay=True)
    assert removed(result) == [1, 2]
    left = plan(stored(1, at=0), stored(2, at=90), at=150)
    assert removed(left) == []
    assert not left.charge
    assert left.charge_of_all == result.charge
    overhead = Decimal(32 * 1024) / GB
    assert result.charge == (30 + overhead) * Decimal("0.001") * (30 + 120) / 30


def test_a_wrong_clock_never_charges_more_than_the_whole_minimum() -> None:
    finished_ahead = replace(stored(1, at=50), finished=T0 + days(300))
    result = plan(finished_ahead, at=100, pay=True)
    overhead = Decimal(32 * 1024) / GB
    assert result.charge == (30 + overhead) * Decimal("0.001") * 6


@quickly
@given(cold_heads(), policies, presents, st.booleans())
def test_leaving_is_only_ever_more_and_never_breaks_a_chain(
    forest: Head, policy: KeepPolicy, now: datetime, pay: bool
) -> None:
    plain = plan_prune(forest, policy, now)
    result = plan_prune(forest, policy, now, None, Minimum(PRICES, pay))
    assert set(plain.remaining) <= set(result.remaining)
    assert not pay or result.remaining == plain.remaining
    shorter = replace(forest, backups=result.remaining)
    live_chains(shorter)
    for item in result.remaining:
        assert chain_of(shorter, item.backup_id) == chain_of(forest, item.backup_id)
    again = plan_prune(shorter, policy, now, None, Minimum(PRICES, pay))
    assert again.removals == ()


@quickly
@given(cold_heads(), policies, presents)
def test_what_is_left_costs_nothing_that_removing_it_would_save(
    forest: Head, policy: KeepPolicy, now: datetime
) -> None:
    plain = plan_prune(forest, policy, now)
    result = plan_prune(forest, policy, now, None, Minimum(PRICES))
    for item in set(result.remaining) - set(plain.remaining):
        assert minimum_until(item.data_class, item.finished) > now
    gone = {item.backup_id: item for item in plain.removals}
    for item in result.removals:
        links = [item.backup_id, *(each.backup_id for each in chain_of(forest, item.backup_id))]
        free = [
            each
            for each in links
            if each in gone and minimum_until(gone[each].data_class, gone[each].finished) <= now
        ]
        assert free, "it could have stayed at no cost"


@quickly
@given(cold_heads(), policies, times, presents)
def test_a_clock_that_is_behind_leaves_at_least_as_much(
    forest: Head, policy: KeepPolicy, wrong: datetime, right: datetime
) -> None:
    wrong, right = sorted((wrong, right))
    behind = plan_prune(forest, policy, wrong, None, Minimum(PRICES))
    there = plan_prune(forest, policy, right, None, Minimum(PRICES))
    assert set(there.remaining) <= set(behind.remaining)


def test_every_class_of_the_examples_has_a_price() -> None:
    assert set(classes) <= set(PRICES.classes)


def test_ten_thousand_backups_of_one_chain_are_judged_at_once() -> None:
    entries = [replace(item, data_class="DEEP_ARCHIVE") for item in chain(10_000)]
    live = head(*entries, entry(20_000, time=T0 + days(30_000)))
    result = plan_prune(live, LAST, T0 + days(10_000), None, Minimum(PRICES))
    assert len(result.removals) == 10_000
    assert len(result.early) == 181
