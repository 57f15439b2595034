"""Prune: nothing by default, what a dry run announces, never an ancestor that is still needed."""

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.steps import add_random, back_up, check_stored, stored

KEEP = 2


def backup_ids(script: Script) -> list[str]:
    """What is live, oldest first."""
    sources = script.program().run("list").document["sources"]
    return [backup["backup_id"] for source in sources for backup in source["backups"]]


def body(script: Script) -> None:
    """Two chains, then keep rules that leave only the newer one."""
    stage = script.stage()
    for options in ((), ("--full",), ()):
        add_random(stage, 100_000)
        back_up(script, stage, script.program(), *options)
    before = backup_ids(script)
    kept = script.program(keep="all").run("prune")
    script.check(kept.exit_code == 0 and backup_ids(script) == before, "keep = all keeps all")
    program = script.program(keep=f"last={KEEP}", orphan_age="0s")
    dry = program.run("prune", "--dry-run")
    script.check(dry.exit_code == 0 and backup_ids(script) == before, "a dry run removes nothing")
    done = program.run("prune")
    script.require(done.exit_code == 0, "prune ends with 0", done.err)
    after = backup_ids(script)
    script.check(after == before[-KEEP:], f"the last {KEEP} are left", (before, after))
    with stored(script, stage) as repository:
        script.check(not repository.orphans(), "no chunk of what was removed is left")
    check_stored(script, stage)
    again = program.run("prune")
    script.check(again.exit_code == 0 and backup_ids(script) == after, "a second one finds nothing")
    alone = script.program(keep="last=1").run("prune")
    script.check(
        alone.exit_code == 0 and backup_ids(script) == after,
        "the full backup below the only kept increment stays",
        alone.out,
    )


if __name__ == "__main__":
    run_script(body, needs_root=True)
