"""A service per worker; a bucket, a machine and two filesystems per test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.machine.loopback import LoopbackBtrfs
from integration_tests.harness.services.moto import Moto, moto_server
from integration_tests.harness.trees.seed import SeedSpec, seed_tree
from integration_tests.tests.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE_BYTES = 512 * 1024**2
SPEC = SeedSpec(seed=7, file_count=40, total_bytes=3 * 1024**2)


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    """The everyday service."""
    with moto_server() as service:
        yield service


@pytest.fixture
def machine(moto: Moto, fast_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with an empty bucket; small chunks, so that a few MiB make several."""
    for name, value in moto.environment().items():
        monkeypatch.setenv(name, value)
    return Machine(
        moto,
        moto.create_bucket(),
        fast_directory / "state",
        {"chunk_size": "1MiB", "part_size": "5MiB", "host": "nas", "retry_attempts": "3"},
    )


@pytest.fixture
def filesystem(fast_directory: Path, privileged: None) -> Iterator[LoopbackBtrfs]:  # noqa: ARG001
    """The filesystem with the source."""
    with LoopbackBtrfs(fast_directory / "source", size_bytes=SIZE_BYTES) as made:
        yield made


@pytest.fixture
def target(fast_directory: Path, privileged: None) -> Iterator[LoopbackBtrfs]:  # noqa: ARG001
    """A filesystem to restore to."""
    with LoopbackBtrfs(fast_directory / "target", size_bytes=SIZE_BYTES) as made:
        yield made


@pytest.fixture
def data(filesystem: LoopbackBtrfs) -> Path:
    """A source with a little of everything in it."""
    path = filesystem.subvolume("data")
    seed_tree(path, SPEC)
    return path
