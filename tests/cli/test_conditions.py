"""Every command that can wait is gentle, and what moves data keeps the machine awake."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.cli.main import run
from btrfs_to_s3.cli.session import Machine
from btrfs_to_s3.host.power import Power
from tests.cli.program import ROOT
from tests.stand_ins.programs import executable, found_first

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.program import Program

RUNS = {
    "backup": ["backup", "/"],
    "compact": ["compact", "/"],
    "copy": ["copy", "data", "--to", "s3://other"],
    "prune": ["prune"],
    "verify": ["verify"],
}
DRY = ["backup", "compact", "copy", "prune"]
SERVICE = {
    "BTRFS_TO_S3_URL": "s3://nowhere/pre",
    "BTRFS_TO_S3_ENDPOINT_URL": "http://127.0.0.1:9",
    "BTRFS_TO_S3_OUTAGE_PATIENCE": "0s",
    "BTRFS_TO_S3_RETRY_ATTEMPTS": "1",
    "BTRFS_TO_S3_HOST": "nas",
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "key",
    "AWS_DEFAULT_REGION": "us-east-1",
}
AT_POWER = """
import json, sys
import psutil
from btrfs_to_s3.cli.main import run
from btrfs_to_s3.cli.session import Machine
from btrfs_to_s3.host.power import Power

seen = []
def power():
    process = psutil.Process()
    seen.append([process.nice(), process.ionice().ioclass])
    return Power(on_battery=True, percent=30.0)
code = run(sys.argv[1:], json.loads(sys.stdin.read()), sys.stderr, sys.stderr, Machine(power))
print(json.dumps([code, seen]))
"""


def on_battery() -> Power:
    return Power(on_battery=True, percent=30.0)


@pytest.mark.parametrize("command", RUNS)
def test_every_run_has_the_priority_and_minds_the_battery(alone: Program, command: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", AT_POWER, "-c", str(alone.file), *RUNS[command],
         "--priority", "idle", "--on-battery", "skip"],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        input=json.dumps({**alone.environ, **SERVICE}),
        capture_output=True,
        check=True,
        text=True,
    )  # fmt: skip
    assert json.loads(ran.stdout) == [3, [[19, 3]]]
    assert "nothing was done: the machine is on battery (30 %)" in ran.stderr


def on_this_machine(program: Program, *arguments: str, machine: Machine) -> tuple[int, str]:
    err = io.StringIO()
    given = ["-c", str(program.file), *arguments]
    code = run(given, {**program.environ, **SERVICE}, io.StringIO(), err, machine)
    return code, err.getvalue()


@pytest.mark.parametrize("command", DRY)
def test_looking_minds_no_battery(alone: Program, command: str) -> None:
    arguments = [*RUNS[command], "--dry-run", "--on-battery", "skip"]
    _, err = on_this_machine(alone, *arguments, machine=Machine(on_battery))
    assert "on battery" not in err


def test_restores_and_looks_are_never_delayed(alone: Program) -> None:
    for arguments in (["restore", "data", "--target", "/"], ["list"], ["status"]):
        program = alone.with_environment(BTRFS_TO_S3_ON_BATTERY="skip")
        code, err = on_this_machine(program, *arguments, machine=Machine(on_battery))
        assert code == 4
        assert "on battery" not in err


@pytest.mark.parametrize(
    ("command", "held"),
    [("backup", True), ("compact", True), ("copy", True), ("prune", False), ("verify", False)],
)
def test_what_moves_data_keeps_the_machine_awake(
    alone: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, held: bool
) -> None:
    asked = inhibitor(tmp_path, monkeypatch)
    code, _ = on_this_machine(alone, *RUNS[command], machine=Machine())
    assert code in {3, 4}
    assert asked.exists() is held


@pytest.mark.btrfs
def test_a_real_backup_sends_gently_and_a_restore_keeps_the_machine_awake_too(
    program: Program, data: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, real = inhibitor(tmp_path, monkeypatch), shutil.which("btrfs")
    noting = f'#!/bin/sh\necho "$1 $(nice)" >> {tmp_path}/nice\nexec {real} "$@"\n'
    executable(tmp_path / "bin" / "btrfs", noting)
    assert program.run("backup", data, "--priority", "idle").code == 0
    assert "send 19" in (tmp_path / "nice").read_text().splitlines()
    assert program.run("backup", data, "--dry-run").code == 0
    assert program.run("restore", data.name, "--target", target, "--dry-run").code == 0
    assert program.run("restore", data.name, "--target", target).code == 0
    assert f"receive {os.nice(0)}" in (tmp_path / "nice").read_text().splitlines()
    whys = [line.partition("--why=")[2] for line in asked.read_text().splitlines()]
    assert whys == ["a backup cat", "a restore cat"]


def inhibitor(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemd-inhibit that notes that it was called."""
    noting = f'#!/bin/sh\necho "$@" >> {directory}/asked\nexec cat\n'
    found_first(monkeypatch, executable(directory / "bin" / "systemd-inhibit", noting))
    return directory / "asked"
