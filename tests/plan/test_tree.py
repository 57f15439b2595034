"""The strategy ``tree``: what a backup is built on, and how long chains become."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.model.policy import ChainPolicy, KeepPolicy, Strategy
from btrfs_to_s3.plan.backup.decision import Decision
from btrfs_to_s3.plan.backup.facts import BackupWishes
from btrfs_to_s3.plan.backup.growth import coming_bases, widest
from btrfs_to_s3.plan.backup.tree import MAX_LINKS, Level, places
from btrfs_to_s3.plan.chain import chain_of, live_chains
from btrfs_to_s3.plan.retention.retention import plan_prune
from tests.plan.build import SOURCE_UUID, entry, head, snapshot_of, source, uid
from tests.plan.planning import plan
from tests.plan.strategies import heads, presents, quickly, times

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.plan.backup.backup import BackupPlan

TREE = ChainPolicy(strategy=Strategy.TREE)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def next_after(
    *live: HeadEntry,
    now: str,
    policy: ChainPolicy = TREE,
    local: list[Subvolume] | None = None,
    of: Subvolume | None = None,
) -> BackupPlan:
    """The plan of a backup at ``now``, with the snapshots of all live backups here."""
    here = [snapshot_of(item) for item in live] if local is None else local
    return plan(head(*live), *here, wishes=BackupWishes(chain=policy), now=at(now), of=of)


def parent_of(result: BackupPlan) -> int | None:
    """The number of the backup it is built on."""
    return None if result.parent is None else result.parent.entry.sequence


def grown(*moments: str, policy: ChainPolicy = TREE) -> list[HeadEntry]:
    """The backups that a run at each of these times makes, every snapshot staying here."""
    live: list[HeadEntry] = []
    for number, moment in enumerate(moments, start=1):
        result = next_after(*live, now=moment, policy=policy)
        parent = None if result.parent is None else result.parent.entry
        live.append(entry(number, parent, time=at(moment)))
    return live


def parents(live: list[HeadEntry]) -> list[int | None]:
    numbers = {item.backup_id: item.sequence for item in live}
    return [None if item.parent is None else numbers[item.parent] for item in live]


def test_year_month_and_day_are_each_built_on_the_newest_of_the_period_around() -> None:
    live = grown(
        "2026-01-01T02:00",
        "2026-01-01T14:00",  # 2: within the day that the full one begins
        "2026-01-02T02:00",  # 3: begins a day of the month that the full one begins
        "2026-01-02T14:00",  # 4: within it
        "2026-01-02T20:00",  # 5: the same, so not on 4
        "2026-02-01T02:00",  # 6: begins a month
        "2026-02-01T14:00",  # 7
        "2026-02-03T02:00",  # 8: begins a day of it
        "2026-02-03T14:00",  # 9: within
        "2027-01-05T02:00",  # 10: begins a year
    )
    assert parents(live) == [None, 1, 1, 3, 3, 1, 6, 6, 8, None]


@pytest.mark.parametrize(
    ("now", "level"),
    [
        ("2026-02-03T23:59", "level moment: on the newest base of 2026-02-03"),
        ("2026-02-04T00:00", "level day: there is no base of 2026-02-04 yet, so on the newest"),
        ("2026-03-01T00:00", "level month: there is no base of 2026-03 yet, so on the newest"),
        ("2027-01-01T00:00", "level year: there is none of 2027 yet"),
    ],
)
def test_the_plan_says_which_level_and_why(now: str, level: str) -> None:
    live = grown("2026-01-01T02:00", "2026-02-01T02:00", "2026-02-03T02:00")
    assert level in next_after(*live, now=now).reasons[-1]


def test_periods_are_of_utc() -> None:
    live = grown("2026-01-31T23:30")
    still_january = datetime(2026, 2, 1, 4, 45, tzinfo=timezone(timedelta(hours=5)))
    assert places(head(*live), still_january)[0].level is Level.MOMENT
    assert places(head(*live), still_january + timedelta(hours=1))[0].level is Level.MONTH


def test_the_newest_of_two_full_ones_of_a_year_begins_its_periods() -> None:
    first, second = entry(1, time=at("2026-01-01")), entry(2, time=at("2026-02-05"))
    assert parent_of(next_after(first, second, now="2026-02-07")) == 2
    assert parent_of(next_after(first, second, now="2026-03-01")) == 2


def test_a_chain_that_another_strategy_grew_is_not_built_on_where_it_is_too_long() -> None:
    live = [entry(1, time=at("2026-03-01"))]
    for number in range(2, 7):
        live.append(entry(number, live[-1], time=at(f"2026-03-0{number}")))
    assert parent_of(next_after(*live, now="2026-03-20")) == 1
    assert parent_of(next_after(*live, now="2026-03-02T20:00")) == 2
    # 5 began its day by the calendar, but has too many ancestors for one more.
    assert parent_of(next_after(*live, now="2026-03-05T20:00")) == 1
    tip = snapshot_of(live[-1])
    result = next_after(*live, now="2026-03-20", local=[tip])
    assert result.decision is Decision.FULL
    assert "not on this filesystem" in result.reasons[1]


def test_without_its_base_a_backup_takes_the_best_that_is_here_and_says_so() -> None:
    live = grown("2026-01-01T02:00", "2026-02-01T02:00", "2026-02-03T02:00")
    here = [snapshot_of(live[0])]
    result = next_after(*live, now="2026-02-03T14:00", local=here)
    assert parent_of(result) == 1
    assert "the base for it" in result.reasons[-1]
    assert "not on this filesystem" in result.reasons[-1]
    # Only what begins a day is here: better than a full one, and still within the bound.
    result = next_after(*live, now="2026-03-01T02:00", local=[snapshot_of(live[2])])
    assert parent_of(result) == 3


def test_a_changed_snapshot_is_no_base() -> None:
    live = grown("2026-01-01T02:00", "2026-01-02T02:00")
    changed = replace(snapshot_of(live[1]), readonly=False)
    result = next_after(*live, now="2026-01-02T14:00", local=[snapshot_of(live[0]), changed])
    assert parent_of(result) == 1
    assert "writable now" in result.reasons[-1]


def test_last_years_snapshots_are_no_reason_against_a_full_one() -> None:
    live = grown("2026-12-31T02:00", "2026-12-31T22:00")
    assert next_after(*live, now="2027-01-01T02:00").decision is Decision.FULL


def test_a_snapshot_of_another_lineage_is_no_base() -> None:
    live = grown("2026-01-01T02:00")
    other = replace(snapshot_of(live[0]), parent_uuid=uid(70))
    result = next_after(*live, now="2026-01-02T02:00", local=[other])
    assert result.decision is Decision.FULL
    assert "another lineage" in result.reasons[1]


@pytest.mark.parametrize(
    ("max_chain", "expected"),
    [(1, [None] * 5), (2, [None, 1, 1, 1, 1]), (3, [None, 1, 2, 2, 2]), (60, [None, 1, 2, 3, 3])],
)
def test_max_chain_leaves_out_levels(max_chain: int, expected: list[int | None]) -> None:
    moments = ("2026-01-01", "2026-02-01", "2026-02-03", "2026-02-03T08:00", "2026-02-03T09:00")
    policy = replace(TREE, max_chain=max_chain)
    assert parents(grown(*moments, policy=policy)) == expected


def test_full_every_asks_for_a_full_one_within_the_year_too() -> None:
    policy = replace(TREE, full_every=timedelta(days=30))
    live = grown("2026-01-01", "2026-01-20", "2026-02-10", "2026-02-20", policy=policy)
    assert parents(live) == [None, 1, None, 3]


def test_a_clock_that_is_wrong_for_a_while_costs_one_full_backup() -> None:
    live = grown("2026-03-01", "2026-03-02", "2107-01-01", "2107-01-02", "2026-03-03")
    assert parents(live) == [None, 1, None, 3, 1]


def test_a_clock_that_goes_back_within_the_year_loses_no_base() -> None:
    live = grown("2026-06-01", "2026-06-02", "2026-01-15", "2026-01-16", "2026-06-03")
    assert parents(live) == [None, 1, 1, 3, 1]


@quickly
@given(st.lists(times, max_size=14), st.integers(2, 6))
def test_no_order_of_times_makes_a_chain_longer_than_its_bound(
    moments: list[datetime], max_chain: int
) -> None:
    policy = replace(TREE, max_chain=max_chain)
    live: list[HeadEntry] = []
    for number, now in enumerate(moments, start=1):
        here = [snapshot_of(item) for item in live]
        wishes = BackupWishes(chain=policy)
        result = plan(head(*live), *here, wishes=wishes, now=now)
        parent = None if result.parent is None else result.parent.entry
        live.append(entry(number, parent, time=now))
        years = {item.snapshot_time.year for item in live[:-1] if item.parent is None}
        assert (parent is None) == (now.year not in years)
    chains = live_chains(head(*live)).values()
    assert all(len(chain) <= min(MAX_LINKS, max_chain) for chain in chains)


@quickly
@given(heads(min_size=1), presents, st.data())
def test_whatever_is_live_and_here_the_bound_holds_and_the_reasons_are_given(
    forest: Head, now: datetime, data: st.DataObject
) -> None:
    here = [snapshot_of(item) for item in forest.backups if data.draw(st.booleans())]
    result = plan(forest, *here, wishes=BackupWishes(chain=TREE), now=now)
    assert result.reasons
    if result.parent is not None:
        assert len(chain_of(forest, result.parent.entry.backup_id)) < MAX_LINKS
        assert result.parent.local in here


@quickly
@given(st.lists(times, min_size=1, max_size=14, unique=True))
def test_pruning_with_the_pins_of_the_tree_leaves_the_next_backup_its_base(
    moments: list[datetime],
) -> None:
    *before, now = sorted(moments)
    live = grown(*(moment.replace(tzinfo=None).isoformat() for moment in before))
    if not live:
        return
    stored = head(*live)
    usable = {item.backup_id for item in live}
    pins = {item.backup_id: "to come" for item in coming_bases(stored, TREE, now, usable)}
    left = plan_prune(stored, KeepPolicy(last=1), now, pins).remaining
    here = [snapshot_of(item) for item in live]
    wishes = BackupWishes(chain=TREE)
    first = plan(stored, *here, wishes=wishes, now=now)
    assert plan(head(*left), *here, wishes=wishes, now=now).parent == first.parent


def test_the_coming_bases_are_those_of_day_month_and_year() -> None:
    live = grown("2026-01-01", "2026-02-01", "2026-02-03", "2026-02-03T14:00")
    every = {item.backup_id for item in live}

    def bases(now: str) -> list[int]:
        found = coming_bases(head(*live), TREE, at(now), every)
        return [item.sequence for item in found]

    assert bases("2026-02-03T20:00") == [4, 3, 2, 1]
    assert bases("2026-03-01") == [4, 1]
    assert bases("2027-01-01") == [4]


@pytest.mark.parametrize("own", [ChainPolicy(), ChainPolicy(max_chain=2)])
def test_a_repository_with_short_chains_costs_no_other_its_bases(own: ChainPolicy) -> None:
    live = grown("2026-01-01", "2026-02-01", "2026-02-03", "2026-02-03T14:00")
    every = {item.backup_id for item in live}
    now = at("2026-02-03T20:00")
    wanted = coming_bases(head(*live), TREE, now, every)
    short = replace(TREE, max_chain=2)
    for policy in (
        widest([own], tree=True),
        widest([own, short, TREE], tree=False),
        widest([short], tree=True),
    ):
        assert coming_bases(head(*live), policy, now, every) == wanted
    assert widest([own], tree=False) == own


def test_ten_thousand_backups_are_placed_at_once() -> None:
    live = [entry(1, time=at("2026-01-01"))]
    live += [entry(n, live[0], time=at("2026-01-02")) for n in range(2, 10_001)]
    of = source(parent=SOURCE_UUID)
    local = [snapshot_of(live[0])]
    assert parent_of(next_after(*live, now="2026-05-01", local=local, of=of)) == 1
