"""One small Btrfs per pytest worker, and a seeded tree that every test gets its own copy of."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.machine.loopback import LoopbackBtrfs
from integration_tests.harness.machine.state import StateFile
from integration_tests.harness.services.paths import run_directory
from integration_tests.harness.trees.seed import SeedSpec, seed_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SPEC = SeedSpec(seed=1, file_count=60, total_bytes=1024**2)


@pytest.fixture(scope="session")
def filesystem(privileged: None) -> Iterator[LoopbackBtrfs]:  # noqa: ARG001 - order only
    """Return a filesystem that compresses, shared by the tests of one worker."""
    with LoopbackBtrfs(options=["compress=zstd"]) as made:
        yield made


@pytest.fixture(scope="session")
def seeded(filesystem: LoopbackBtrfs) -> Path:
    """Return a read-only snapshot of a seeded subvolume."""
    subvolume = filesystem.subvolume("seeded")
    seed_tree(subvolume, SPEC)
    return filesystem.snapshot(subvolume, "seeded-ro")


@pytest.fixture
def new_subvolume(filesystem: LoopbackBtrfs) -> Iterator[Callable[[], Path]]:
    """Return a function that makes empty subvolumes, deleted after the test."""
    made: list[Path] = []
    numbers = itertools.count()

    def make() -> Path:
        made.append(filesystem.subvolume(f"empty-{next(numbers)}"))
        return made[-1]

    yield make
    for path in made:
        filesystem.delete_subvolume(path)


@pytest.fixture
def new_copy(filesystem: LoopbackBtrfs, seeded: Path) -> Iterator[Callable[[], Path]]:
    """Return a function that makes writable snapshots of `seeded`, deleted after the test."""
    made: list[Path] = []
    numbers = itertools.count()

    def make() -> Path:
        made.append(filesystem.snapshot(seeded, f"copy-{next(numbers)}", writable=True))
        return made[-1]

    yield make
    for path in made:
        filesystem.delete_subvolume(path)


@pytest.fixture
def state(tmp_path: Path, privileged: None) -> StateFile:  # noqa: ARG001 - order only
    """Return a state file of the test's own."""
    return StateFile(tmp_path / "state.json")


@pytest.fixture
def replicate() -> Callable[..., None]:
    """Return a function that pipes `btrfs send` into `btrfs receive`."""

    def pipe(snapshot: Path, into: Path, *options: str | Path) -> None:
        sending = ["btrfs", "send", "-q", *map(str, options), str(snapshot)]
        with subprocess.Popen(sending, stdout=subprocess.PIPE) as send:
            subprocess.run(["btrfs", "receive", "-q", str(into)], stdin=send.stdout, check=True)
        assert send.returncode == 0

    return pipe


@pytest.fixture
def soak_config(tmp_path: Path) -> Iterator[Path]:
    """A configuration whose run directory belongs to this test."""
    name = f"soak-test-{os.getpid()}-{time.monotonic_ns()}"
    config = tmp_path / "config.toml"
    config.write_text(f'name = "{name}"\n')
    yield config
    shutil.rmtree(run_directory() / name, ignore_errors=True)
