"""Restoring what must be thawed first, on a service whose thaw takes seconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import ExitCode
from integration_tests.harness.compare import compare_trees
from integration_tests.harness.services.moto import moto_server
from integration_tests.tests.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integration_tests.harness.loopback import LoopbackBtrfs
    from integration_tests.harness.services.moto import Moto

pytestmark = pytest.mark.btrfs
THAW_S = 3.0


@pytest.fixture(scope="module")
def slow_moto() -> Iterator[Moto]:
    """A service whose thaw takes a while; moto thaws no object that is younger than that."""
    with moto_server() as service:
        service.thaw_after(THAW_S)
        yield service


@pytest.fixture
def archive(slow_moto: Moto, fast_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine that stores in the archive, and looks every second."""
    for name, value in slow_moto.environment().items():
        monkeypatch.setenv(name, value)
    settings = {
        "chunk_size": "1MiB",
        "part_size": "5MiB",
        "host": "nas",
        "retry_attempts": "3",
        "storage_class": "DEEP_ARCHIVE",
        "thaw_poll": "1s",
    }
    return Machine(slow_moto, slow_moto.create_bucket(), fast_directory / "state", settings)


def grow_old() -> None:
    """Wait until what was stored just now can be thawed (see ``slow_moto``)."""
    time.sleep(THAW_S + 1.1)


def test_a_restore_that_waits_asks_waits_and_restores(
    archive: Machine, data: Path, target: LoopbackBtrfs
) -> None:
    archive.backup(data)
    grow_old()
    refused = archive.run("restore", "data", "--target", str(target.mount_point))
    assert refused.returncode == ExitCode.NOT_READABLE_YET, refused.stderr
    assert "restore --wait" in refused.stderr
    assert "request" in refused.stderr
    assert list(target.mount_point.iterdir()) == []

    waited = archive.run("restore", "data", "--target", str(target.mount_point), "--wait")

    assert waited.returncode == 0, waited.stderr
    [snapshot] = target.mount_point.iterdir()
    assert compare_trees(data, snapshot) == []
