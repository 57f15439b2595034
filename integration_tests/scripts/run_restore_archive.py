"""Back up to an archive class, and restore after a thaw: refused before and meanwhile, exact after.

The chain is mixed: a full backup in the archive class, an increment in STANDARD. On its own stage.
"""

import time
from pathlib import Path

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.settings import CONFIG_DIRECTORY
from integration_tests.harness.scripting.stage import Stage, own_stage
from integration_tests.harness.scripting.steps import (
    add_random,
    back_up,
    require_same,
    restore,
)
from integration_tests.harness.seed import SeedSpec, seed_tree
from integration_tests.harness.thaw import Thaw, thawing
from integration_tests.harness.waiting import wait_until

NOT_READABLE_YET = 6


def require_refused(script: Script, stage: Stage, when: str) -> None:
    """A restore now ends with 6 and leaves nothing."""
    run = script.program(stage).run("restore", "data", "--target", str(stage.target))
    script.check(run.exit_code == NOT_READABLE_YET, f"{when}: exit 6", run.exit_code)
    script.check(not any(stage.target.iterdir()), "and nothing is left at the target")


def body(script: Script) -> None:
    """Freeze, be refused, thaw, restore."""
    archive, data = script.settings.archive, script.settings.data
    with own_stage(script.settings, "own") as stage:
        seed_tree(stage.data, SeedSpec(data.seed, data.files, data.size.bytes))
        back_up(script, stage, script.program(stage, storage_class=archive.storage_class))
        add_random(stage, 200_000)
        back_up(script, stage, script.program(stage, storage_class="STANDARD"))
        with thawing(stage, script.settings) as thaw:
            script.check(thaw.states() == {Thaw.FROZEN, Thaw.READABLE}, "the chain is mixed")
            require_refused(script, stage, "frozen")
            asked, began = thaw.request(archive.days, archive.tier), time.monotonic()
            require_refused(script, stage, "the thaw is under way")
            wait_until(thaw.is_done, archive.timeout.seconds, archive.poll.seconds)
        script.figures |= {"objects": asked, "thaw_s": round(time.monotonic() - began, 1)}
        restored = Path(restore(script, stage, script.program(stage), "data")["snapshot"])
        require_same(script, stage.data, restored, "what was thawed restores exactly")


if __name__ == "__main__":
    run_script(body, needs_root=True, config=CONFIG_DIRECTORY / "test_archive.toml")
