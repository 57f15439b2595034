"""What a backup run does with one source."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from btrfs_to_s3.model.identity import Kind
from btrfs_to_s3.model.policy import ChainPolicy
from btrfs_to_s3.model.subvolume import TOP_LEVEL_ID
from btrfs_to_s3.plan.backup.backup import plan_anew
from btrfs_to_s3.plan.backup.decision import Decision
from btrfs_to_s3.plan.backup.estimate import estimate_bytes, estimate_stored_bytes
from btrfs_to_s3.plan.backup.facts import BackupFacts, BackupWishes
from btrfs_to_s3.plan.backup.growth import chain_age
from tests.plan.build import (
    T0,
    chain,
    days,
    entry,
    head,
    received_copy,
    snapshot_of,
    source,
    uid,
)
from tests.plan.planning import NOW, full_every, plan


def test_the_first_backup_is_full() -> None:
    for stored in (None, head()):
        result = plan(stored)
        assert result.decision is Decision.FULL
        assert result.kind is Kind.FULL
        assert result.parent is None
        assert result.snapshot is None
        assert result.estimate_bytes is None


def test_a_changed_source_is_sent_against_its_newest_valid_snapshot() -> None:
    entries = chain(3)
    result = plan(head(*entries), *map(snapshot_of, entries))
    assert result.decision is Decision.INCREMENTAL
    assert result.kind is Kind.INCREMENTAL
    assert result.parent is not None
    assert result.parent.entry == entries[2]
    assert result.parent.local == snapshot_of(entries[2])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ctransid": 1}, "changed after it was backed up"),
        ({"readonly": False}, "writable now"),
        ({"uuid": uid(99)}, "is not on this filesystem"),
    ],
)
def test_a_newest_snapshot_that_does_not_fit_is_passed_over_with_its_reason(
    change: dict[str, object], reason: str
) -> None:
    entries = chain(2)
    newest = replace(snapshot_of(entries[1]), **change)  # type: ignore[arg-type]
    result = plan(head(*entries), snapshot_of(entries[0]), newest)
    assert result.parent is not None
    assert result.parent.entry == entries[0]
    assert reason in result.reasons[-1]
    assert plan(head(*entries), newest).decision is Decision.FULL


def test_a_snapshot_whose_backup_is_no_longer_live_is_no_parent() -> None:
    entries = chain(2)
    assert plan(head(entries[0]), snapshot_of(entries[1])).decision is Decision.FULL


def test_a_broken_chain_is_not_built_on() -> None:
    entries = chain(2)
    result = plan(head(entries[1]), snapshot_of(entries[1]))
    assert result.decision is Decision.FULL
    assert "its chain is broken" in result.reasons[-1]


def test_a_snapshot_of_another_lineage_is_no_parent() -> None:
    entries = chain(1)
    stranger = snapshot_of(entries[0], parent=uid(60))
    assert plan(head(*entries), stranger).decision is Decision.FULL


def test_a_rolled_back_source_goes_on_from_the_newest_snapshot_of_its_lineage() -> None:
    entries = chain(2)
    old = uid(60)
    local = [snapshot_of(item, parent=old) for item in entries]
    rolled_back = source(parent=local[0].uuid)
    result = plan(head(*entries), *local, of=rolled_back)
    assert result.parent is not None
    assert result.parent.entry == entries[1]


def test_after_a_disaster_restore_the_received_snapshot_is_the_parent() -> None:
    entries = chain(2)
    base = received_copy(entries[0], 30)
    copy = received_copy(entries[1], 31, parent=base.uuid)
    restored = source(parent=copy.uuid)
    result = plan(head(*entries), base, copy, of=restored, received=(copy,))
    assert result.decision is Decision.INCREMENTAL
    assert result.parent is not None
    assert result.parent.local == copy
    assert plan(head(*entries), base, copy, of=restored).decision is Decision.FULL


def test_an_unchanged_restored_source_is_skipped() -> None:
    entries = chain(1)
    copy = received_copy(entries[0], 31)
    restored = source(parent=copy.uuid, ctransid=copy.ctransid)
    result = plan(head(*entries), copy, of=restored, received=(copy,))
    assert result.decision is Decision.SKIP


def test_an_unchanged_source_is_skipped_unless_forced() -> None:
    entries = chain(2)
    local = [snapshot_of(item) for item in entries]
    unchanged = source(ctransid=local[1].ctransid)
    skipped = plan(head(*entries), *local, of=unchanged)
    assert skipped.decision is Decision.SKIP
    assert skipped.kind is None
    assert "nothing changed" in skipped.reasons[0]
    forced = plan(head(*entries), *local, of=unchanged, wishes=BackupWishes(force=True))
    assert forced.decision is Decision.INCREMENTAL
    asked = plan(head(*entries), *local, of=unchanged, wishes=BackupWishes(full=True))
    assert asked.decision is Decision.FULL


def test_a_source_back_at_an_older_backups_state_is_not_unchanged() -> None:
    entries = chain(2)
    local = [snapshot_of(item) for item in entries]
    result = plan(head(*entries), *local, of=source(ctransid=local[0].ctransid))
    assert result.decision is Decision.INCREMENTAL


def test_a_changed_snapshot_does_not_make_the_source_unchanged() -> None:
    entries = chain(1)
    edited = replace(snapshot_of(entries[0]), ctransid=500)
    result = plan(head(*entries), edited, of=source(ctransid=500))
    assert result.decision is Decision.FULL


def test_an_equal_ctransid_of_an_unrelated_subvolume_proves_nothing() -> None:
    entries = chain(1)
    stranger = snapshot_of(entries[0], parent=uid(60))
    result = plan(head(*entries), stranger, of=source(ctransid=stranger.ctransid))
    assert result.decision is Decision.FULL


def test_the_top_level_is_never_skipped_and_says_why() -> None:
    entries = chain(1)
    local = snapshot_of(entries[0])
    top = replace(source(ctransid=local.ctransid), id=TOP_LEVEL_ID, path="")
    result = plan(head(*entries), local, of=top)
    assert result.decision is Decision.INCREMENTAL
    assert "cannot be known" in result.reasons[-1]


def test_a_full_backup_is_due_after_its_time() -> None:
    entries = chain(3)
    local = [snapshot_of(item) for item in entries]
    assert plan(head(*entries), *local, wishes=full_every(30)).decision is Decision.INCREMENTAL
    result = plan(head(*entries), *local, wishes=full_every(29))
    assert result.decision is Decision.FULL
    assert "29 days old" in result.reasons[0]


def test_short_times_are_given_in_hours() -> None:
    entries = chain(1)
    now = entries[0].snapshot_time + timedelta(hours=13)
    result = plan(head(*entries), snapshot_of(entries[0]), wishes=full_every(0.5), now=now)
    assert result.reasons == ("full: the last one is 13 h old and full_every is 12 h",)


def test_a_full_backup_is_due_when_the_chain_is_as_long_as_allowed() -> None:
    entries = chain(3)
    local = [snapshot_of(item) for item in entries]
    allowed = BackupWishes(chain=ChainPolicy(max_chain=4))
    assert plan(head(*entries), *local, wishes=allowed).decision is Decision.INCREMENTAL
    result = plan(head(*entries), *local, wishes=BackupWishes(chain=ChainPolicy(max_chain=3)))
    assert result.decision is Decision.FULL
    assert "max_chain is 3" in result.reasons[0]


def test_a_clock_that_went_back_asks_for_no_full_backup() -> None:
    entries = chain(3)
    result = plan(
        head(*entries),
        *map(snapshot_of, entries),
        wishes=full_every(7),
        now=T0 - days(20000),
    )
    assert result.decision is Decision.INCREMENTAL


def test_a_full_backup_from_the_future_does_not_put_off_the_next_one_for_ever() -> None:
    future = entry(1, time=T0 + days(20000))
    second = entry(2, future)
    third = entry(3, second, time=T0 + days(9))
    assert chain_age((future, second, third), T0 + days(10)) == days(8)
    local = [snapshot_of(item) for item in (future, second, third)]
    result = plan(head(future, second, third), *local, wishes=full_every(7), now=T0 + days(10))
    assert result.decision is Decision.FULL


def test_a_full_backup_can_be_asked_for() -> None:
    entries = chain(1)
    result = plan(head(*entries), snapshot_of(entries[0]), wishes=BackupWishes(full=True))
    assert result.reasons == ("full: asked for",)


def test_a_writable_source_with_a_received_uuid_is_refused() -> None:
    result = plan(None, of=replace(source(), received_uuid=uid(3)))
    assert result.decision is Decision.REFUSE
    assert result.refusal is not None
    assert "writable snapshot" in result.refusal.remedy


def test_a_received_snapshot_is_sent_as_it_is() -> None:
    mirror = replace(source(), received_uuid=uid(3), readonly=True)
    refused = plan(None, of=mirror)
    assert refused.refusal is not None
    assert "--snapshot" in refused.refusal.remedy
    given = plan(None, of=mirror, wishes=BackupWishes(snapshot=mirror))
    assert given.decision is Decision.FULL
    assert given.snapshot == mirror


def test_estimates_come_from_what_was_sent_before() -> None:
    full = entry(1, raw=9000)
    second_full = entry(2, raw=8000)
    parent = second_full
    entries = [full, second_full]
    for number, raw in enumerate((1, 10, 20, 1_000_000, 30, 40), start=3):
        parent = entry(number, parent, raw=raw)
        entries.append(parent)
    stored = head(*reversed(entries))
    assert estimate_bytes(stored, Kind.FULL) == 8000
    assert estimate_bytes(stored, Kind.INCREMENTAL) == 30
    assert estimate_bytes(None, Kind.FULL) is None
    assert estimate_bytes(head(full), Kind.INCREMENTAL) is None


def test_the_stored_size_is_estimated_in_the_same_way() -> None:
    full = entry(1, raw=9000, stored=3000)
    steps = [entry(number, full, stored=10 * number) for number in range(2, 9)]
    stored = head(full, *steps)
    assert estimate_stored_bytes(stored, Kind.FULL) == 3000
    assert estimate_stored_bytes(stored, Kind.INCREMENTAL) == 60
    made = plan(stored, snapshot_of(steps[-1]))
    assert made.estimate_stored_bytes == 60
    assert estimate_stored_bytes(None, Kind.FULL) is None


def test_a_plan_names_the_backup_whose_chain_it_relies_on() -> None:
    entries = chain(2)
    local = [snapshot_of(item) for item in entries]
    assert plan(head(*entries), *local).relies_on == entries[1]
    assert plan(head(*entries), *local, wishes=BackupWishes(full=True)).relies_on is None
    unchanged = source(ctransid=local[1].ctransid)
    assert plan(head(*entries), *local, of=unchanged).relies_on == entries[1]


def test_a_chain_that_lost_something_makes_the_backup_full_whatever_was_planned() -> None:
    entries = chain(2)
    local = [snapshot_of(item) for item in entries]
    for taken in (source(), source(ctransid=local[1].ctransid)):
        facts = BackupFacts(taken, (taken, *local), head(*entries), {})
        anew = plan_anew(facts, BackupWishes(), "a chunk is missing", NOW)
        assert anew.decision is Decision.FULL
        assert anew.parent is None
        assert anew.reasons == ("full: a chunk is missing",)
