"""A real soak passes, or ends with a report, and cleans up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.machine import devices
from integration_tests.harness.machine.state import STATE_VARIABLE, Kind, StateFile
from integration_tests.harness.services.paths import INTEGRATION_TESTS, run_directory
from integration_tests.harness.soak.events import (
    EVENTS_FILE,
    Event,
    read_events,
)
from integration_tests.harness.soak.report import PAGE_FILE, REPORT_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCRIPTS = INTEGRATION_TESTS / "scripts"


@dataclass
class Soaking:
    """A soak under way, and everything it was ever seen to make."""

    process: subprocess.Popen[bytes]
    state: Path
    run_dir: Path
    said: Path
    images: set[Path] = field(default_factory=set)

    @property
    def directory(self) -> Path:
        """Where its records lie."""
        [found] = (self.run_dir / "logs").iterdir()
        return found

    def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Look at it until something is true."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, self.output()
            made = StateFile(self.state).resources()
            self.images |= {Path(each.name) for each in made if each.kind is Kind.LOOP}
            time.sleep(0.2)

    def output(self) -> str:
        """What it said so far."""
        return self.said.read_text()

    def events(self) -> list[Event]:
        """What it noted so far."""
        found = list((self.run_dir / "logs").glob(f"*/{EVENTS_FILE}"))
        return read_events(found[0]) if found else []

    def left(self) -> list[str]:
        """What it did not clean up."""
        mark = f"{STATE_VARIABLE}={self.state}".encode()
        found = [str(each) for each in StateFile(self.state).resources()]
        found += [str(image) for image in self.images if image.parent.exists()]
        found += [str(loop) for image in self.images for loop in devices.loops_backed_by(image)]
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_text())
            except OSError:
                continue
        return found


@pytest.fixture
def start_soak(
    tmp_path: Path,
    soak_config: Path,
    privileged: None,  # noqa: ARG001 - order only
) -> Iterator[Callable[..., Soaking]]:
    """Return a function that starts run_soak.py; it is ended after the test whatever happens."""
    started: list[Soaking] = []

    def start(*arguments: str) -> Soaking:
        state, said = tmp_path / "state.json", tmp_path / "said.txt"
        with said.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, SCRIPTS / "run_soak.py", "--config", soak_config, *arguments],
                env={**os.environ, STATE_VARIABLE: str(state)},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        name = soak_config.read_text().split('"')[1]
        started.append(Soaking(process, state, run_directory() / name, said))
        return started[-1]

    yield start
    for soaking in started:
        soaking.process.kill()
        soaking.process.wait()
        StateFile(soaking.state).sweep()


@pytest.mark.btrfs
def test_a_short_soak_passes_and_leaves_nothing(start_soak: Callable[..., Soaking]) -> None:
    soaking = start_soak("--duration", "20s", "--load", "burst", "--seed", "5")

    soaking.wait_until(lambda: soaking.process.poll() is not None, 120)

    said = soaking.output()
    assert soaking.process.returncode == 0, said
    assert soaking.left() == []
    assert len(soaking.images) == 2
    assert "verdict: PASS" in (soaking.directory / REPORT_FILE).read_text()
    assert (soaking.directory / PAGE_FILE).read_text().count("<svg") >= 7


@pytest.mark.btrfs
def test_ctrl_c_ends_a_soak_with_a_report_and_leaves_nothing(
    start_soak: Callable[..., Soaking],
) -> None:
    soaking = start_soak("--duration", "10m", "--seed", "6")
    soaking.wait_until(lambda: any(each.name == "backup" for each in soaking.events()), 60)

    soaking.process.send_signal(signal.SIGINT)
    soaking.wait_until(lambda: soaking.process.poll() is not None, 60)

    said = soaking.output()
    text = (soaking.directory / REPORT_FILE).read_text()
    assert soaking.left() == []
    assert soaking.events()[-1].message == "interrupted", said
    assert [each for each in soaking.events() if not each.expected] == []
    assert "interrupted" in text
    # Too early for everything to have happened: such a run must not pass.
    assert "FAIL  everything happened" in text
    assert soaking.process.returncode == 1, said
