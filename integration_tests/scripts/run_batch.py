"""Back up many sources side by side under a memory limit, restore some of them and compare.

It has a stage of its own; set-up is not needed.
"""

import argparse

import _environment  # noqa: F401

from btrfs_to_s3.config.units import parse_size
from integration_tests.harness import batch
from integration_tests.harness.machine.cgroup import MemoryGroup
from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.stage import own_stage


def options(parser: argparse.ArgumentParser) -> None:
    """How many, how large, within what."""
    parser.add_argument("--sources", type=int, default=12, help="small ones [default: 12]")
    parser.add_argument("--large", default="128MiB", help="the large one [default: 128MiB]")
    parser.add_argument("--workers", type=int, default=4, help="at a time [default: 4]")
    parser.add_argument("--memory-limit", default="640MiB", help="of all [default: 640MiB]")
    parser.add_argument("--restores", type=int, default=4, help="how many [default: 4]")
    parser.add_argument("--seed", type=int, default=1, help="of sizes and data [default: 1]")


def body(script: Script) -> None:
    """Seed, back up within the limit, verify, restore, compare."""
    given = script.options
    with own_stage(script.settings, "batch") as stage:
        large = parse_size(given.large)
        sources = batch.make_sources(stage.source, given.sources, large, given.seed)
        program = script.program(stage)
        with MemoryGroup(parse_size(given.memory_limit)) as group:
            done = batch.back_up(program, sources, group, given.workers, script.say)
            script.figures |= done.figures()
            script.check(not done.failures, "every source was backed up", done.failures)
            script.check(group.kills == 0, "the limit killed none of them", group.kills)
            together = min(given.workers, len(sources))
            seen = done.watch.together
            script.check(seen >= together, "they ran side by side inside the limit", seen)
            set_to = group.limit_in_force_bytes
            script.check(set_to == group.limit_bytes, "the limit is what was asked for", set_to)
            script.check(batch.is_in_force(group), "the kernel enforces it: more is killed")
        verified = program.run("verify", "--level", "data")
        script.check(verified.exit_code == 0, "every stored byte verifies", verified.err)
        for source in sources[-given.restores :]:
            difference = batch.restore_and_compare(program, source, stage.target)
            script.check(not difference, f"{source.path.name} restores identical", difference)
    for name, value in script.figures.items():
        script.say(f"{name:<28} {value}")


if __name__ == "__main__":
    run_script(body, needs_root=True, options=options)
