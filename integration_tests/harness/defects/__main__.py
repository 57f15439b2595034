"""Break the program and see a script fail: `python -m integration_tests.harness.defects [WORD]`.

Needs root and about ten minutes; words after it choose defects whose names hold one of them. Ends
with a table, and with 1 if a defect went unnoticed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from integration_tests.harness.defects.catalogue import DEFECTS, Defect, Edit
from integration_tests.harness.scripting.privilege import require_root
from integration_tests.harness.scripting.sequence import SCRIPTS
from integration_tests.harness.scripting.settings import CONFIG_DIRECTORY
from integration_tests.harness.services.paths import REPOSITORY

_CONFIG: Final = """
name = "defects"
[data]
files = 60
size = "8MiB"
large_files = 2
mutations = 20
[archive]
thaw = "10s"
timeout = "60s"
[backup]
chunk_size = "5MiB"
"""


class UnusableError(RuntimeError):
    """A defect cannot be tried: its text is not there, or a script fails without it."""


def main() -> int:
    """Try them; 0 when every one was caught."""
    require_root()
    words = sys.argv[1:]
    chosen = [each for each in DEFECTS if not words or any(word in each.name for word in words)]
    rows = []
    with tempfile.TemporaryDirectory(prefix="defects-") as name:
        for defect in chosen:
            started = time.monotonic()
            said = _tried(defect, Path(name))
            rows.append((defect.name, " ".join(defect.script), said))
            print(f"{defect.name}: {said} ({time.monotonic() - started:.0f} s)", flush=True)
    print("\n| defect | script | what it said |\n| --- | --- | --- |")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    return 1 if any(said == "NOT CAUGHT" for _, _, said in rows) else 0


def _tried(defect: Defect, work: Path) -> str:
    """The first failed check of the script; NOT CAUGHT if it passed."""
    package = work / "broken" / "btrfs_to_s3"
    shutil.rmtree(package.parent, ignore_errors=True)
    shutil.copytree(REPOSITORY / "btrfs_to_s3", package)
    for edit in defect.edits:
        _break(package, edit)
    config = work / "defects.toml"
    config.write_text(_CONFIG)
    command = ["env", f"PYTHONPATH={package.parent}", sys.executable, "-P", "-m", "btrfs_to_s3"]
    broken = {"BTRFS_TO_S3_CMD": json.dumps(command)}
    variables = {"HARNESS_STATE": str(work / "state.json")}
    script, *options = defect.script
    try:
        for name in ("setup_btrfs", "seed_data", *defect.before):
            if _run(name, config, variables) != 0:
                raise UnusableError(f"{name} fails without the defect {defect.name!r}")
        if script.startswith("verify"):
            _run("run_full", config, {**variables, **broken})
        large = CONFIG_DIRECTORY / "test_large.toml"  # the only data that needs many parts
        chosen = large if script == "run_large" else config
        code = _run(script, chosen, {**variables, **broken}, *options)
        return _first_failure(script) if code else "NOT CAUGHT"
    finally:
        _run("teardown_btrfs", config, variables)


def _break(package: Path, edit: Edit) -> None:
    path = package / edit.file
    text = path.read_text(encoding="utf-8")
    if text.count(edit.old) != 1:
        raise UnusableError(f"{edit.file} does not hold {edit.old!r} once: mend the catalogue")
    path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")


def _run(name: str, config: Path, variables: dict[str, str], *options: str) -> int:
    command = [sys.executable, str(SCRIPTS / f"{name}.py"), "--config", str(config), *options]
    done = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    _LAST[name] = done.stdout + done.stderr
    return done.returncode


def _first_failure(name: str) -> str:
    lines = [line.strip() for line in _LAST[name].splitlines()]
    failed = [line.removeprefix("FAIL ") for line in lines if line.startswith("FAIL ")]
    said = failed[0] if failed else lines[-1]
    return said[:120].replace("|", "/")


_LAST: dict[str, str] = {}


if __name__ == "__main__":
    sys.exit(main())
