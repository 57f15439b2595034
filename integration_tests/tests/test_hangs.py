"""A service that freezes: a stop still ends the run within seconds, and the next one goes on."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from integration_tests.tests.machine import Machine

pytestmark = pytest.mark.btrfs
SECONDS = 10.0
"""Far below the 60 s of read_timeout, far above what a busy machine adds."""


def stop_while_frozen(
    machine: Machine, process: subprocess.Popen[str], under_way: Callable[[], bool]
) -> None:
    """Freeze the service under a running transfer, then Ctrl-C."""
    deadline = time.monotonic() + 60
    while not under_way():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with machine.service.frozen():
        # What the sockets hold already is at an end by then, and the next request hangs.
        time.sleep(3)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=50)
        took_s = time.monotonic() - started
    assert process.returncode == 130, err
    assert "stopped by SIGINT" in err
    assert took_s < SECONDS


def test_a_stop_during_an_upload_to_a_frozen_service_ends_within_seconds_and_it_goes_on(
    machine: Machine, data: Path
) -> None:
    (data / "more").write_bytes(bytes(range(256)) * 40_000)
    slow = machine.with_settings(bandwidth_limit="300KB/s")
    with slow.start("backup", str(data)) as process:
        stop_while_frozen(machine, process, lambda: len(machine.keys("chunks/")) >= 2)

    assert machine.backup(data).resumed


def test_a_stop_during_a_download_from_a_frozen_service_ends_within_seconds(
    machine: Machine, data: Path, target: LoopbackBtrfs
) -> None:
    (data / "more").write_bytes(os.urandom(5_000_000))
    machine.backup(data)
    slow = machine.with_settings(bandwidth_limit="1MB/s", concurrency="1")
    into = target.mount_point
    with slow.start("restore", "data", "--target", str(into)) as process:
        stop_while_frozen(machine, process, lambda: bool(list(into.iterdir())))

    assert list(into.iterdir()) == []
    assert machine.restore("data", into).received


def test_a_stop_of_a_listing_of_a_frozen_service_ends_within_seconds(
    machine: Machine, data: Path
) -> None:
    machine.backup(data)
    with machine.service.frozen(), machine.start("list") as process:
        time.sleep(2)
        assert process.poll() is None
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=50)
        took_s = time.monotonic() - started
    assert process.returncode == 130
    assert took_s < SECONDS
