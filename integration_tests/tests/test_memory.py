"""Guarantee 4: memory follows the formula, whatever the size of the stream."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.machine.loopback import LoopbackBtrfs
from integration_tests.harness.services.rclone import rclone_server

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from integration_tests.harness.services.service import Service
    from integration_tests.tests.machine import Machine

pytestmark = pytest.mark.btrfs

LIMIT_BYTES = 220 * 1024**2
GROWTH_BYTES = 24 * 1024**2
MIB = 1024**2


@pytest.fixture(scope="module")
def rclone() -> Iterator[Service]:
    """A service that keeps nothing in memory."""
    with rclone_server() as service:
        yield service


def peak_bytes(process: subprocess.Popen[str]) -> int:
    """The process's largest resident set (proc(5), VmHWM), once it has ended well."""
    peak = 0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = max(peak, int(line.split()[1]) * 1024)
        time.sleep(0.02)
    assert process.returncode == 0, process.stderr and process.stderr.read()
    return peak


def test_backup_and_restore_stay_within_the_bound_and_do_not_grow_with_the_stream(
    machine: Machine,
    fast_directory: Path,
    rclone: Service,
    monkeypatch: pytest.MonkeyPatch,
    privileged: None,  # noqa: ARG001 - order only
) -> None:
    for name, value in rclone.environment().items():
        monkeypatch.setenv(name, value)
    machine.service, machine.bucket = rclone, rclone.create_bucket()
    machine.settings = {}
    peaks: dict[str, int] = {}
    for size in (160, 352):
        name = f"of-{size}"
        with (
            LoopbackBtrfs(fast_directory / f"source-{size}", size_bytes=1024 * MIB) as source,
            LoopbackBtrfs(fast_directory / f"target-{size}", size_bytes=1024 * MIB) as target,
        ):
            data = source.subvolume(name)
            with (data / "random").open("wb") as file:
                for _ in range(size):
                    file.write(os.urandom(MIB))
            with machine.start("backup", str(data)) as process:
                peaks[f"backup-{size}"] = peak_bytes(process)
            with machine.start("restore", name, "--target", str(target.mount_point)) as process:
                peaks[f"restore-{size}"] = peak_bytes(process)

    assert max(peaks.values()) <= LIMIT_BYTES, peaks
    assert peaks["backup-352"] - peaks["backup-160"] < GROWTH_BYTES, peaks
    assert peaks["restore-352"] - peaks["restore-160"] < GROWTH_BYTES, peaks
