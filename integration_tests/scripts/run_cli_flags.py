"""Try every command and option as a person would, right and wrong: exit codes and messages."""

import _environment  # noqa: F401

from integration_tests.harness.cli_flags import REFUSED, accepted
from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.steps import stored


def body(script: Script) -> None:
    """What must work, what must be refused, and that looking writes nothing."""
    stage, program = script.stage(), script.program()
    for arguments in accepted(stage):
        run = program.run(*arguments, as_json=False)
        script.check(run.exit_code == 0, " ".join(arguments), run.err[-300:])
        if "-q" in arguments:
            chatter = [line for line in run.err.splitlines() if "warning: " not in line]
            script.check(not chatter, "and says nothing but warnings", chatter)
    for arguments, code in REFUSED:
        run = program.run(*arguments, as_json=False)
        script.check(run.exit_code == code, f"{' '.join(arguments)}: {code}", run.exit_code)
        script.check("Traceback" not in run.err and run.err.strip(), "with a message", run.err)
        as_json = program.run(*arguments)
        said = as_json.document.get("error", {}).get("code")
        script.check(said == code, "and as JSON", as_json.out[:300])
    with stored(script, stage) as repository:
        before = dict(repository.objects)
    for arguments in (("plan", str(stage.data)), ("backup", str(stage.data), "--dry-run")):
        program.run(*arguments)
    with stored(script, stage) as repository:
        script.check(repository.objects == before, "plan and --dry-run store nothing")


if __name__ == "__main__":
    run_script(body, needs_root=True)
