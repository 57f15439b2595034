"""Set up the stage: two loopback Btrfs filesystems and, unless configured otherwise, an S3 service.

They stay until teardown_btrfs.py. An earlier stage of the same configuration is removed first.
"""

import _environment  # noqa: F401

from integration_tests.harness.scripting import stage as stages
from integration_tests.harness.scripting.script import Script, run_script


def body(script: Script) -> None:
    """Make it, and find it again as the next script will."""
    made = stages.set_up(script.settings)
    script.say(f"source     {made.data}")
    script.say(f"target     {made.target}")
    script.say(f"repository {made.url} at {made.endpoint_url or 'AWS'}")
    script.check(script.stage() == made, "the stage is found where it was recorded")
    script.check(made.data.is_dir(), "the source is an empty subvolume")
    script.check(made.keys(script.settings) == {}, "the repository's prefix is empty")


if __name__ == "__main__":
    run_script(body, needs_root=True)
