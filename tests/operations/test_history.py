"""What is remembered of runs survives them, and nothing relies on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from btrfs_to_s3.host.state import LocalStateDirectory
from btrfs_to_s3.model.account import (
    Done,
    Figures,
    RepositoryAccount,
    RunAccount,
    SourceAccount,
    Standing,
    Trouble,
)
from btrfs_to_s3.operations.history import (
    recall_command,
    recall_commands,
    recall_source,
    recall_sources,
    remember_run,
)
from tests.plan.build import SOURCE_ID, T0

if TYPE_CHECKING:
    from pathlib import Path

FIGURES = Figures(timedelta(milliseconds=9123), 100, 40, 10, 20, 3)
MADE = SourceAccount("data", Done.RESUMED, SOURCE_ID, None, FIGURES, Standing(4, 2))
BAD = SourceAccount("srv", Done.FAILED, trouble=Trouble(3, "source", "it is gone", "mount it"))
ACCOUNT = RepositoryAccount("s3://bucket/pre", BAD.trouble, (MADE, BAD))
RUN = RunAccount("backup", "nas", T0, T0 + timedelta(seconds=7.25), BAD.trouble, (ACCOUNT,))


def _state(tmp_path: Path) -> LocalStateDirectory:
    return LocalStateDirectory(tmp_path, "bucket", lambda _: None)


def test_what_is_remembered_is_recalled_as_it_was(tmp_path: Path) -> None:
    state = _state(tmp_path)
    remembered = remember_run(state, RUN, ACCOUNT)
    assert recall_sources(state) == remembered.sources
    assert remembered.sources["data"].figures == FIGURES
    assert remembered.sources["srv"].last_run.trouble == BAD.trouble
    assert recall_commands(state) == {"backup": remembered.command}
    assert remembered.failed_since == ()


def test_what_works_again_is_told_once(tmp_path: Path) -> None:
    state = _state(tmp_path)
    remember_run(state, RUN, ACCOUNT)
    good = replace(ACCOUNT, trouble=None, sources=(replace(BAD, done=Done.FULL, trouble=None),))
    later = replace(RUN, trouble=None, repositories=(good,))
    assert remember_run(state, later, good).failed_since == (RUN.finished, RUN.finished)
    assert remember_run(state, later, good).failed_since == ()


def test_a_run_that_found_another_at_work_leaves_nothing(tmp_path: Path) -> None:
    state, locked = _state(tmp_path), Trouble(7, "locked", "another run works on it")
    remember_run(state, RUN, ACCOUNT)
    before = recall_sources(state), recall_commands(state)
    beaten = replace(
        ACCOUNT,
        trouble=locked,
        sources=(SourceAccount("data", Done.NOT_ATTEMPTED, trouble=locked),),
    )
    remember_run(state, replace(RUN, trouble=locked), beaten)
    assert (recall_sources(state), recall_commands(state)) == before


def test_damaged_or_lost_records_are_as_good_as_none(tmp_path: Path) -> None:
    state = _state(tmp_path)
    remember_run(state, RUN, ACCOUNT)
    for kind, name in (("runs", "data"), ("commands", "backup")):
        for damage in (b"", b"{}", b"nonsense", b'{"last_run": {"command": 3}}', b"\xff"):
            state.remember(kind, name, damage)
            assert (recall_source if kind == "runs" else recall_command)(state, name) is None
    assert "data" not in recall_sources(state)
    assert remember_run(state, RUN, ACCOUNT).failed_since == ()
