"""Back up to an archive class, and restore by `thaw` and `restore --wait`: killed, refused, exact.

The chain is mixed: a full backup in the archive class, an increment in STANDARD. On its own stage.
"""

import dataclasses
from pathlib import Path

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.settings import CONFIG_DIRECTORY
from integration_tests.harness.scripting.stage import own_stage
from integration_tests.harness.scripting.steps import add_random, back_up, require_same
from integration_tests.harness.thaw import (
    Thaw,
    check_went_away,
    going_away,
    killed_while_waiting,
    require_refused,
    thawing,
)
from integration_tests.harness.trees.seed import SeedSpec, seed_tree


def body(script: Script) -> None:
    """Freeze, be refused, be killed while waiting, lose copies on the way, restore."""
    archive, data = script.settings.archive, script.settings.data
    with own_stage(script.settings, "own") as stage:
        seed_tree(stage.data, SeedSpec(data.seed, data.files, data.size.bytes))
        program = script.program(stage, thaw_poll=f"{archive.poll.seconds:g}s")
        back_up(script, stage, program.with_settings(storage_class=archive.storage_class))
        add_random(stage, 200_000)
        back_up(script, stage, program.with_settings(storage_class="STANDARD"))
        wishes = ("--tier", archive.tier.lower(), "--days", str(archive.days))
        target = ("--target", str(stage.target))
        with thawing(stage, script.settings) as thaw:
            script.check(thaw.states() == {Thaw.FROZEN, Thaw.READABLE}, "the chain is mixed")
            require_refused(script, stage, program, "frozen")
            killed_while_waiting(script, program, thaw, *target, *wishes)
            require_refused(script, stage, program, "meanwhile")
            expected = program.run("thaw", "data", "status").document["expected_time"]
            script.check(expected, "thaw status says when it can be read at the latest")
            with going_away(script, stage) as (proxy, way):
                again = dataclasses.replace(program, environment={**program.environment, **way})
                wait_s = archive.timeout.seconds
                run = again.run("restore", "data", "--wait", *target, timeout_s=wait_s)
                script.require(run.exit_code == 0, "the second call ends with 0", run.err[-1500:])
                check_went_away(script, proxy)
            script.figures["thaw_and_restore_s"] = round(run.seconds, 1)
        restored = Path(run.document["snapshot"])
        require_same(script, stage.data, restored, "what was thawed restores exactly")


if __name__ == "__main__":
    run_script(body, needs_root=True, config=CONFIG_DIRECTORY / "test_archive.toml")
