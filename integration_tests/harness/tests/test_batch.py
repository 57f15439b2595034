"""The memory limit is a real one, its groups never stay, and a batch passes or fails by it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration_tests.harness import batch
from integration_tests.harness.machine.cgroup import MemoryGroup, remove_abandoned
from integration_tests.harness.services.paths import INTEGRATION_TESTS, run_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.btrfs

MIB = 1024**2


@pytest.fixture
def group(privileged: None) -> Iterator[MemoryGroup]:  # noqa: ARG001 - order only
    """A group that may use little."""
    with MemoryGroup(64 * MIB) as made:
        yield made


def test_what_needs_more_than_the_limit_is_killed(group: MemoryGroup) -> None:
    assert group.limit_in_force_bytes == 64 * MIB
    assert group.kills == 0
    assert batch.is_in_force(group)
    assert group.kills == 1
    assert 48 * MIB < group.peak_bytes <= 64 * MIB


def test_what_needs_less_than_the_limit_is_not_killed(group: MemoryGroup) -> None:
    command = group.command([sys.executable, "-c", "print(len(b'x' * (16 << 20)))"])

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout) == (0, f"{16 * MIB}\n")
    assert group.kills == 0
    assert group.peak_bytes > 16 * MIB


def test_children_are_in_the_group_too(group: MemoryGroup) -> None:
    shell = ["sh", "-c", "sleep 60 & wait"]
    with subprocess.Popen(group.command(shell), start_new_session=True) as process:
        deadline = time.monotonic() + 10
        while len(group.pids()) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        inside = group.pids()
        for pid in inside:
            os.kill(pid, 9)
    assert len(inside) == 2
    assert process.pid in inside


def test_a_group_is_gone_at_its_end(privileged: None) -> None:  # noqa: ARG001 - order only
    with MemoryGroup(64 * MIB) as group:
        assert group.path.is_dir()
    assert not group.path.exists()


def test_a_group_of_a_dead_owner_is_removed_and_one_of_a_living_owner_stays(
    group: MemoryGroup,
) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    abandoned = group.path.with_name(f"btrfs-to-s3-harness-{dead.pid}-1-abcdef")
    abandoned.mkdir()

    assert remove_abandoned() == [abandoned]
    assert not abandoned.exists()
    assert group.path.exists()


@pytest.fixture
def own_config(tmp_path: Path, privileged: None) -> Iterator[Path]:  # noqa: ARG001 - order only
    """A configuration whose run directory belongs to this test; parts small, for small memory."""
    name = f"batch-test-{os.getpid()}-{time.monotonic_ns()}"
    config = tmp_path / "config.toml"
    config.write_text(f'name = "{name}"\n[backup]\nchunk_size = "10MiB"\npart_size = "5MiB"\n')
    yield config
    for path in (run_directory() / name, run_directory() / f"{name}-batch"):
        shutil.rmtree(path, ignore_errors=True)


def run_batch(config: Path, *arguments: str) -> tuple[int, str, dict[str, Any]]:
    """Run the script on two small sources and one of 12 MiB: exit status, output, result."""
    script = str(INTEGRATION_TESTS / "scripts" / "run_batch.py")
    few = ["--sources", "2", "--large", "12MiB", "--workers", "3", "--restores", "2"]
    ended = subprocess.run(
        [sys.executable, script, "--config", str(config), *few, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    said = ended.stdout + ended.stderr
    result = json.loads(Path(said.rpartition("; ")[2].strip()).read_text())
    return ended.returncode, said, result


def test_a_small_batch_passes(own_config: Path) -> None:
    status, said, result = run_batch(own_config, "--memory-limit", "500MiB")

    assert status == 0, said
    assert result["figures"]["sources"] == 3
    assert 0 < result["figures"]["peak_with_page_cache_mib"] <= 500
    assert result["figures"]["throughput_mib_per_s"] > 0


def test_a_batch_whose_limit_is_too_low_fails(own_config: Path) -> None:
    status, said, result = run_batch(own_config, "--memory-limit", "32MiB", "--restores", "1")

    assert status == 1, said
    failed = {check["text"] for check in result["checks"] if not check["passed"]}
    assert {"every source was backed up", "the limit killed none of them"} <= failed
