"""What a backup run does with one source."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.model.identity import Kind
from btrfs_to_s3.model.policy import ChainPolicy
from btrfs_to_s3.model.subvolume import TOP_LEVEL_ID
from btrfs_to_s3.plan.backup import Decision, estimate_bytes, plan_backup
from btrfs_to_s3.plan.facts import BackupFacts, BackupWishes, OpenJournal
from btrfs_to_s3.plan.growth import chain_age
from tests.plan.build import (
    SOURCE_ID,
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

if TYPE_CHECKING:
    from datetime import datetime

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.plan.backup import BackupPlan

NOW = T0 + days(30)
PLAIN = BackupWishes()


def plan(
    stored: Head | None,
    *local: Subvolume,
    of: Subvolume | None = None,
    wishes: BackupWishes = PLAIN,
    now: datetime = NOW,
    journal: OpenJournal | None = None,
    received: tuple[Subvolume, ...] = (),
) -> BackupPlan:
    taken = of if of is not None else source()
    recorded = {item.uuid: item.ctransid for item in received}
    facts = BackupFacts(taken, (taken, *local), stored, recorded, journal)
    return plan_backup(facts, wishes, now)


def full_every(count: float) -> BackupWishes:
    return BackupWishes(chain=ChainPolicy(full_every=days(count)))


def journal_of(item: HeadEntry, touched: datetime = NOW - timedelta(hours=1)) -> OpenJournal:
    return OpenJournal(
        SOURCE_ID,
        item.backup_id,
        item.kind,
        item.parent,
        item.snapshot_uuid,
        item.snapshot_ctransid,
        touched,
    )


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


def given(snapshot: Subvolume, *, force: bool = False) -> BackupWishes:
    return BackupWishes(snapshot=snapshot, force=force)


def test_a_given_snapshot_is_sent_instead_of_a_new_one() -> None:
    entries = chain(1)
    own = snapshot_of(entries[0])
    snapper = subvolume(7, parent=SOURCE_UUID, readonly=True, path=".snapshots/7/snapshot")
    result = plan(head(*entries), own, snapper, wishes=given(snapper))
    assert result.decision is Decision.INCREMENTAL
    assert result.snapshot == snapper
    assert result.parent is not None
    assert result.parent.local == own


def test_a_given_snapshot_counts_its_age_from_its_own_time() -> None:
    entries = chain(1)
    early = subvolume(5, parent=SOURCE_UUID, readonly=True)
    wishes = replace(full_every(7), snapshot=early)
    result = plan(head(*entries), snapshot_of(entries[0]), early, wishes=wishes)
    assert result.decision is Decision.INCREMENTAL


def test_a_given_snapshot_that_is_stored_already_is_nothing_due() -> None:
    entries = chain(2)
    local = [snapshot_of(item) for item in entries]
    for force in (False, True):
        result = plan(head(*entries), *local, wishes=given(local[0], force=force))
        assert result.decision is Decision.SKIP
        assert str(entries[0].backup_id) in result.reasons[0]


def test_a_given_snapshot_must_be_read_only() -> None:
    writable = subvolume(7, parent=SOURCE_UUID)
    assert plan(None, writable, wishes=given(writable)).decision is Decision.REFUSE


def test_a_given_snapshot_must_be_of_the_source() -> None:
    for parent in (uid(60), None):
        stranger = subvolume(7, parent=parent, readonly=True)
        result = plan(head(), stranger, wishes=given(stranger))
        assert result.decision is Decision.REFUSE
        assert "is not a snapshot of data" in result.reasons[0]


def test_a_snapshot_of_the_sources_predecessor_may_be_given() -> None:
    before = subvolume(7, parent=uid(60), readonly=True)
    result = plan(head(subvolume=uid(60)), before, wishes=given(before))
    assert result.decision is Decision.FULL
    origin = subvolume(8, readonly=True)
    result = plan(None, origin, of=source(parent=origin.uuid), wishes=given(origin))
    assert result.decision is Decision.FULL


def test_a_given_snapshot_with_a_stored_stream_uuid_but_other_content_is_refused() -> None:
    entries = chain(1)
    edited = replace(snapshot_of(entries[0]), ctransid=500)
    result = plan(head(*entries), edited, wishes=given(edited))
    assert result.decision is Decision.REFUSE
    assert "stream uuid" in result.reasons[0]


def test_a_snapshot_that_inherited_the_sources_received_uuid_is_refused() -> None:
    spoiled = replace(source(), received_uuid=uid(3))
    heir = replace(subvolume(7, parent=SOURCE_UUID, readonly=True), received_uuid=uid(3))
    assert plan(None, heir, of=spoiled, wishes=given(heir)).decision is Decision.REFUSE
    earlier = subvolume(7, parent=SOURCE_UUID, readonly=True)
    assert plan(None, earlier, of=spoiled, wishes=given(earlier)).decision is Decision.FULL


def test_an_interrupted_upload_goes_on() -> None:
    full, child = chain(2)
    local = [snapshot_of(full), snapshot_of(child)]
    result = plan(head(full), *local, journal=journal_of(child))
    assert result.decision is Decision.RESUME
    assert result.kind is Kind.INCREMENTAL
    assert result.snapshot == local[1]
    assert result.parent is not None
    assert result.parent.local == local[0]
    assert not result.discard_journal


def test_an_interrupted_first_backup_goes_on() -> None:
    first = entry(1)
    result = plan(None, snapshot_of(first), journal=journal_of(first))
    assert result.decision is Decision.RESUME
    assert result.kind is Kind.FULL


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ctransid": 1}, "was changed"),
        ({"readonly": False}, "writable now"),
        ({"uuid": uid(99)}, "is gone"),
    ],
)
def test_an_upload_whose_snapshot_is_not_the_same_is_given_up(
    change: dict[str, object], reason: str
) -> None:
    full, child = chain(2)
    sent = replace(snapshot_of(child), **change)  # type: ignore[arg-type]
    result = plan(head(full), snapshot_of(full), sent, journal=journal_of(child))
    assert result.decision is Decision.INCREMENTAL
    assert result.discard_journal
    assert reason in result.reasons[0]


def test_an_upload_whose_parent_no_longer_fits_is_given_up() -> None:
    full, child = chain(2)
    other = entry(5)
    for stored, local in (
        (head(other), snapshot_of(full)),
        (head(full), replace(snapshot_of(full), ctransid=1)),
        (None, snapshot_of(full)),
    ):
        result = plan(stored, local, snapshot_of(child), journal=journal_of(child))
        assert result.discard_journal
        assert "is not live" in result.reasons[0]


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        (BackupWishes(restart=True), "--restart"),
        (BackupWishes(full=True), "a full backup was asked for"),
        (given(subvolume(7, parent=SOURCE_UUID, readonly=True)), "another snapshot"),
    ],
)
def test_an_upload_that_is_not_wanted_any_more_is_given_up(
    wishes: BackupWishes, reason: str
) -> None:
    full, child = chain(2)
    local = [snapshot_of(full), snapshot_of(child)]
    result = plan(head(full), *local, wishes=wishes, journal=journal_of(child))
    assert result.discard_journal
    assert reason in result.reasons[0]


def test_an_upload_that_was_committed_after_all_is_given_up() -> None:
    full, child = chain(2)
    local = [snapshot_of(full), snapshot_of(child)]
    unchanged = source(ctransid=child.snapshot_ctransid)
    result = plan(head(full, child), *local, of=unchanged, journal=journal_of(child))
    assert result.decision is Decision.SKIP
    assert result.discard_journal
    assert "it was committed" in result.reasons[0]


def test_an_upload_for_another_source_is_given_up() -> None:
    full, child = chain(2)
    other = replace(journal_of(child), source_id=replace(SOURCE_ID, suffix="00000000"))
    result = plan(head(full), snapshot_of(full), snapshot_of(child), journal=other)
    assert "another source" in result.reasons[0]


def test_an_upload_whose_chunks_another_host_may_have_removed_is_given_up() -> None:
    full, child = chain(2)
    local = [snapshot_of(full), snapshot_of(child)]
    old = journal_of(child, touched=NOW - days(6.1))
    assert "lay idle" in plan(head(full), *local, journal=old).reasons[0]
    ahead = journal_of(child, touched=NOW + days(400))
    assert plan(head(full), *local, journal=ahead).decision is Decision.RESUME


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
