"""The whole way on services of other kinds, and what is said about what they lack."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.services.rclone import rclone_server
from integration_tests.harness.services.swift import swift_server
from integration_tests.harness.trees.compare import compare_trees
from integration_tests.harness.trees.seed import SeedSpec, seed_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from integration_tests.harness.services.service import Service
    from integration_tests.tests.machine import Machine

pytestmark = pytest.mark.btrfs


@pytest.fixture(scope="module")
def rclone() -> Iterator[Service]:
    """The bad provider: no conditions, no checksums, no classes."""
    with rclone_server() as service:
        yield service


@pytest.fixture(scope="module")
def swift() -> Iterator[Service]:
    """A durable store that checks what it is sent."""
    with swift_server() as service:
        yield service


def use(machine: Machine, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in service.environment().items():
        monkeypatch.setenv(name, value)
    machine.service, machine.bucket = service, service.create_bucket()


@pytest.mark.parametrize("provider", ["rclone", "swift"])
def test_the_round_trip_works_on_another_service_and_its_gaps_are_named_on_every_run(
    machine: Machine,
    filesystem: LoopbackBtrfs,
    target: LoopbackBtrfs,
    provider: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(machine, request.getfixturevalue(provider), monkeypatch)
    machine = machine.with_settings(chunk_size="16MiB")
    data = filesystem.subvolume("data")
    seed_tree(data, SeedSpec(seed=5, file_count=30, total_bytes=24 * 1024**2))

    first = machine.backup(data)
    said = list(machine.told.warnings)
    (data / "new").write_text("new\n")
    second = machine.backup(data)
    result = machine.restore("data", target.mount_point)

    assert first.chunk_count >= 2
    assert compare_trees(data, result.snapshot) == []
    assert result.received == (first.backup_id, second.backup_id)
    assert any("conditional writes" in warning for warning in said)
    assert machine.told.warnings[len(said) :].count(said[0]) == 1


def test_a_service_killed_in_mid_upload_is_waited_for_and_the_backup_completes(
    machine: Machine,
    data: Path,
    target: LoopbackBtrfs,
    swift: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(machine, swift, monkeypatch)
    (data / "more").write_bytes(bytes(range(256)) * 24_000)
    slow = machine.with_settings(bandwidth_limit="1MB/s", outage_patience="2m")
    with slow.start("backup", str(data)) as process:
        while not machine.keys("chunks/"):
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.05)
        swift.kill()
        time.sleep(3)
        swift.start()
        _, err = process.communicate(timeout=120)

    assert process.returncode == 0, err
    result = machine.restore("data", target.mount_point)
    assert compare_trees(data, result.snapshot) == []


def test_the_stored_chunks_restore_without_this_program(
    machine: Machine, data: Path, target: LoopbackBtrfs, tmp_path: Path
) -> None:
    machine.backup(data)
    (data / "new").write_text("new\n")
    machine.backup(data)
    client = machine.client()
    zstd = shutil.which("zstd") or "zstd"
    for manifest in machine.keys("manifests/"):
        backup_id = manifest.rpartition("/")[2].removesuffix(".json")
        stream = tmp_path / "stream"
        with stream.open("wb") as joined:
            for key in (key for key in machine.keys("chunks/") if f"/{backup_id}/" in key):
                answer = client.get_object(Bucket=machine.bucket, Key=f"prefix/{key}")
                subprocess.run(
                    [zstd, "-dcq"], input=answer["Body"].read(), stdout=joined, check=True
                )
        with stream.open("rb") as whole:
            subprocess.run(["btrfs", "receive", target.mount_point], stdin=whole, check=True)
    client.close()

    newest = max(target.mount_point.iterdir())
    assert compare_trees(data, newest) == []
