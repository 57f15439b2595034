"""What a backup run does with a snapshot that it was given."""

from __future__ import annotations

from dataclasses import replace

from btrfs_to_s3.plan.backup.backup import plan_anew
from btrfs_to_s3.plan.backup.decision import Decision
from btrfs_to_s3.plan.backup.facts import BackupFacts
from tests.plan.build import (
    SOURCE_UUID,
    chain,
    head,
    snapshot_of,
    source,
    subvolume,
    uid,
)
from tests.plan.planning import NOW, full_every, given, plan


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


def test_a_given_snapshot_is_sent_in_full_when_the_chain_lost_something() -> None:
    entries = chain(1)
    snapper = subvolume(7, parent=SOURCE_UUID, readonly=True)
    facts = BackupFacts(source(), (snapshot_of(entries[0]), snapper), head(*entries), {})
    anew = plan_anew(facts, given(snapper), "a chunk is missing", NOW)
    assert anew.decision is Decision.FULL
    assert anew.snapshot == snapper


def test_a_given_snapshot_that_is_stored_in_a_chain_that_lost_something_is_refused() -> None:
    entries = chain(2)
    local = [snapshot_of(item) for item in entries]
    wishes = given(local[0])
    assert plan(head(*entries), *local, wishes=wishes).relies_on == entries[0]
    facts = BackupFacts(source(), tuple(local), head(*entries), {})
    anew = plan_anew(facts, wishes, "a chunk is missing", NOW)
    assert anew.decision is Decision.REFUSE
    assert anew.refusal is not None
    assert "a chunk is missing" in anew.refusal.reason
