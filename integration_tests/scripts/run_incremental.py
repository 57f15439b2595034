"""Take an increment on the newest backup; of an unchanged source nothing, unless forced."""

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.steps import add_random, back_up, check_stored


def body(script: Script) -> None:
    """Back up what changed, then what did not."""
    stage, program = script.stage(), script.program()
    added = add_random(stage, 300_000)
    made = back_up(script, stage, program)
    script.check(made["kind"] == "incremental", "it is an increment", made["kind"])
    script.check(made["raw_size_bytes"] >= added.stat().st_size, "it carries the new file", made)
    idle = program.run("backup", str(stage.data))
    script.check(idle.exit_code == 0, "an unchanged source is no failure", idle.err)
    script.check(idle.first.get("backup") is None, "and nothing is sent for it", idle.out)
    forced = back_up(script, stage, program, "--force")
    script.check(forced["kind"] == "incremental", "unless forced", forced["kind"])
    check_stored(script, stage)


if __name__ == "__main__":
    run_script(body, needs_root=True)
