"""Compare the newest restored snapshot with the source, before anything changes the source again.

Whoever may read all files may run this: an ordinary user, if that user seeded them.
"""

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.steps import WRITABLE, require_same


def body(script: Script) -> None:
    """Compare all that send carries."""
    stage = script.stage()
    directories = sorted(stage.target.glob("restored-*"), key=lambda path: path.stat().st_mtime_ns)
    script.require(directories, "something was restored (run_restore.py)")
    [restored] = [path for path in directories[-1].iterdir() if path.name != WRITABLE]
    require_same(script, stage.data, restored, f"{restored.name} is the source as it is now")
    script.figures["restored"] = str(restored)


if __name__ == "__main__":
    run_script(body)
