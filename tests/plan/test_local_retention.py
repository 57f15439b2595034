"""Which local snapshots may go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.model.identity import SourceId
from btrfs_to_s3.model.policy import ChainPolicy, KeepPolicy, Strategy
from btrfs_to_s3.plan.backup.facts import BackupWishes
from btrfs_to_s3.plan.backup.parents import valid_parents
from btrfs_to_s3.plan.retention.local import LocalFacts, LocalPrunePlan, plan_local_prune
from tests.plan.build import (
    SOURCE_UUID,
    T0,
    chain,
    days,
    entry,
    head,
    received_copy,
    snapshot_of,
    source,
    subvolume,
    uid,
)
from tests.plan.planning import plan as plan_of
from tests.plan.strategies import heads, policies, presents, quickly, times

if TYPE_CHECKING:
    from uuid import UUID

    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.model.subvolume import Subvolume

NOW = T0 + days(100)
LAST = KeepPolicy(last=1)


def plan(
    *snapshots: Subvolume,
    heads: tuple[Head, ...] = (),
    policy: KeepPolicy = LAST,
    protected: dict[UUID, str] | None = None,
    received: dict[UUID, int] | None = None,
) -> LocalPrunePlan:
    facts = LocalFacts(source(), snapshots, heads, received or {}, protected or {})
    return plan_local_prune(facts, policy, NOW)


def removed(result: LocalPrunePlan) -> list[int]:
    return [snapshot.id - 256 for snapshot in result.removals]


def test_only_the_newest_backups_snapshot_is_needed() -> None:
    entries = chain(3)
    result = plan(*map(snapshot_of, entries), heads=(head(*entries),))
    assert removed(result) == [1, 2]
    assert "builds on it" in result.lines[2].reasons[0]


def test_each_repository_keeps_its_own_parent() -> None:
    entries = chain(4)
    behind = head(*entries[:2], source_id=SourceId("data", "00000002"))
    result = plan(*map(snapshot_of, entries), heads=(head(*entries), behind))
    assert removed(result) == [1, 3]
    assert "data-00000002" in result.lines[1].reasons[0]


def test_where_the_newest_is_gone_the_newest_valid_one_is_kept() -> None:
    entries = chain(3)
    unsent = subvolume(9, parent=SOURCE_UUID, readonly=True)
    local = [snapshot_of(item) for item in entries[:2]]
    assert removed(plan(*local, unsent, heads=(head(*entries),))) == [1]


def test_a_received_snapshot_of_the_newest_backup_stays_without_its_record() -> None:
    entries = chain(1)
    copy = replace(received_copy(entries[0], 30), parent_uuid=SOURCE_UUID)
    unsent = subvolume(40, parent=SOURCE_UUID, readonly=True)
    assert removed(plan(copy, unsent, heads=(head(*entries),))) == []


def test_snapshots_of_open_journals_stay() -> None:
    first, second = (subvolume(number, parent=SOURCE_UUID, readonly=True) for number in (1, 2))
    result = plan(first, second, protected={first.uuid: "its upload is open"})
    assert removed(result) == []
    assert result.lines[0].reasons == ("its upload is open",)


def test_snapshots_that_no_backup_was_made_of_go_by_the_rules() -> None:
    first, second = (subvolume(number, parent=SOURCE_UUID, readonly=True) for number in (1, 2))
    assert removed(plan(first, second)) == [1]


def test_without_rules_every_snapshot_stays() -> None:
    entries = chain(3)
    result = plan(*map(snapshot_of, entries), heads=(head(*entries),), policy=KeepPolicy())
    assert removed(result) == []
    assert result.lines[0].reasons == ("no keep rule is set",)


def test_what_is_not_the_sources_own_is_not_even_listed() -> None:
    foreign = subvolume(1, parent=uid(60), readonly=True)
    writable = subvolume(2, parent=SOURCE_UUID)
    itself = replace(source(), readonly=True)
    own = subvolume(3, parent=SOURCE_UUID, readonly=True)
    result = plan(foreign, writable, itself, own)
    assert [line.snapshot for line in result.lines] == [own]


def test_the_order_of_snapshots_is_not_taken_from_a_clock() -> None:
    late = replace(subvolume(1, parent=SOURCE_UUID, readonly=True), otime=T0 + days(50))
    newest = replace(subvolume(2, parent=SOURCE_UUID, readonly=True), otime=T0)
    assert removed(plan(late, newest)) == [1]


@quickly
@given(heads(min_size=1), heads(), policies, presents, st.data())
def test_every_repository_can_go_on_incrementally_as_before(
    first: Head, second: Head, policy: KeepPolicy, now: datetime, data: st.DataObject
) -> None:
    every = {item.snapshot_uuid: item for item in (*first.backups, *second.backups)}
    local = [snapshot_of(item) for item in every.values() if data.draw(st.booleans())]
    foreign = subvolume(77, parent=uid(60), readonly=True)
    facts = LocalFacts(source(), (*local, foreign), (first, second), {}, {})
    result = plan_local_prune(facts, policy, now)
    assert foreign not in result.removals
    left = [snapshot for snapshot in local if snapshot not in result.removals]
    for stored in (first, second):
        assert valid_parents(stored, left, {})[:1] == valid_parents(stored, local, {})[:1]


@quickly
@given(heads(min_size=1), policies, times, st.data())
def test_a_tree_grows_on_the_same_base_after_local_snapshots_were_pruned(
    stored: Head, policy: KeepPolicy, now: datetime, data: st.DataObject
) -> None:
    local = [snapshot_of(item) for item in stored.backups if data.draw(st.booleans())]
    chain = ChainPolicy(strategy=Strategy.TREE)
    facts = LocalFacts(source(), tuple(local), (stored,), {}, {}, chain)
    gone = plan_local_prune(facts, policy, now).removals
    left = [snapshot for snapshot in local if snapshot not in gone]
    wishes = BackupWishes(chain=chain)
    before = plan_of(stored, *local, wishes=wishes, now=now)
    assert plan_of(stored, *left, wishes=wishes, now=now).parent == before.parent


def test_a_tree_keeps_the_bases_of_day_month_and_year() -> None:
    full = entry(1, time=datetime(2027, 1, 1, tzinfo=UTC))
    month = entry(2, full, time=datetime(2027, 2, 1, tzinfo=UTC))
    past = entry(3, month, time=datetime(2027, 2, 2, tzinfo=UTC))
    day = entry(4, month, time=datetime(2027, 2, 3, tzinfo=UTC))
    last = entry(5, day, time=datetime(2027, 2, 3, 9, tzinfo=UTC))
    stored = head(full, month, past, day, last)
    tree = ChainPolicy(strategy=Strategy.TREE)
    local = tuple(map(snapshot_of, stored.backups))
    facts = LocalFacts(source(), local, (stored,), {}, {}, tree)
    result = plan_local_prune(facts, LAST, datetime(2027, 2, 3, 12, tzinfo=UTC))
    assert removed(result) == [3]
    assert result.lines[0].reasons == ("an increment to come of data-1f2e3d4c builds on it",)
