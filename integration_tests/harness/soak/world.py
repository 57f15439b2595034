"""A soak's own machine: two filesystems, a service behind the fault proxy, a program to run."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from integration_tests.harness.faultproxy.proxy import fault_proxy
from integration_tests.harness.machine import devices
from integration_tests.harness.machine.loopback import LoopbackBtrfs
from integration_tests.harness.machine.state import sweep
from integration_tests.harness.services.moto import moto_server
from integration_tests.harness.services.paths import run_directory
from integration_tests.harness.trees.seed import SeedSpec, seed_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_s3 import S3Client

    from integration_tests.harness.faultproxy.proxy import FaultProxy
    from integration_tests.harness.services.moto import Moto

SOURCE: Final = "data"
_PREFIX: Final = "soak"
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - images with random names are made in it
_SOURCE_SIZE_BYTES: Final = 2 * 1024**3
_TARGET_SIZE_BYTES: Final = 1024**3
_SETTINGS: Final = {
    # Small, so that a backup has several chunks, and a full one chunks of several parts.
    "chunk_size": "6MiB",
    "part_size": "5MiB",
    "concurrency": "2",
    # Short, so that faults of seconds are felt and hours of them pass.
    "connect_timeout": "3s",
    "read_timeout": "5s",
    "retry_attempts": "6",
    "outage_patience": "25s",
    # Few are kept, so that hours fit into memory; local ones outlive theirs, to compare with.
    "max_chain": "6",
    "keep": "last=5",
    "keep_local": "last=24",
    "orphan_age": "3m",
}


@dataclass(frozen=True, slots=True)
class LiveBackup:
    """One line of the head: a backup, its parent, and the local snapshot it was made from."""

    backup_id: str
    parent: str | None
    snapshot_uuid: str


@dataclass(frozen=True, slots=True)
class World:
    """Where everything is. `directory` holds what stays after the soak."""

    directory: Path
    source: LoopbackBtrfs
    target: LoopbackBtrfs
    data: Path
    service: Moto
    proxy: FaultProxy
    bucket: str

    def environment(self) -> dict[str, str]:
        """What the program under test is run with: the service as seen through the proxy."""
        return {
            **self.proxy.service.environment(),
            "BTRFS_TO_S3_URL": f"s3://{self.bucket}/{_PREFIX}",
            "BTRFS_TO_S3_STATE_DIR": str(self.directory / "program-state"),
            "BTRFS_TO_S3_HOST": "soak",
            **{f"BTRFS_TO_S3_{name.upper()}": value for name, value in _SETTINGS.items()},
        }

    def live_backups(self, client: S3Client) -> list[LiveBackup]:
        """The source's head, read past the proxy; empty before the first backup.

        botocore's errors come as they are.
        """
        listed = client.list_objects_v2(Bucket=self.bucket, Prefix=f"{_PREFIX}/heads/")
        for entry in listed.get("Contents", ()):
            body = client.get_object(Bucket=self.bucket, Key=entry["Key"])["Body"].read()
            return _live(json.loads(body))
        return []

    def snapshot(self, uuid: str) -> Path | None:
        """The source's read-only snapshot with this uuid, None if there is none any more."""
        point = self.source.mount_point
        for line in devices.run("btrfs", "subvolume", "list", "-u", point).splitlines():
            found = re.fullmatch(r"ID \d+ .* uuid (\S+) path (.*)", line)
            if found and found[1] == uuid:
                return point / found[2]
        return None

    def clear_target(self) -> None:
        """Delete every subvolume that restores made."""
        point = self.target.mount_point
        for line in reversed(devices.run("btrfs", "subvolume", "list", point).splitlines()):
            self.target.delete_subvolume(point / line.partition(" path ")[2])

    def image_bytes(self) -> int:
        """What both images take where they lie."""
        images = (self.source.image, self.target.image)
        return sum(image.stat().st_blocks * 512 for image in images)

    def dead_services(self) -> list[str]:
        """The servers that are not running although they ought to."""
        servers = {"moto": self.service.processes[0], "fault proxy": self.proxy.process}
        return [name for name, process in servers.items() if not process.running]


@contextlib.contextmanager
def world(directory: Path, seed: int) -> Iterator[World]:
    """Make a world with a seeded source; everything but `directory` is gone at the end.

    What a crashed soak left is removed first. Needs root.
    """
    sweep()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory / "program-state", ignore_errors=True)
        place = _place()
        source, target = (
            stack.enter_context(LoopbackBtrfs(place, size_bytes=size, options=["discard=async"]))
            for size in (_SOURCE_SIZE_BYTES, _TARGET_SIZE_BYTES)
        )
        data = source.subvolume(SOURCE)
        seed_tree(data, source_spec(seed))
        service = stack.enter_context(moto_server())
        bucket = service.create_bucket()
        proxy = stack.enter_context(fault_proxy(service))
        yield World(directory, source, target, data, service, proxy, bucket)


def source_spec(seed: int) -> SeedSpec:
    """What the source is filled with at first."""
    return SeedSpec(seed=seed, file_count=150, total_bytes=16 * 1024**2, large_files=3)


def _place() -> Path:
    """In memory where that is large enough for both images and as much again."""
    wanted = 2 * (_SOURCE_SIZE_BYTES + _TARGET_SIZE_BYTES)
    if os.access(_SHARED_MEMORY, os.W_OK) and shutil.disk_usage(_SHARED_MEMORY).free > wanted:
        return _SHARED_MEMORY
    return run_directory()


def _live(head: Mapping[str, Any]) -> list[LiveBackup]:
    return [
        LiveBackup(entry["id"], entry["parent"], entry["snapshot"]["uuid"])
        for entry in head["backups"]
    ]


def chain_length(backups: list[LiveBackup]) -> int:
    """How many backups the newest one needs, itself included."""
    parents = {backup.backup_id: backup.parent for backup in backups}
    length, at = 0, backups[-1].backup_id if backups else None
    while at is not None:
        length, at = length + 1, parents.get(at)
    return length
