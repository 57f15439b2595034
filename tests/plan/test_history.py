"""What is remembered of runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from btrfs_to_s3.model.account import (
    Done,
    Figures,
    RepositoryAccount,
    RunAccount,
    SourceAccount,
    Standing,
    Trouble,
)
from btrfs_to_s3.plan.history import command_after, source_after, standing_of
from tests.plan.build import SOURCE_ID, T0, chain, days, entry, head

LOST = Trouble(4, "unreachable", "no answer")
STOPPED = Trouble(130, "interrupted", "stopped by SIGTERM")
LOCKED = Trouble(7, "locked", "another run")
FIGURES = Figures(timedelta(seconds=9), 100, 40, 10, 20, 3)
MADE = SourceAccount(
    "data", Done.FULL, SOURCE_ID, figures=FIGURES, standing=Standing(1, 1)
)  # fmt: skip
FAILED = SourceAccount("data", Done.FAILED, trouble=LOST)


def _run(day: float, trouble: Trouble | None = None) -> RunAccount:
    finished = T0 + days(day)
    return RunAccount("backup", "nas", finished - timedelta(minutes=1), finished, trouble, ())


def test_a_failure_keeps_what_the_last_success_left() -> None:
    good = source_after(None, MADE, _run(1))
    bad = source_after(good, FAILED, _run(2, LOST))
    assert bad.last_run.trouble == LOST
    assert bad.last_success == T0 + days(1)
    assert (bad.figures, bad.standing, bad.source_id) == (FIGURES, Standing(1, 1), SOURCE_ID)


def test_it_fails_since_the_first_failure_that_no_success_followed() -> None:
    history = source_after(None, FAILED, _run(1, LOST))
    history = source_after(history, FAILED, _run(2, LOST))
    assert history.failing_since == T0 + days(1)
    stopped = SourceAccount("data", Done.FAILED, trouble=STOPPED)
    history = source_after(history, stopped, _run(3, STOPPED))
    assert history.failing_since == T0 + days(1)
    assert source_after(history, MADE, _run(4)).failing_since is None


def test_a_stop_alone_is_no_failure() -> None:
    stopped = SourceAccount("data", Done.FAILED, trouble=STOPPED)
    assert source_after(None, stopped, _run(1, STOPPED)).failing_since is None


def test_a_run_that_found_nothing_to_do_is_a_success() -> None:
    unchanged = SourceAccount("data", Done.UNCHANGED, SOURCE_ID)
    after = source_after(source_after(None, MADE, _run(1)), unchanged, _run(2))
    assert after.last_success == T0 + days(2)
    assert after.figures == FIGURES


def test_a_commands_history_is_that_of_its_repository() -> None:
    good = command_after(None, RepositoryAccount("s3://b", None, ()), _run(1))
    bad = command_after(good, RepositoryAccount("s3://b", LOST, ()), _run(2, LOST))
    assert (bad.last_success, bad.failing_since) == (T0 + days(1), T0 + days(2))


def test_what_failed_before_a_stop_still_makes_the_run_one_that_failed() -> None:
    stopped = SourceAccount("srv", Done.NOT_ATTEMPTED, trouble=STOPPED)
    parts = RepositoryAccount("s3://b", STOPPED, (FAILED, stopped))
    assert replace(_run(1, STOPPED), repositories=(parts,)).failed
    assert not replace(_run(1, STOPPED), repositories=(replace(parts, sources=(stopped,)),)).failed
    assert not _run(1, LOCKED).failed
    assert not _run(1).failed


def test_standing_counts_the_backup_that_was_added() -> None:
    full, second, third = chain(3)
    before = head(full, second)
    assert standing_of(before) == Standing(2, 2)
    assert standing_of(before, third.backup_id, second.backup_id) == Standing(3, 3)
    assert standing_of(before, third.backup_id, None) == Standing(3, 1)
    assert standing_of(None, full.backup_id) == Standing(1, 1)
    # A commit that a crash had only just completed is listed already.
    assert standing_of(before, second.backup_id, full.backup_id) == Standing(2, 2)
    assert standing_of(None) is None


def test_of_a_chain_that_does_not_hold_no_length_is_told() -> None:
    orphan = entry(2, entry(1))
    assert standing_of(head(orphan)) is None
