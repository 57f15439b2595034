"""A run under way is seen by others while its process lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psutil

from btrfs_to_s3.host.running import RunningRecord, running
from btrfs_to_s3.model.running import Progress, Running

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
RUN = Running(
    "backup", os.getpid(), NOW, NOW, Progress("data", "full backup", NOW, 100, 50, 20, 1, "waiting")
)


def _rewrite(tmp_path: Path, **members: object) -> Path:
    (path,) = (tmp_path / "running").iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), **members}))
    return path


def test_a_run_is_seen_as_it_was_written_until_it_is_over(tmp_path: Path) -> None:
    record = RunningRecord(tmp_path)
    assert running(tmp_path) == ()
    record.write(RUN)
    assert running(tmp_path) == (RUN,)
    record.remove()
    assert running(tmp_path) == ()
    record.remove()
    assert list((tmp_path / "running").iterdir()) == []


def test_a_process_that_is_gone_runs_nothing_and_its_record_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    RunningRecord(tmp_path).write(RUN)
    path = _rewrite(tmp_path, pid=process.pid)
    assert running(tmp_path) == ()
    RunningRecord(tmp_path).begin()
    assert not path.exists()


def test_another_process_with_the_same_pid_is_not_the_run(tmp_path: Path) -> None:
    RunningRecord(tmp_path).write(RUN)
    _rewrite(tmp_path, started_s=psutil.Process().create_time() - 100)
    assert running(tmp_path) == ()


def test_what_another_run_wrote_stays_when_one_begins(tmp_path: Path) -> None:
    RunningRecord(tmp_path).write(RUN)
    RunningRecord(tmp_path).begin()
    assert running(tmp_path) == (RUN,)


def test_a_record_that_makes_no_sense_is_none(tmp_path: Path) -> None:
    RunningRecord(tmp_path).write(RUN)
    senseless: tuple[dict[str, object], ...] = ({"run": 3}, {"run": {}}, {"pid": None})
    for members in senseless:
        _rewrite(tmp_path, **members)
        assert running(tmp_path) == ()


def test_where_nothing_can_be_written_nothing_is(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    record = RunningRecord(file)
    record.begin()
    record.write(RUN)
    record.remove()
    assert running(file) == ()
