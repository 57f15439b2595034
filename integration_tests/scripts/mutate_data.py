"""Change the source in as many ways as there are: appends, holes, renames, links, clones, types."""

import argparse
import time

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.trees.mutate import mutate_tree


def options(parser: argparse.ArgumentParser) -> None:
    """Which changes."""
    parser.add_argument("--seed", type=int, help="[default: a new one, named in the result]")
    parser.add_argument("--count", type=int, help="[default: as configured]")


def body(script: Script) -> None:
    """Change it."""
    seed = script.options.seed
    seed = time.time_ns() % 2**32 if seed is None else seed
    count = script.options.count or script.settings.data.mutations
    script.say(f"seed {seed}")
    changes = mutate_tree(script.stage().data, seed=seed, count=count)
    script.check(len(changes) == count, f"{count} changes were made", len(changes))
    kinds = sorted({change.kind.value for change in changes})
    script.figures |= {"seed": seed, "count": len(changes), "kinds": kinds}


if __name__ == "__main__":
    run_script(body, options=options)
