"""One small round trip against the service that the environment names, or an embedded one.

BTRFS_TO_S3_URL (s3://bucket/prefix) chooses; AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN say how. The prefix gets a time stamp of its own.
"""

import dataclasses
from pathlib import Path
from urllib.parse import urlsplit

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.settings import EMBEDDED, S3
from integration_tests.harness.scripting.stage import own_stage
from integration_tests.harness.scripting.steps import (
    back_up,
    check_stored,
    emptied,
    require_same,
    restore,
)
from integration_tests.harness.trees.seed import SeedSpec, seed_tree

COMPLETE = "Smoke test complete."


def named_service(script: Script) -> S3:
    """What the environment says; the embedded service if it names no repository."""
    variables = script.settings.variables
    url = urlsplit(variables.get("BTRFS_TO_S3_URL", ""))
    endpoint = variables.get("AWS_ENDPOINT_URL", "") if url.netloc else EMBEDDED
    region = variables.get("AWS_REGION", script.settings.s3.region)
    return S3(endpoint, url.netloc, url.path.strip("/") or "btrfs-to-s3-smoke", region)


def body(script: Script) -> None:
    """Seed, back up twice, look, restore, compare."""
    script.settings = dataclasses.replace(script.settings, s3=named_service(script))
    with own_stage(script.settings, "smoke") as stage, emptied(script.settings, stage):
        script.say(f"{stage.url} at {stage.endpoint_url or 'AWS'}")
        program = script.program(stage)
        seed_tree(stage.data, SeedSpec(seed=1, file_count=20, total_bytes=1024**2))
        back_up(script, stage, program)
        (stage.data / "later").write_text("added", encoding="utf-8")
        back_up(script, stage, program)
        check_stored(script, stage)
        restored = Path(restore(script, stage, program, "data")["snapshot"])
        require_same(script, stage.data, restored, "the restored tree is the source")
    if script.passed:
        print(COMPLETE)


if __name__ == "__main__":
    run_script(body, needs_root=True)
