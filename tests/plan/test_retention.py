"""Which backups may go (guarantee 7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.model.policy import KeepPolicy
from btrfs_to_s3.plan.chain import chain_of, live_chains
from btrfs_to_s3.plan.retention.keep import Dated, kept_by_rules
from btrfs_to_s3.plan.retention.retention import PrunePlan, plan_prune
from tests.plan.build import T0, chain, days, entry, head
from tests.plan.strategies import heads, policies, presents, quickly, times

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import Head

NOW = datetime(2028, 1, 1, tzinfo=UTC)


def kept(result: PrunePlan) -> list[int]:
    return [item.sequence for item in result.remaining]


def reasons(result: PrunePlan, sequence: int) -> tuple[str, ...]:
    return next(line.reasons for line in result.lines if line.entry.sequence == sequence)


def daily_fulls(count: int) -> Head:
    return head(*(entry(number) for number in range(1, count + 1)))


def test_without_rules_everything_stays_and_says_so() -> None:
    result = plan_prune(daily_fulls(3), KeepPolicy(), NOW)
    assert kept(result) == [1, 2, 3]
    assert all("no keep rule is set" in line.reasons for line in result.lines)


def test_the_last_ones_stay() -> None:
    result = plan_prune(daily_fulls(5), KeepPolicy(last=2), NOW)
    assert kept(result) == [4, 5]
    assert reasons(result, 4) == ("last 2 of 2",)
    assert result.freed_bytes == 3 * 400
    assert "no rule keeps it" in reasons(result, 1)[0]


def test_the_newest_stays_whatever_the_rules_say() -> None:
    assert kept(plan_prune(daily_fulls(3), KeepPolicy(yearly=1), NOW)) == [3]
    first = entry(1, time=T0 + days(50))
    late = entry(2, time=T0)
    result = plan_prune(head(first, late), KeepPolicy(yearly=1), NOW)
    assert kept(result) == [1, 2]
    assert "the newest" in reasons(result, 2)[0]


def test_ancestors_of_what_is_kept_stay_and_name_it() -> None:
    entries = chain(4)
    other = entry(5)
    result = plan_prune(head(*entries, other), KeepPolicy(last=2), NOW)
    assert kept(result) == [1, 2, 3, 4, 5]
    assert reasons(result, 1) == (f"{entries[3].backup_id} needs it",)


def test_a_whole_old_chain_goes_children_first() -> None:
    old = chain(3)
    result = plan_prune(head(*old, entry(9)), KeepPolicy(last=1), NOW)
    assert [item.sequence for item in result.removals] == [3, 2, 1]


def test_the_end_of_a_chain_goes_where_its_beginning_is_kept() -> None:
    first = entry(1, time=datetime(2026, 1, 31, tzinfo=UTC))
    second = entry(2, first, time=datetime(2026, 2, 1, tzinfo=UTC))
    third = entry(3, second, time=datetime(2026, 2, 2, tzinfo=UTC))
    fresh = entry(4, time=datetime(2026, 3, 1, tzinfo=UTC))
    result = plan_prune(head(first, second, third, fresh), KeepPolicy(monthly=3), NOW)
    assert kept(result) == [1, 2, 3, 4]
    result = plan_prune(head(first, second, fresh), KeepPolicy(last=1), NOW, {first.backup_id: "x"})
    assert kept(result) == [1, 4]
    assert reasons(result, 1) == ("x",)


def test_a_pinned_backup_that_is_not_live_changes_nothing() -> None:
    result = plan_prune(daily_fulls(2), KeepPolicy(last=1), NOW, {entry(9).backup_id: "held"})
    assert kept(result) == [2]


@pytest.mark.parametrize(
    ("policy", "hours", "expected"),
    [
        (KeepPolicy(hourly=2), [0, 0.5, 1, 1.5, 5], [4, 5]),
        (KeepPolicy(daily=2), [0, 1, 25, 26, 70], [4, 5]),
        (KeepPolicy(weekly=2), [0, 1, 24 * 7, 24 * 7 + 1, 24 * 30], [4, 5]),
        (KeepPolicy(monthly=2), [0, 24, 24 * 20, 24 * 21, 24 * 70], [4, 5]),
        (KeepPolicy(yearly=2), [0, 24, 24 * 60, 24 * 61, 24 * 500], [4, 5]),
    ],
)
def test_each_rule_keeps_the_newest_of_each_of_its_recent_periods(
    policy: KeepPolicy, hours: list[float], expected: list[int]
) -> None:
    entries = [entry(n, time=T0 + timedelta(hours=hour)) for n, hour in enumerate(hours, start=1)]
    assert kept(plan_prune(head(*entries), policy, T0 + days(999))) == expected


def test_weeks_are_iso_weeks() -> None:
    sunday = entry(1, time=datetime(2026, 12, 27, tzinfo=UTC))
    thursday = entry(2, time=datetime(2026, 12, 31, tzinfo=UTC))
    friday = entry(3, time=datetime(2027, 1, 1, tzinfo=UTC))
    result = plan_prune(head(sunday, thursday, friday), KeepPolicy(weekly=2), NOW)
    assert kept(result) == [1, 3]


def test_a_backup_lists_every_rule_that_keeps_it() -> None:
    result = plan_prune(daily_fulls(2), KeepPolicy(last=1, daily=1, yearly=1), NOW)
    assert [reason.split(" ")[0] for reason in reasons(result, 2)] == [
        "last",
        "daily",
        "yearly",
        "the",
    ]


def test_backups_from_the_future_stay_and_take_no_period() -> None:
    future = entry(1, time=NOW + days(400))
    entries = [future, entry(2), entry(3)]
    result = plan_prune(head(*entries), KeepPolicy(yearly=1), NOW)
    assert kept(result) == [1, 3]
    assert "future" in reasons(result, 1)[0]


def test_a_damaged_head_is_not_pruned() -> None:
    full, child, last = chain(3)
    with pytest.raises(IntegrityError):
        plan_prune(head(full, last), KeepPolicy(last=1), NOW)
    with pytest.raises(IntegrityError):
        plan_prune(head(full, replace(child, parent=last.backup_id), last), KeepPolicy(last=1), NOW)


@quickly
@given(heads(), policies, presents)
def test_no_rules_ever_remove_an_ancestor_of_what_is_kept_nor_the_newest(
    forest: Head, policy: KeepPolicy, now: datetime
) -> None:
    result = plan_prune(forest, policy, now)
    shorter = replace(forest, backups=result.remaining)
    live_chains(shorter)
    for item in result.remaining:
        assert chain_of(shorter, item.backup_id) == chain_of(forest, item.backup_id)
    assert shorter.newest == forest.newest
    assert {*result.remaining, *result.removals} == set(forest.backups)
    assert len(result.remaining) + len(result.removals) == len(forest.backups)
    assert all(line.reasons for line in result.lines)


@quickly
@given(heads(), policies, presents)
def test_a_crash_after_any_removal_leaves_no_child_without_its_parent(
    forest: Head, policy: KeepPolicy, now: datetime
) -> None:
    left = {item.backup_id: item for item in forest.backups}
    for item in plan_prune(forest, policy, now).removals:
        del left[item.backup_id]
        assert item.backup_id not in {other.parent for other in left.values()}


@quickly
@given(heads(), policies, presents)
def test_pruning_what_was_pruned_removes_nothing(
    forest: Head, policy: KeepPolicy, now: datetime
) -> None:
    shorter = replace(forest, backups=plan_prune(forest, policy, now).remaining)
    assert plan_prune(shorter, policy, now).removals == ()


@quickly
@given(heads(), policies, times, presents)
def test_a_clock_that_is_behind_never_removes_what_the_right_one_keeps(
    forest: Head, policy: KeepPolicy, wrong: datetime, right: datetime
) -> None:
    wrong, right = sorted((wrong, right))
    behind = plan_prune(forest, policy, wrong)
    assert set(plan_prune(forest, policy, right).remaining) <= set(behind.remaining)


@quickly
@given(st.lists(times, unique=True, max_size=12), policies, times)
def test_what_lies_in_the_future_stays_and_costs_nothing_else_its_place(
    moments: list[datetime], policy: KeepPolicy, now: datetime
) -> None:
    policy = replace(policy, last=0, yearly=policy.yearly + 1)
    items = [Dated(number, time, number) for number, time in enumerate(moments)]
    past = [item for item in items if item.time <= now]
    result = kept_by_rules(items, policy, now)
    assert {item.name for item in items if item not in past} <= set(result)
    expected = kept_by_rules(past, policy, now)
    assert {item.name for item in past if item.name in result} == set(expected)


@quickly
@given(heads(min_size=1), policies, presents, st.data())
def test_more_generous_rules_keep_at_least_as_much(
    forest: Head, policy: KeepPolicy, now: datetime, data: st.DataObject
) -> None:
    rules = ["last", "hourly", "daily", "weekly", "monthly", "yearly"]
    rule = data.draw(st.sampled_from([name for name in rules if getattr(policy, name)]))
    more = replace(policy, **{rule: getattr(policy, rule) + 1})
    assert set(plan_prune(forest, policy, now).remaining) <= set(
        plan_prune(forest, more, now).remaining
    )


@quickly
@given(st.lists(times, unique=True, max_size=12), policies)
def test_every_rule_keeps_as_many_periods_as_it_was_given(
    moments: list[datetime], policy: KeepPolicy
) -> None:
    items = [Dated(number, time, number) for number, time in enumerate(sorted(moments))]
    result = kept_by_rules(items, policy, datetime(2200, 1, 1, tzinfo=UTC))
    for rule, period in (("daily", "%Y-%j"), ("monthly", "%Y-%m"), ("yearly", "%Y")):
        there = {time.strftime(period) for time in moments}
        by_rule = [n for n, phrases in result.items() if any(p.startswith(rule) for p in phrases)]
        assert len(by_rule) == min(len(there), getattr(policy, rule))


def test_ten_thousand_backups_are_planned_at_once() -> None:
    result = plan_prune(head(*chain(10_000)), KeepPolicy(last=1), NOW + days(99_999))
    assert len(result.remaining) == 10_000
