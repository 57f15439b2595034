"""Interrupt backups by SIGINT, SIGTERM and SIGKILL: nothing is committed and nothing is left."""

import signal

import _environment  # noqa: F401

from integration_tests.harness.machine.devices import private_holders
from integration_tests.harness.machine.waiting import wait_until
from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.steps import (
    SLOW,
    add_random,
    interrupted,
    stored,
)

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 130, signal.SIGKILL: -signal.SIGKILL}


def body(script: Script) -> None:
    """Interrupt one backup after the other, each of them going on where the last was stopped."""
    stage = script.stage()
    program = script.program(bandwidth_limit=SLOW, chunk_size="1MiB", part_size="5MiB")
    points = {stage.source, stage.target}
    with stored(script, stage) as repository:
        before = repository.heads
    for number, expected in EXIT_CODES.items():
        add_random(stage, 16_000_000)
        run = interrupted(script, stage, program, number, "--restart", "--force")
        script.check(run.exit_code == expected, f"{number.name} gives {expected}", run.exit_code)
        wait_until(lambda: not private_holders(points))
        script.check(not private_holders(points), "no private mount is left")
        with stored(script, stage) as repository:
            script.check(repository.heads == before, "nothing was committed")
        listed = program.run("list")
        script.check(listed.exit_code == 0, "what was there before is listed", listed.err)


if __name__ == "__main__":
    run_script(body, needs_root=True)
