"""What a service manager hears of real runs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.cli.program import ROOT
from tests.stand_ins.programs import executable, found_first
from tests.stand_ins.service_manager import Manager, manager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.program import Program

SLOW = ("--bandwidth-limit", "200KiB/s", "--concurrency", "1")
WATCHDOG_S = 2.0
_LETTING_GO_S = 0.5


@pytest.fixture
def listening() -> Iterator[Manager]:
    with manager() as made:
        yield made


def _under(program: Program, listening: Manager) -> Program:
    return program.with_environment(
        NOTIFY_SOCKET=listening.name, WATCHDOG_USEC=str(int(WATCHDOG_S * 1_000_000))
    )


@contextmanager
def _started(program: Program, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A run that does not outlive the test."""
    process = program.start(*arguments)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def stalling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A pipe to write a line to; until then every ``btrfs send`` stops after its first bytes."""
    pipe, real = tmp_path / "go on", shutil.which("btrfs")
    os.mkfifo(pipe)
    script = executable(
        tmp_path / "bin" / "btrfs",
        "#!/bin/sh\n"
        f'[ "$1" = send ] || exec {real} "$@"\n'
        f'{real} "$@" | {{ head -c 1200000; read -r _ < "{pipe}"; exec cat; }}\n',
    )
    found_first(monkeypatch, script)
    yield pipe
    # Opened for both it blocks nobody, and lets go who still waits for a writer.
    with pipe.open("r+b", buffering=0) as both:
        both.write(b"go on\n")
        time.sleep(_LETTING_GO_S)


@pytest.mark.btrfs
def test_a_run_says_that_it_begins_how_far_it_is_and_that_it_stops(
    program: Program, data: Path, listening: Manager
) -> None:
    with _started(_under(program, listening), "backup", data, *SLOW) as process:
        pattern = re.compile(rf"STATUS=full backup of {data.name}: [\d.]+ MiB, [\d.]+ [KM]iB/s")
        listening.wait_for(lambda line: pattern.fullmatch(line) is not None)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    lines = listening.lines
    first = next(number for number, line in enumerate(lines) if "backup of" in line)
    assert "READY=1" in lines[:first]
    assert lines.index("STOPPING=1") > first
    assert lines[-1] == f"STATUS=failed: {data.name}: stopped by SIGTERM"
    assert "WATCHDOG=1" in lines


@pytest.mark.btrfs
def test_a_run_that_hangs_gets_no_pings_and_gets_them_again_when_it_goes_on(
    program: Program, data: Path, listening: Manager, stalling: Path
) -> None:
    with _started(_under(program, listening), "backup", data) as process:
        listening.wait_for(lambda line: "backup of" in line and "MiB" in line)
        _wait_until_silent(listening)
        before = listening.pings()
        time.sleep(2 * WATCHDOG_S)
        assert listening.pings() == before
        assert process.poll() is None
        stalling.write_text("go on\n")
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert listening.lines[-1] == "STATUS=done"


def _wait_until_silent(listening: Manager) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        last_s = max(when for when, line in listening.heard if line == "WATCHDOG=1")
        if time.monotonic() - last_s > WATCHDOG_S:
            return
        time.sleep(0.1)
    raise AssertionError(listening.lines)


def test_a_run_that_waits_for_the_service_is_alive(program: Program, listening: Manager) -> None:
    away = program.with_environment(
        AWS_ENDPOINT_URL="http://127.0.0.1:9", BTRFS_TO_S3_OUTAGE_PATIENCE="5s"
    )
    ran = _under(away, listening).spawn("verify")
    assert ran.code == 4, ran.err
    pings = [when for when, line in listening.heard if line == "WATCHDOG=1"]
    assert len(pings) >= 2
    assert "READY=1" in listening.lines


def test_a_run_without_a_usable_configuration_never_begins(
    alone: Program, listening: Manager
) -> None:
    broken = alone.configured("nonsense = 1\n")
    assert _under(broken, listening).spawn("verify").code == 2
    assert "READY=1" not in listening.lines
    assert listening.lines[-1].startswith("STATUS=failed: ")


def test_a_manager_that_does_not_answer_costs_a_run_nothing(alone: Program, tmp_path: Path) -> None:
    deaf = alone.with_environment(NOTIFY_SOCKET=str(tmp_path / "gone"), WATCHDOG_USEC="100000")
    assert deaf.spawn("--version").code == 0


_ENDS_SLOWLY = """
import atexit, time
from btrfs_to_s3.cli.main import main
atexit.register(lambda: (print("ending", flush=True), time.sleep(2)))
main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stop_while_python_ends_does_not_hide_a_failure(
    alone: Program, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", _ENDS_SLOWLY, "-c", str(alone.file), "backup"]
    environ = {**os.environ, **alone.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ending\n"
        process.send_signal(number)
        assert process.wait(timeout=30) == 2
