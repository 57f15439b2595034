"""Whatever was done to the repository or happens to the target, a restore is whole or nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import (
    ExitCode,
    IntegrityError,
    LocalSpaceError,
    MissingObjectError,
    SourceError,
    UsageError,
)
from integration_tests.harness.machine.loopback import LoopbackBtrfs
from integration_tests.harness.trees.compare import compare_trees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from integration_tests.tests.machine import Machine

pytestmark = pytest.mark.btrfs


class Bucket:
    """The bucket as an adversary or an accident sees it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._client = machine.client()

    def read(self, key: str) -> bytes:
        """An object's bytes."""
        answer = self._client.get_object(Bucket=self._machine.bucket, Key=f"prefix/{key}")
        return answer["Body"].read()

    def write(self, key: str, data: bytes) -> None:
        """Overwrite an object."""
        self._client.put_object(Bucket=self._machine.bucket, Key=f"prefix/{key}", Body=data)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self._client.delete_object(Bucket=self._machine.bucket, Key=f"prefix/{key}")

    def close(self) -> None:
        """End the connections."""
        self._client.close()


@pytest.fixture
def bucket(machine: Machine) -> Iterator[Bucket]:
    made = Bucket(machine)
    yield made
    made.close()


def subvolumes(filesystem: LoopbackBtrfs) -> list[str]:
    return sorted(path.name for path in filesystem.mount_point.iterdir())


def flip_a_bit(bucket: Bucket, keys: list[str]) -> None:
    data = bytearray(bucket.read(keys[1]))
    data[len(data) // 2] ^= 1
    bucket.write(keys[1], bytes(data))


def truncate(bucket: Bucket, keys: list[str]) -> None:
    bucket.write(keys[1], bucket.read(keys[1])[:-1])


def swap(bucket: Bucket, keys: list[str]) -> None:
    first, second = bucket.read(keys[0]), bucket.read(keys[1])
    bucket.write(keys[0], second)
    bucket.write(keys[1], first)


def lose(bucket: Bucket, keys: list[str]) -> None:
    bucket.delete(keys[1])


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, swap, lose])
def test_a_chunk_that_is_not_what_was_stored_leaves_nothing_at_the_target(
    machine: Machine,
    data: Path,
    target: LoopbackBtrfs,
    bucket: Bucket,
    damage: Callable[[Bucket, list[str]], None],
) -> None:
    machine.backup(data)
    keys = machine.keys("chunks/")
    damage(bucket, keys)

    with pytest.raises(IntegrityError) as caught:
        machine.restore("data", target.mount_point)

    assert keys[0] in str(caught.value) or keys[1] in str(caught.value)
    assert isinstance(caught.value, MissingObjectError) == (damage is lose)
    assert subvolumes(target) == []


def test_a_damaged_increment_leaves_the_links_before_it_and_the_next_try_goes_on(
    machine: Machine, data: Path, target: LoopbackBtrfs, bucket: Bucket
) -> None:
    first = machine.backup(data)
    (data / "new").write_text("new\n")
    second = machine.backup(data)
    [key] = [key for key in machine.keys("chunks/") if str(second.backup_id) in key]
    whole = bucket.read(key)
    bucket.write(key, whole[:-1] + b"?")
    with pytest.raises(IntegrityError):
        machine.restore("data", target.mount_point)
    assert len(subvolumes(target)) == 1

    bucket.write(key, whole)
    result = machine.restore("data", target.mount_point)

    assert result.received == (second.backup_id,)
    assert first.backup_id not in result.received
    assert compare_trees(data, result.snapshot) == []


def test_a_manifest_edited_by_hand_is_refused(
    machine: Machine, data: Path, target: LoopbackBtrfs, bucket: Bucket
) -> None:
    machine.backup(data)
    [key] = machine.keys("manifests/")
    members = json.loads(bucket.read(key))
    members["requests"] = {"put": 0}
    bucket.write(key, json.dumps(members).encode())

    with pytest.raises(IntegrityError, match="not the manifest that was committed"):
        machine.restore("data", target.mount_point)

    assert subvolumes(target) == []


def test_a_damaged_index_is_refused(
    machine: Machine, data: Path, target: LoopbackBtrfs, bucket: Bucket
) -> None:
    machine.backup(data)
    [key] = machine.keys("indexes/")
    stored = bytearray(bucket.read(key))
    stored[-3] ^= 8
    bucket.write(key, bytes(stored))

    with pytest.raises(IntegrityError, match="is damaged"):
        machine.restore("data", target.mount_point)

    assert subvolumes(target) == []


def test_a_lost_head_is_rebuilt_with_a_warning_and_written_by_the_next_backup(
    machine: Machine, data: Path, target: LoopbackBtrfs, bucket: Bucket
) -> None:
    first = machine.backup(data)
    (data / "new").write_text("new\n")
    second = machine.backup(data)
    [key] = machine.keys("heads/")
    bucket.delete(key)

    result = machine.restore("data", target.mount_point)
    assert "is lost" in machine.told.warnings[-1]
    assert machine.keys("heads/") == []
    machine.outcome(data)

    assert compare_trees(data, result.snapshot) == []
    assert machine.keys("heads/") == [key]
    listed = [entry.backup_id for entry in machine.head().backups]
    assert listed == [first.backup_id, second.backup_id]


def test_a_head_that_was_rolled_back_is_refused_by_whoever_saw_the_newer_one(
    machine: Machine, data: Path, bucket: Bucket
) -> None:
    machine.backup(data)
    [key] = machine.keys("heads/")
    old = bucket.read(key)
    (data / "new").write_text("new\n")
    machine.backup(data)
    bucket.write(key, old)

    with pytest.raises(IntegrityError, match="rolled back") as caught:
        machine.backup(data)

    assert "--rebuild-head" in (caught.value.hint or "")
    assert bucket.read(key) == old


def test_a_restore_that_exits_0_is_on_disk_even_if_the_power_goes_at_once(
    machine: Machine, data: Path, target: LoopbackBtrfs, fast_directory: Path
) -> None:
    machine.backup(data)
    result = machine.restore("data", target.mount_point)

    # The image is copied while it is mounted: what is not on disk yet is not in the copy.
    after_the_cut = target.copy(fast_directory / "after-the-cut")
    target.unmount()
    with after_the_cut as revived:
        survivor = revived.mount_point / result.snapshot.name
        assert compare_trees(data, survivor) == []


def test_a_target_without_space_is_its_own_error_and_leaves_nothing(
    machine: Machine, data: Path, fast_directory: Path
) -> None:
    (data / "huge").write_bytes(os.urandom(130 * 1024**2))
    machine = machine.with_settings(chunk_size="64MiB")
    machine.backup(data)
    with LoopbackBtrfs(fast_directory / "small", size_bytes=128 * 1024**2) as small:
        with pytest.raises(LocalSpaceError):
            machine.restore("data", small.mount_point)
        assert subvolumes(small) == []
    assert any("free" in warning for warning in machine.told.warnings)


def test_a_killed_restore_leaves_a_partial_that_the_next_one_replaces(
    machine: Machine, data: Path, target: LoopbackBtrfs
) -> None:
    (data / "more").write_bytes(os.urandom(8 * 1024**2))
    machine.backup(data)
    slow = machine.with_settings(bandwidth_limit="1MB/s")
    with slow.start("restore", "data", "--target", str(target.mount_point)) as process:
        while not subvolumes(target):
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    assert len(subvolumes(target)) == 1

    result = machine.restore("data", target.mount_point)

    assert compare_trees(data, result.snapshot) == []
    assert subvolumes(target) == [result.snapshot.name]


def test_an_interrupted_restore_leaves_no_partial_subvolume(
    machine: Machine, data: Path, target: LoopbackBtrfs
) -> None:
    (data / "more").write_bytes(os.urandom(8 * 1024**2))
    machine.backup(data)
    slow = machine.with_settings(bandwidth_limit="1MB/s")
    with slow.start("restore", "data", "--target", str(target.mount_point)) as process:
        while not subvolumes(target):
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)

    assert process.returncode == ExitCode.INTERRUPTED
    assert subvolumes(target) == []


def test_a_foreign_entry_of_the_same_name_is_never_touched(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs, target: LoopbackBtrfs
) -> None:
    machine.backup(data)
    [snapshot] = (filesystem.mount_point / ".btrfs-to-s3").iterdir()
    occupied = target.mount_point / snapshot.name
    occupied.mkdir()
    (occupied / "mine").write_text("mine\n")

    with pytest.raises(SourceError, match="exists"):
        machine.restore("data", target.mount_point)

    assert (occupied / "mine").read_text() == "mine\n"


def test_a_received_parent_that_was_changed_is_not_built_upon(
    machine: Machine, data: Path, target: LoopbackBtrfs
) -> None:
    machine.backup(data)
    first = machine.restore("data", target.mount_point)
    (data / "new").write_text("new\n")
    machine.backup(data)
    for value in ("false", "true"):
        os.sync()
        set_readonly(first.snapshot, value)
        if value == "false":
            (first.snapshot / "intruder").write_text("changed\n")

    with pytest.raises(SourceError, match=r"cannot be relied on|exists"):
        machine.restore("data", target.mount_point)


def test_a_restore_to_a_place_where_the_writable_name_is_taken_is_refused_before_anything(
    machine: Machine, data: Path, target: LoopbackBtrfs
) -> None:
    machine.backup(data)
    (target.mount_point / "data").mkdir()

    with pytest.raises(UsageError, match="exists already"):
        machine.restore("data", target.mount_point, writable="data")

    assert subvolumes(target) == ["data"]


def set_readonly(path: Path, value: str) -> None:
    """Flip the ro flag as a person would, keeping the received_uuid where the kernel lets one."""
    import fcntl  # noqa: PLC0415 - used here only
    import struct  # noqa: PLC0415

    descriptor = os.open(path, os.O_RDONLY)
    try:
        # linux/btrfs.h: the ioctl is SUBVOL_SETFLAGS, the flag is SUBVOL_RDONLY.
        flags = struct.pack("Q", 2 if value == "true" else 0)
        with contextlib.suppress(BlockingIOError):
            fcntl.ioctl(descriptor, 0x4008941A, flags)
    finally:
        os.close(descriptor)
