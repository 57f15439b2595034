"""Run scripts one after the other, each as its own process, and show one table at the end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from integration_tests.harness.scripting.privilege import as_invoker

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from integration_tests.harness.scripting.script import Script

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@dataclass(frozen=True, slots=True)
class Step:
    """One script; `as_user`: as the user behind sudo, where there is one.

    `alone`: with a configuration and a stage of its own.
    """

    script: str
    as_user: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one script ended. `checks` is `held/made`."""

    step: Step
    exit_code: int
    checks: str
    seconds: float


def run_steps(script: Script, steps: Iterable[Step]) -> list[Outcome]:
    """Run all of them; a failing one does not keep the others from their turn."""
    outcomes = []
    for step in steps:
        began, clock = time.time(), time.monotonic()
        command = [sys.executable, str(SCRIPTS / f"{step.script}.py")]
        command += ["--env", str(script.options.env)]
        command += [] if step.alone else ["--config", str(script.options.config)]
        done = subprocess.run(as_invoker(command) if step.as_user else command, check=False)
        seconds = time.monotonic() - clock
        checks = _checks(script, step, began)
        outcomes.append(Outcome(step, done.returncode, checks, seconds))
        script.check(done.returncode == 0, f"{step.script} passes", f"exit {done.returncode}")
    return outcomes


def show(outcomes: Sequence[Outcome]) -> None:
    """Print the table."""
    rows = [
        (
            each.step.script,
            "pass" if each.exit_code == 0 else f"FAIL (exit {each.exit_code})",
            each.checks,
            f"{each.seconds:.1f}",
        )
        for each in outcomes
    ]
    head = ("script", "result", "checks", "seconds")
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    print()
    for row in [head, tuple("-" * width for width in widths), *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
    print(flush=True)


def _checks(script: Script, step: Step, began: float) -> str:
    """From the result that this run of the script wrote, wherever its configuration puts it."""
    results = script.settings.run_dir.parent.glob(f"*/results/*-{step.script}.json")
    fresh = [path for path in results if path.stat().st_mtime >= began - 1]
    if not fresh:
        return "none"
    newest = max(fresh, key=lambda path: path.stat().st_mtime_ns)
    checks = json.loads(newest.read_text(encoding="utf-8"))["checks"]
    return f"{sum(check['passed'] for check in checks)}/{len(checks)}"
