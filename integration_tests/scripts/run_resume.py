"""Kill a backup, run it again: it goes on, sends nothing twice, and restores exactly."""

import signal
from pathlib import Path

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.steps import (
    SLOW,
    add_random,
    back_up,
    check_stored,
    interrupted,
    require_same,
    restore,
    snapshot_of,
)


def body(script: Script) -> None:
    """Interrupt by SIGKILL, go on, restore."""
    stage = script.stage()
    program = script.program(chunk_size="1MiB", part_size="5MiB")
    add_random(stage, 16_000_000)
    slow = program.with_settings(bandwidth_limit=SLOW)
    interrupted(script, stage, slow, signal.SIGKILL, "--restart", "--force")
    made = back_up(script, stage, program)
    script.check(made["resumed"], "the next run goes on")
    script.check(made["reused_bytes"] > 0, "what was stored is not sent again", made)
    script.figures["reused_bytes"] = made["reused_bytes"]
    check_stored(script, stage)
    restored = Path(restore(script, stage, script.program(), "data")["snapshot"])
    require_same(script, snapshot_of(stage, restored), restored, "what was resumed restores")


if __name__ == "__main__":
    run_script(body, needs_root=True)
