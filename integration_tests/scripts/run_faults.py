"""Faults by real means, in ten categories and one for damaged data, and the crash matrix.

Has its own namespaces, filesystems and service; the stage is not needed and not touched.
"""

import argparse
import time

import _environment  # noqa: F401

from integration_tests.harness.faults.categories import CATEGORIES, run_category
from integration_tests.harness.faults.crash_matrix import SHORT_FORM_STEP, crash_matrix
from integration_tests.harness.faults.ground import Ground, new_ground
from integration_tests.harness.machine.network import why_unavailable
from integration_tests.harness.machine.state import sweep
from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.tally import Row, table

MATRIX = "crash-matrix"


def options(parser: argparse.ArgumentParser) -> None:
    """Which faults."""
    names = ", ".join(CATEGORIES)
    parser.add_argument("--only", metavar="CATEGORY", choices=[*CATEGORIES, MATRIX], help=names)
    parser.add_argument("--crash-matrix", action="store_true", help="nothing but the crash matrix")
    parser.add_argument("--all-points", action="store_true", help="every point of the crash matrix")


def body(script: Script) -> None:
    """Try them one after another; each has its line in the table."""
    reason = why_unavailable()
    script.require(reason is None, "faults of the network can be made", reason)
    sweep()
    step = 1 if script.options.all_points else SHORT_FORM_STEP

    def matrix(ground: Ground) -> None:
        crash_matrix(ground, step=step)

    only = MATRIX if script.options.crash_matrix else script.options.only
    chosen = {**CATEGORIES, MATRIX: matrix}
    rows: list[Row] = []
    began = time.monotonic()
    run_dir = script.settings.run_dir
    with new_ground(script.settings.command, script.logs, script.check, run_dir=run_dir) as ground:
        for name, category in chosen.items():
            if only in {None, name}:
                script.say(f"== {name}")
                rows.append(run_category(ground, name, category))
    for line in table(rows, "category"):
        script.say(line)
    script.figures |= {row.name: row.seconds for row in rows}
    script.figures |= {"seconds": time.monotonic() - began}


if __name__ == "__main__":
    run_script(body, needs_root=True, options=options)
