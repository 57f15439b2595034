"""Take a full backup of the source and read what it stored without the program."""

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.steps import back_up, check_stored


def body(script: Script) -> None:
    """Back up, and look."""
    stage = script.stage()
    made = back_up(script, stage, script.program(), "--full")
    script.check(made["kind"] == "full", "it is a full backup", made["kind"])
    script.check(made["chunk_count"] >= 1, "it has chunks", made["chunk_count"])
    check_stored(script, stage)


if __name__ == "__main__":
    run_script(body, needs_root=True)
