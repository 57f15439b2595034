"""A policy replayed: every backup of the examples is listed by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btrfs_to_s3.model.policy import ChainPolicy, KeepPolicy, Strategy
from btrfs_to_s3.plan.backup.tree import places
from btrfs_to_s3.plan.chain import chain_in
from btrfs_to_s3.plan.cost.of_plan import Form
from btrfs_to_s3.plan.cost.rates import Rates, measure
from btrfs_to_s3.plan.cost.restore import Line
from btrfs_to_s3.plan.cost.simulate import Replay, Scenario, simulate
from tests.plan.build import T0, days, entry, head
from tests.plan.prices import GB, PRICES

LINE = Line(GB // 8, GB)
FORM = Form("STANDARD", chunk_size_bytes=GB, part_size_bytes=GB)
TEN_DAYS = Scenario(
    rates=Rates(full_bytes=40 * GB, daily_bytes=GB),
    chain=ChainPolicy(max_chain=4),
    keep=KeepPolicy(last=3),
    form=FORM,
    start=T0,
    days=10,
)
"""40 GB of which 1 GB changes a day, from 20 November on; a chunk of 1 GB is one PUT."""


def test_a_chain_of_ten_days_is_what_it_is_by_hand() -> None:
    # Day  backup         live after the prune that keeps the last 3    GB live
    #  0   full 40        0                                             40
    #  1   incr 1 on 0    0 1                                           41
    #  2   incr 1 on 1    0 1 2                                         42
    #  3   incr 1 on 2    0 1 2 3 (0 is needed)                         43
    #  4   full 40        0 1 2 3 4 (2 and 3 need 0 and 1)              83
    #  5   incr 1 on 4    0 1 2 3 4 5 (3 needs the first)               84
    #  6   incr 1 on 5    4 5 6 (85 GB before: the peak)                42
    #  7   incr 1 on 6    4 5 6 7                                       43
    #  8   full 40        4 5 6 7 8                                     83
    #  9   incr 1 on 8    4 5 6 7 8 9                                   84
    # GB-days: 40+41+42+43+83+84+42+43+83+84 = 585 x 0.03 / 30 = 0.585
    # PUTs: 3 x (40 + 3) + 7 x (1 + 3) = 157 x 5 / 1000 = 0.785
    found = simulate(PRICES, TEN_DAYS, Strategy.CHAIN, LINE)
    assert (found.made, found.full, found.removed) == (10, 3, 4)
    assert (found.stored_end_bytes, found.stored_peak_bytes) == (84 * GB, 85 * GB)
    assert found.storage_total == Decimal("0.585")
    assert found.puts.total == Decimal("0.785")
    assert found.early.total == Decimal(0)
    assert found.total == Decimal("1.37")
    assert found.month.total == Decimal("2.52")
    assert found.longest_chain == 4
    # Day 3 is the worst: 40 + 1 + 1 + 1 GB; at 1/8 GB a second 344 s; all within the free egress.
    assert found.worst == T0 + days(3)
    assert (found.worst_links, found.worst_bytes) == (4, 43 * GB)
    (restore,) = found.restores
    assert restore.download == timedelta(seconds=344)
    # 43 objects, 2 GETs each at most: 86 x 0.4 / 1000
    assert restore.cost.total == Decimal("0.0344")


def test_a_tree_of_the_same_ten_days_is_what_it_is_by_hand() -> None:
    # All ten days lie in one month, so each backup is built on the full one of day 0 and holds
    # what changed since: day n has n GB. The full one stays, as do the last three.
    # GB live: 40, 41, 43, 46, then 40 + (2+3+4) = 49, 52, 55, 58, 61, 64; before the last prune 70.
    # GB-days: 40+41+43+46+49+52+55+58+61+64 = 509 x 0.03 / 30 = 0.509
    # PUTs: 40 + 3 and, for n = 1 to 9, n + 3: 43 + 45 + 27 = 115 x 5 / 1000 = 0.575
    found = simulate(PRICES, TEN_DAYS, Strategy.TREE, LINE)
    assert (found.made, found.full, found.removed) == (10, 1, 6)
    assert (found.stored_end_bytes, found.stored_peak_bytes) == (64 * GB, 70 * GB)
    assert found.storage_total == Decimal("0.509")
    assert found.puts.total == Decimal("0.575")
    assert found.longest_chain == 2
    assert (found.worst, found.worst_bytes) == (T0 + days(9), 49 * GB)


def test_what_a_class_bills_anyway_stays_as_prune_leaves_it() -> None:
    # The chain above in GLACIER: nothing goes within its 90 days, so all of 3 x 40 + 7 x 1 stay.
    # GB-days: 40+41+42+43+83+84+85+86+126+127 = 757 x 0.006 / 30 = 0.1514, and for each chunk of
    # 1 GB 32 KiB more at the same price and 8 KiB at 0.03.
    cold = replace(TEN_DAYS, form=replace(FORM, data_class="GLACIER"))
    found = simulate(PRICES, cold, Strategy.CHAIN, LINE)
    assert (found.removed, found.stored_end_bytes) == (0, 127 * GB)
    overhead = (32 * Decimal("0.006") + 8 * Decimal("0.03")) / 1024**2
    assert abs(found.storage_total - 757 * (Decimal("0.006") + overhead) / 30) < Decimal("1e-20")
    assert found.early.total == 0
    assert [each.tier for each in found.restores] == ["expedited", "standard", "bulk"]


def test_what_is_past_its_minimum_goes() -> None:
    # 200 days: what was made in the last 90 stays at least, the first chains are gone.
    cold = replace(TEN_DAYS, form=replace(FORM, data_class="GLACIER"), days=200)
    found = simulate(PRICES, cold, Strategy.CHAIN, LINE)
    # At most 90 days, a week between prunes, and the chain of 4 that the oldest is in.
    assert 90 <= found.made - found.removed <= 90 + 7 + 4


def test_an_increment_is_never_larger_than_a_full_backup() -> None:
    # All of it changes each day and a half.
    wild = replace(TEN_DAYS, rates=Rates(3 * GB, 2 * GB))
    found = simulate(PRICES, wild, Strategy.TREE, LINE)
    # The last ones, of days 7 to 9, and the full one: 3 GB each.
    assert found.stored_end_bytes == 12 * GB


def test_what_is_stored_is_the_measured_part_of_what_is_sent() -> None:
    half = replace(TEN_DAYS, rates=replace(TEN_DAYS.rates, stored_ratio=Decimal("0.5")))
    found = simulate(PRICES, half, Strategy.CHAIN, LINE)
    assert (found.stored_end_bytes, found.storage_total) == (42 * GB, Decimal("0.2925"))


def test_full_every_counts_in_both_strategies() -> None:
    often = replace(TEN_DAYS, chain=ChainPolicy(full_every=days(2)))
    for strategy in Strategy:
        assert simulate(PRICES, often, strategy, LINE).full == 5


def test_without_keep_rules_everything_stays() -> None:
    found = simulate(PRICES, replace(TEN_DAYS, keep=KeepPolicy()), Strategy.CHAIN, LINE)
    # 3 x 40 + 7 x 1
    assert (found.removed, found.stored_end_bytes) == (0, 127 * GB)


def test_runs_may_be_rarer_or_more_frequent_than_days() -> None:
    weekly = replace(TEN_DAYS, rates=replace(TEN_DAYS.rates, every=days(7)))
    assert simulate(PRICES, weekly, Strategy.CHAIN, LINE).made == 2
    hourly = replace(TEN_DAYS, rates=replace(TEN_DAYS.rates, every=timedelta(hours=1)))
    assert simulate(PRICES, hourly, Strategy.CHAIN, LINE).made == 240


def test_a_class_without_a_price_is_named() -> None:
    odd = replace(TEN_DAYS, form=replace(FORM, data_class="FROSTY"))
    assert simulate(PRICES, odd, Strategy.CHAIN, LINE).unpriced == {"FROSTY"}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from([1, 5, 13, 24, 100, 500]), min_size=1, max_size=40),
    st.integers(1, 6),
)
def test_the_tree_is_the_one_that_backups_grow(hours: list[int], max_chain: int) -> None:
    scenario = replace(TEN_DAYS, chain=ChainPolicy(max_chain=max_chain), keep=KeepPolicy())
    replay = Replay(PRICES, scenario, Strategy.TREE)
    taken = datetime(2026, 11, 20, tzinfo=UTC)
    for step in hours:
        before = head(*replay.live.values())
        found = places(before, taken, max_chain)
        replay.back_up(taken)
        made = list(replay.live.values())[-1]
        assert made.parent == (found[0].bases[0].backup_id if found else None)
        assert len(chain_in(replay.live, made.backup_id)) <= min(max_chain, 4)
        taken += timedelta(hours=step)


def test_every_run_of_two_months_makes_a_backup() -> None:
    scenario = replace(
        TEN_DAYS,
        chain=ChainPolicy(),
        keep=KeepPolicy(hourly=24, daily=14, weekly=8, monthly=12),
        rates=replace(TEN_DAYS.rates, every=timedelta(hours=1)),
        days=60,
    )
    for strategy in Strategy:
        assert simulate(PRICES, scenario, strategy, LINE).made == 60 * 24


def test_rates_are_medians_of_what_the_head_lists() -> None:
    # Fulls of 900, 1000 and 5000; increments of 10, 30 and 20 over one day each, and one of 40
    # over two: 20 a day. The low median of 10, 20, 20, 30 is 20. Stored is 40 % of raw.
    fulls = [
        entry(number, raw=raw, stored=raw * 2 // 5)
        for number, raw in ((1, 900), (2, 1000), (3, 5000))
    ]
    steps = [fulls[-1]]
    for number, raw in ((4, 10), (5, 30), (6, 20), (8, 40)):
        steps.append(entry(number, steps[-1], raw=raw, stored=raw * 2 // 5))
    found = measure(head(*fulls, *steps[1:]))
    assert (found.full_bytes, found.daily_bytes) == (1000, 20)
    assert (found.stored_ratio, found.every) == (Decimal("0.4"), days(1))


@pytest.mark.parametrize("backups", [(), (entry(1),)])
def test_what_a_head_cannot_tell_is_not_guessed(backups: tuple[object, ...]) -> None:
    found = measure(head(*backups))  # type: ignore[arg-type]  # entries
    assert (found.daily_bytes, found.every) == (None, None)


def test_backups_by_hand_one_after_the_other_are_no_schedule() -> None:
    full = entry(1)
    soon = entry(2, full, time=full.snapshot_time + timedelta(seconds=3))
    assert measure(head(full, soon)).every == timedelta(hours=1)
