"""Back up and restore a stream of many chunks, each of several parts. On its own stage."""

from pathlib import Path

import _environment  # noqa: F401

from integration_tests.harness.scripting.script import Script, run_script
from integration_tests.harness.scripting.settings import CONFIG_DIRECTORY
from integration_tests.harness.scripting.stage import own_stage
from integration_tests.harness.scripting.steps import (
    back_up,
    check_stored,
    require_same,
    restore,
    stored,
)
from integration_tests.harness.trees.mutate import mutate_tree
from integration_tests.harness.trees.seed import SeedSpec, seed_tree

MANY = 5
MEMORY_BYTES = 220 * 1024**2
SLOWER_THAN_SEND = "30MB/s"


def body(script: Script) -> None:
    """A full backup, an increment, a restore of both together."""
    with own_stage(script.settings, "own") as stage:
        data, program = script.settings.data, script.program(stage)
        spec = SeedSpec(data.seed, data.files, data.size.bytes, data.large_files)
        seed_tree(stage.data, spec)
        made = back_up(script, stage, program.with_settings(bandwidth_limit=SLOWER_THAN_SEND))
        peak = script.figures["peak_memory_bytes"]
        script.check(peak <= MEMORY_BYTES, "memory stays bounded on a slow line", peak)
        script.check(made["chunk_count"] >= MANY, f"at least {MANY} chunks", made["chunk_count"])
        with stored(script, stage) as repository:
            parts = [
                len(record["parts"])
                for _, _, manifest in repository.backups()
                for record in repository.index(manifest)
            ]
        script.check(max(parts) > 1, "chunks of several parts", parts)
        mutate_tree(stage.data, seed=data.seed, count=data.mutations)
        back_up(script, stage, program)
        check_stored(script, stage)
        restored = Path(restore(script, stage, program, "data")["snapshot"])
        require_same(script, stage.data, restored, "the restored tree is the source")


if __name__ == "__main__":
    run_script(body, needs_root=True, config=CONFIG_DIRECTORY / "test_large.toml")
