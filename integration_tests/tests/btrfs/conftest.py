"""A small Btrfs of its own for every test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.btrfs.local import LocalBtrfs
from integration_tests.harness.machine.loopback import LoopbackBtrfs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from btrfs_to_s3.ports import Volume

SIZE_BYTES = 256 * 1024**2


@pytest.fixture
def filesystem(fast_directory: Path, privileged: None) -> Iterator[LoopbackBtrfs]:  # noqa: ARG001
    """An empty, mounted filesystem."""
    with LoopbackBtrfs(fast_directory, size_bytes=SIZE_BYTES) as made:
        yield made


@pytest.fixture
def data(filesystem: LoopbackBtrfs) -> Path:
    """A subvolume ``@data`` with two files in it."""
    path = filesystem.subvolume("@data")
    (path / "first").write_bytes(os.urandom(200_000))
    (path / "second").write_text("two\n")
    return path


@pytest.fixture
def volume(data: Path) -> Iterator[Volume]:
    """The filesystem, opened writable by the adapter."""
    with LocalBtrfs().open(data, writable=True) as opened:
        yield opened
