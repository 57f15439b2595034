"""Whether an interrupted upload goes on, and when it is given up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from btrfs_to_s3.model.identity import Kind
from btrfs_to_s3.plan.backup.backup import plan_anew
from btrfs_to_s3.plan.backup.decision import Decision
from btrfs_to_s3.plan.backup.facts import BackupFacts, BackupWishes
from tests.plan.build import (
    SOURCE_ID,
    SOURCE_UUID,
    chain,
    days,
    entry,
    head,
    snapshot_of,
    source,
    subvolume,
    uid,
)
from tests.plan.planning import NOW, given, journal_of, plan


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


def test_an_upload_whose_parents_chain_lost_something_is_given_up_for_a_full_backup() -> None:
    full, child = chain(2)
    local = (snapshot_of(full), snapshot_of(child))
    facts = BackupFacts(source(), local, head(full), {}, journal_of(child))
    assert plan(head(full), *local, journal=journal_of(child)).relies_on == full
    anew = plan_anew(facts, BackupWishes(), "a chunk is missing", NOW)
    assert anew.decision is Decision.FULL
    assert anew.discard_journal
