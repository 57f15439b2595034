"""The units in a booted Debian: timers, sandbox, watchdog, stops, failures, halts, the page.

Has a machine, filesystems and a service of its own; the stage is not needed and not touched.
"""

import argparse

import _environment  # noqa: F401

from integration_tests.harness.machine.state import sweep
from integration_tests.harness.nspawn.making import new_ground
from integration_tests.harness.nspawn.root import Root, why_unavailable
from integration_tests.harness.nspawn.walks import WALKS, run_walk
from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.tally import Row, table


def options(parser: argparse.ArgumentParser) -> None:
    """Which walks."""
    names = ", ".join(WALKS)
    parser.add_argument("--only", metavar="WALK", choices=WALKS, help=f"one of {names}")


def body(script: Script) -> None:
    """Walk one after another; each has its line in the table."""
    reason = why_unavailable()
    script.require(reason is None, "a machine can be booted", reason)
    sweep()
    script.say("making the machine's root, unless it is there: a few minutes")
    root = Root.make()
    rows: list[Row] = []
    with new_ground(root, script.logs, script.check, script.say) as ground:
        for name, walk in WALKS.items():
            if script.options.only in {None, name}:
                script.say(f"== {name}: {str(walk.__doc__).splitlines()[0]}")
                rows.append(run_walk(ground, name))
    for line in table(rows, "walk"):
        script.say(line)
    script.figures |= {row.name: row.seconds for row in rows}


if __name__ == "__main__":
    run_script(body, needs_root=True, options=options)
