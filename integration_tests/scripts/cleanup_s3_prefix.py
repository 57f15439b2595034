"""Remove everything below the stage's prefix: objects, versions and unfinished uploads."""

import argparse
import contextlib

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.steps import empty_prefix


def options(parser: argparse.ArgumentParser) -> None:
    """What else."""
    parser.add_argument("--dry-run", action="store_true", help="only count")


def body(script: Script) -> None:
    """Remove, and look that nothing else of the bucket went."""
    stage = script.stage()
    with contextlib.closing(stage.service(script.settings).client(attempts=5)) as client:
        outside = "zz-not-below-the-prefix"
        if script.settings.is_embedded:
            client.put_object(Bucket=stage.bucket, Key=outside, Body=b"x")
        count = empty_prefix(client, stage.bucket, stage.prefix, dry_run=script.options.dry_run)
        script.say(f"{count} objects, versions and uploads below {stage.url}")
        left = len(stage.keys(script.settings))
        script.check(script.options.dry_run or left == 0, "nothing is left below the prefix", left)
        if script.settings.is_embedded:
            kept = client.list_objects_v2(Bucket=stage.bucket, Prefix=outside)["KeyCount"]
            script.check(kept == 1, "what is beside the prefix is still there")
    script.figures["removed"] = 0 if script.options.dry_run else count


if __name__ == "__main__":
    run_script(body, options=options)
