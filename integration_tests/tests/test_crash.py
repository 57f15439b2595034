"""Guarantees 1 and 5: a crash at any write leaves what was visible restorable, and goes on."""

from __future__ import annotations

import signal
import time
from itertools import count
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import BtrfsToS3Error
from btrfs_to_s3.model.identity import Kind
from integration_tests.harness.trees.compare import compare_trees
from integration_tests.tests.stopping import Moment, StopAt, StoppedError

if TYPE_CHECKING:
    from pathlib import Path

    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from integration_tests.tests.machine import Machine

pytestmark = pytest.mark.btrfs


def require_all_restorable(machine: Machine, target: LoopbackBtrfs, expected: Path) -> None:
    """Every visible backup restores; the newest is the source as it is now."""
    entries = machine.head().backups
    for entry in entries:
        result = machine.restore(f"data@{entry.backup_id}", target.mount_point)
    assert [str(each) for each in compare_trees(expected, result.snapshot)] == []


@pytest.mark.parametrize("moment", Moment)
def test_a_stop_at_any_write_of_an_increment_loses_nothing_and_the_next_run_completes(
    machine: Machine, data: Path, target: LoopbackBtrfs, moment: Moment
) -> None:
    first = machine.backup(data)
    for at in count():
        (data / f"new-{at}").write_bytes(bytes([at]) * 3_000_000)
        stop = StopAt(at, moment)
        machine.wrap = stop.install
        try:
            machine.backup(data)
        except StoppedError:
            stopped = True
        else:
            stopped = False
        machine.wrap = None
        visible = [entry.backup_id for entry in machine.head().backups]
        assert visible[0] == first.backup_id
        if not stopped:
            break
        outcome = machine.outcome(data)
        assert len(machine.head().backups) == at + 2
        assert outcome.plan is not None
    assert at >= 5
    require_all_restorable(machine, target, data)


@pytest.mark.parametrize("moment", Moment)
def test_a_stop_at_any_write_of_the_first_backup_leaves_nothing_half_visible(
    machine: Machine, data: Path, target: LoopbackBtrfs, moment: Moment
) -> None:
    for at in count():
        fresh = machine.elsewhere(machine.state / f"{at}")
        fresh.bucket = machine.service.create_bucket()
        stop = StopAt(at, moment)
        fresh.wrap = stop.install
        try:
            fresh.backup(data)
        except StoppedError:
            stopped = True
        else:
            stopped = False
        fresh.wrap = None
        if not stopped:
            break
        outcome = fresh.outcome(data)
        assert outcome.source_id is not None
        [entry] = fresh.head().backups
        assert entry.kind is Kind.FULL
        assert len(fresh.keys("heads/")) == 1
        assert len(fresh.keys("sources/")) == 1
    assert at >= 7
    require_all_restorable(fresh, target, data)


def test_a_resumed_backup_sends_only_what_is_missing(machine: Machine, data: Path) -> None:
    (data / "more").write_bytes(bytes(range(256)) * 20_000)
    # One write at a time: of several under way, a stop lets some be stored or none.
    first = machine.with_settings(concurrency="1")
    first.wrap = StopAt(6).install
    with pytest.raises(StoppedError):
        first.backup(data)
    stored = set(machine.keys("chunks/"))

    result = machine.backup(data)

    assert result.resumed
    assert len(stored) >= 2
    assert result.reused_bytes == len(stored) * 1024 * 1024
    assert stored < set(machine.keys("chunks/"))
    assert machine.told.raw_bytes >= result.raw_size_bytes


def test_restart_gives_the_interrupted_upload_up_and_its_snapshot_with_it(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs
) -> None:
    machine.wrap = StopAt(5).install
    with pytest.raises(StoppedError):
        machine.backup(data)
    machine.wrap = None

    result = machine.backup(data, restart=True)

    assert not result.resumed
    assert result.reused_bytes == 0
    assert len(list((filesystem.mount_point / ".btrfs-to-s3").iterdir())) == 1


def test_a_chunk_that_vanished_from_the_service_is_sent_again(machine: Machine, data: Path) -> None:
    machine.wrap = StopAt(6).install
    with pytest.raises(StoppedError):
        machine.backup(data)
    machine.wrap = None
    client = machine.client()
    client.delete_object(Bucket=machine.bucket, Key=f"prefix/{machine.keys('chunks/')[0]}")
    client.close()

    result = machine.backup(data)

    assert result.resumed
    assert len(machine.keys("chunks/")) == result.chunk_count


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_process_leaves_no_child_and_the_next_run_resumes(
    machine: Machine, data: Path, target: LoopbackBtrfs, number: signal.Signals
) -> None:
    (data / "more").write_bytes(bytes(range(256)) * 40_000)
    slow = machine.with_settings(bandwidth_limit="300KB/s")
    with slow.start("backup", str(data)) as process:
        while len(machine.keys("chunks/")) < 2:
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.05)
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode in {-9, 130}

    result = machine.backup(data)

    assert result.resumed
    assert result.reused_bytes > 0
    require_all_restorable(machine, target, data)


def test_a_backup_that_failed_never_reports_success(machine: Machine, data: Path) -> None:
    machine.service.stop()
    try:
        with pytest.raises(BtrfsToS3Error):
            machine.with_settings(outage_patience="1s", retry_attempts="1").backup(data)
    finally:
        machine.service.start()
