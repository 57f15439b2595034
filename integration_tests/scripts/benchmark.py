"""Measure beside the peers; without options a trial of two minutes. See docs/performance.md."""

import argparse
import subprocess
import sys

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script


def options(parser: argparse.ArgumentParser) -> None:
    """What to measure."""
    parser.add_argument("--full", action="store_true", help="5 GB, three rounds: 40 minutes")
    parser.add_argument("what", nargs="*", default=["backup", "restore"], help="%(default)s")


def body(script: Script) -> None:
    """Run the benchmark; only its completion is checked, never a time."""
    command = [sys.executable, "-m", "integration_tests.bench", *script.options.what]
    command += [] if script.options.full else ["--quick"]
    with (script.logs / "bench.log").open("w") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
    text = (script.logs / "bench.log").read_text()
    print(text)
    script.check(done.returncode == 0, "the benchmark completes", done.returncode)


if __name__ == "__main__":
    run_script(body, needs_root=True, options=options)
