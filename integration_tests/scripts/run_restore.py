"""Restore the newest and the oldest backup and compare each with the snapshot it was made of."""

from pathlib import Path

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.steps import WRITABLE, require_same, restore, snapshot_of


def body(script: Script) -> None:
    """Restore, compare, and leave the newest for verify_restore.py."""
    stage, program = script.stage(), script.program()
    listed = program.run("list").document["sources"]
    script.require(listed and listed[0]["backups"], "there is something to restore")
    oldest = listed[0]["backups"][0]["backup_id"]
    for address in (f"data@{oldest}", "data"):
        restored = Path(restore(script, stage, program, address)["snapshot"])
        expected = snapshot_of(stage, restored)
        if expected.is_dir():
            require_same(script, expected, restored, f"{address} is its snapshot")
        else:
            script.say(f"{expected.name} is not kept on the source's filesystem any more")
    done = restore(script, stage, program, "data", "--writable", WRITABLE)
    writable = Path(done["writable"])
    (writable / "written").write_text("x", encoding="utf-8")
    script.check((writable / "written").is_file(), "the writable snapshot can be written to")
    (writable / "written").unlink()
    script.figures |= {"restored": str(restored), "throughput": done["throughput_bytes_per_s"]}


if __name__ == "__main__":
    run_script(body, needs_root=True)
