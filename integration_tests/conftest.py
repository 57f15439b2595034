"""What every privileged test needs: the privilege itself, and a place that is fast to sync."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.machine.loopback import why_unavailable
from integration_tests.harness.machine.state import sweep

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def privileged() -> None:
    """Skip where no loopback Btrfs can be made; in CI that is a failure.

    Whatever a crashed run left behind is removed first.
    """
    reason = why_unavailable()
    if reason is None:
        sweep()
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI must not skip these tests")
    pytest.skip(reason)


@pytest.fixture
def fast_directory(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: a sync to a disk takes most of a test's time."""
    if not os.access("/dev/shm", os.W_OK):  # noqa: S108 - a private directory is made in it
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="btrfs-to-s3-test-") as made:
        yield Path(made)
