"""Start a second backup beside a running one: it is told who holds the lock, and waits not."""

import _environment  # noqa: F401

from integration_tests.harness.machine.waiting import wait_until
from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.steps import SLOW, add_random, check_stored

LOCKED = 7


def body(script: Script) -> None:
    """Run two at once."""
    stage = script.stage()
    slow = script.program(bandwidth_limit=SLOW)
    add_random(stage, 12_000_000)
    arguments = ("backup", str(stage.data))
    before = len(stage.keys(script.settings))
    first = slow.start(*arguments)
    try:
        wait_until(lambda: len(stage.keys(script.settings)) > before or first.poll() is not None)
        script.require(first.poll() is None, "the first backup is under way", first.returncode)
        second = script.program().run(*arguments)
        script.check(second.exit_code == LOCKED, "the second ends with 7", second.exit_code)
        said = str(second.document.get("error", {}).get("message", ""))
        script.check(str(first.pid) in said, "and names the holder's process id", said)
        listed = script.program().run("list")
        script.check(listed.exit_code == 0, "reading is not locked", listed.err)
        out, err = first.communicate(timeout=120)
    finally:
        first.kill()
        first.wait()
    done = slow.finished(first, arguments, out, err, 0)
    script.check(done.exit_code == 0, "the first one completes", done.err)
    third = script.program().run(*arguments)
    script.check(third.exit_code == 0, "then the lock is free", third.err)
    check_stored(script, stage)


if __name__ == "__main__":
    run_script(body, needs_root=True)
