"""The checks can fail: programs broken on purpose are found out, a sound one is not."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.faults.categories import run_category
from integration_tests.harness.faults.damage import flipped_bits
from integration_tests.harness.faults.ground import Ground, new_ground
from integration_tests.harness.faults.outages import gate_opens
from integration_tests.harness.faults.retries import final, happy_path
from integration_tests.harness.services.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    Category = Callable[[Ground], None]

pytestmark = pytest.mark.btrfs


@dataclass(slots=True)
class Recorder:
    """Keeps the texts of the checks that failed."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)

    def __call__(self, passed: object, text: str, detail: object = "") -> bool:
        """Note a check."""
        if not passed:
            self.failed.append(f"{text}: {detail}")
        self.passed += bool(passed)
        return bool(passed)


@pytest.fixture(scope="module")
def ground(privileged: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:  # noqa: ARG001 - order only
    """Return one ground for all of them."""
    logs = tmp_path_factory.mktemp("faults")
    with new_ground([sys.executable, "-m", "btrfs_to_s3"], logs, Recorder()) as made:
        yield made


@pytest.fixture
def failures(ground: Ground) -> Callable[[Category, Sequence[str]], list[str]]:
    """Return a function that runs a category against a command: the checks that failed."""

    def run(category: Category, command: Sequence[str]) -> list[str]:
        ground.check, ground.command = (recorder := Recorder()), command
        row = run_category(ground, category.__name__, category)
        assert (row.passed, row.failed) == (recorder.passed, len(recorder.failed))
        assert row.passed
        return recorder.failed

    return run


@pytest.fixture
def broken(tmp_path: Path) -> Callable[[str, str, str], list[str]]:
    """Return a function that makes a copy of the program with one thing changed: its command."""

    def make(module: str, sound: str, changed: str) -> list[str]:
        shutil.copytree(
            REPOSITORY / "btrfs_to_s3",
            tmp_path / "btrfs_to_s3",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        path = tmp_path / "btrfs_to_s3" / module
        text = path.read_text()
        assert text.count(sound) == 1, f"{module} has changed: choose another line to break"
        path.write_text(text.replace(sound, changed))
        environment = ["env", f"--chdir={tmp_path}", f"PYTHONPATH={tmp_path}"]
        return [*environment, sys.executable, "-m", "btrfs_to_s3"]

    return make


def test_a_sound_program_passes(failures: Callable[..., list[str]]) -> None:
    assert failures(happy_path, [sys.executable, "-m", "btrfs_to_s3"]) == []


def test_retrying_what_was_refused_is_found(
    failures: Callable[..., list[str]], broken: Callable[..., list[str]]
) -> None:
    command = broken(
        "s3/translate.py",
        "    Kind.DENIED: _Rule(\n        Verdict.FINAL,",
        "    Kind.DENIED: _Rule(\n        Verdict.TRANSIT,",
    )
    found = failures(final, command)
    assert any("403 at once: one request" in text for text in found)
    assert any("403 halfway: one request" in text for text in found)


def test_a_gate_that_never_opens_is_found(
    failures: Callable[..., list[str]], broken: Callable[..., list[str]]
) -> None:
    command = broken(
        "s3/gate.py",
        "if self._failures >= self._settings.threshold:",
        "if self._failures >= 10**9:",
    )
    found = failures(gate_opens, command)
    assert any("the outage is told" in text for text in found)
    assert any("few probes" in text or "no request but" in text for text in found)


def test_half_a_subvolume_left_in_the_target_is_found(
    failures: Callable[..., list[str]], broken: Callable[..., list[str]]
) -> None:
    command = broken(
        "operations/restore/restore.py", "            self._remove_partial(name, highest)\n", ""
    )
    found = failures(flipped_bits, command)
    assert any("nothing is left in the target" in text for text in found)
