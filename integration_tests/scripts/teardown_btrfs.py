"""Remove the stage: exactly what set-up recorded, also after a crash or a second time."""

from pathlib import Path

import _environment  # noqa: F401

from integration_tests.harness.machine import devices
from integration_tests.harness.scripting import stage as stages
from integration_tests.harness.scripting.script import Script, run_script


def body(script: Script) -> None:
    """Remove it and look that nothing is mounted below the run directory."""
    report = stages.tear_down(script.settings)
    script.say(f"removed {len(report.removed)} of what was recorded")
    for resource, reason in report.failed:
        script.say(f"left: {resource.kind.value} {resource.name}: {reason}")
    script.check(not report.failed, "everything recorded is gone")
    points = {resource.name for resource in report.removed}
    mounted = [str(each.point) for each in devices.mounts() if str(each.point) in points]
    script.check(not mounted, "none of it is still mounted", mounted)
    left = [name for name in points if name.startswith("/") and Path(name).exists()]
    script.check(not left, "none of its files and folders is still there", left)


if __name__ == "__main__":
    run_script(body, needs_root=True)
