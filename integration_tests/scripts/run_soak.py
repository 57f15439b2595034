"""Change, back up, prune, verify and restore for hours while things go wrong, and judge it.

It has filesystems and services of its own; set-up is not needed. Ctrl-C ends it with a report.
"""

import argparse
import time

import _environment  # noqa: F401

from btrfs_to_s3.config.units import parse_duration
from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.soak.activities import Load
from integration_tests.harness.soak.analysis import analyze
from integration_tests.harness.soak.monitor import MONITOR_FILE
from integration_tests.harness.soak.report import PAGE_FILE, figures, write_reports
from integration_tests.harness.soak.run import SoakPlan, soak


def options(parser: argparse.ArgumentParser) -> None:
    """How long and how."""
    parser.add_argument("--duration", default="5m", help="such as 8h or 90s [default: 5m]")
    parser.add_argument(
        "--load", type=Load, choices=list(Load), default=Load.STEADY, help="[default: steady]"
    )
    parser.add_argument("--seed", type=int, help="[default: a new one, named in the result]")


def body(script: Script) -> None:
    """Soak, then judge, whatever became of it."""
    chosen = script.options
    seed = time.time_ns() % 2**32 if chosen.seed is None else chosen.seed
    seconds = parse_duration(chosen.duration).total_seconds()
    script.say(f"{chosen.load}, seed {seed}, {chosen.duration}; records in {script.logs}")
    plan = SoakPlan(seconds, chosen.load, seed, script.logs)
    script.figures["seed"] = seed
    try:
        script.figures["finished"] = soak(plan, script.settings.command, script.say)
    finally:
        if (script.logs / MONITOR_FILE).exists():
            judge(script)


def judge(script: Script) -> None:
    """Report what there is, also of a soak that could not clean up."""
    analysis = analyze(script.logs)
    write_reports(analysis, script.logs)
    for criterion in analysis.criteria:
        script.check(criterion.passed, criterion.name, criterion.found)
    script.say(f"page: {script.logs / PAGE_FILE}")
    script.figures |= figures(analysis)


if __name__ == "__main__":
    run_script(body, needs_root=True, options=options)
