"""Bad input and faults on the way up: a clear error, and nothing half done is ever visible."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.btrfs.local import LocalBtrfs
from btrfs_to_s3.errors import (
    AccessDeniedError,
    ExitCode,
    IntegrityError,
    LocalSpaceError,
    RepositoryError,
    SendError,
    SourceError,
    UnreachableError,
)
from integration_tests.harness.trees.compare import compare_trees

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from btrfs_to_s3.wiring.application import Application
    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from integration_tests.tests.machine import Machine

pytestmark = pytest.mark.btrfs


def snapshots(filesystem: LoopbackBtrfs) -> list[str]:
    place = filesystem.mount_point / ".btrfs-to-s3"
    return sorted(path.name for path in place.iterdir()) if place.exists() else []


def test_wrong_credentials_end_the_run_before_a_snapshot_is_taken(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs
) -> None:
    machine.backup(data)
    before = snapshots(filesystem)
    (data / "new").write_text("new\n")
    stranger = machine.with_settings()
    allowed = machine.service.require_credentials()  # type: ignore[attr-defined]
    try:
        stranger.service = replace(allowed, secret_key="wrong")
        with pytest.raises(AccessDeniedError) as caught:
            stranger.backup(data)
    finally:
        machine.service.accept_any_credentials()  # type: ignore[attr-defined]

    assert caught.value.exit_code is ExitCode.REPOSITORY
    assert caught.value.hint
    assert snapshots(filesystem) == before


def test_no_permission_to_write_ends_the_run_before_a_snapshot_is_taken(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs
) -> None:
    machine.backup(data)
    before = snapshots(filesystem)
    (data / "new").write_text("new\n")
    reader = machine.with_settings()
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}],
    }
    try:
        reader.service = machine.service.require_credentials(policy)  # type: ignore[attr-defined]
        with pytest.raises(AccessDeniedError):
            reader.backup(data)
    finally:
        machine.service.accept_any_credentials()  # type: ignore[attr-defined]

    assert snapshots(filesystem) == before


def test_a_missing_bucket_is_named_before_a_snapshot_is_taken(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs
) -> None:
    machine.bucket = "nobody-made-this"

    with pytest.raises(RepositoryError, match="nobody-made-this"):
        machine.backup(data)

    assert snapshots(filesystem) == []


def test_an_unreachable_service_ends_within_the_patience(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs
) -> None:
    impatient = machine.with_settings(outage_patience="1s", retry_attempts="2")
    machine.service.stop()
    try:
        with pytest.raises(UnreachableError) as caught:
            impatient.backup(data)
    finally:
        machine.service.start()

    assert machine.service.endpoint_url in str(caught.value)
    assert snapshots(filesystem) == []


class Shim:
    """A ``btrfs`` that behaves badly in one way and is the real one otherwise."""

    def __init__(self, path: Path, send: str) -> None:
        self.path = path
        real = shutil.which("btrfs") or "btrfs"
        send = send.replace("{real}", real)
        path.write_text(
            f'#!/bin/sh\nif [ "$1" = send ]; then\n{send}\nexit\nfi\nexec {real} "$@"\n'
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def install(self, application: Application) -> None:
        """Let the application use it."""
        plain = application.services

        def services(policy: object = None) -> object:
            made = plain(policy)  # type: ignore[arg-type]
            return replace(made, btrfs=LocalBtrfs(program=str(self.path)))

        application.services = services  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize(
    ("send", "said"),
    [
        ('echo "ERROR: the disk is on fire" >&2; exit 1', "the disk is on fire"),
        ('{real} "$@" | head -c 100000; exit 0', "END"),
        ('{real} "$@" | head -c 100000; echo "ERROR: broken" >&2; exit 1', "broken"),
        ('{real} "$@" && printf more', "END"),
        ("exit 0", "first command"),
        ("echo nonsense that is long enough to be looked at; exit 0", "not a btrfs send stream"),
        ('{real} "$@"; kill -9 $$', "signal"),
    ],
    ids=["fails", "truncated", "fails-late", "goes-on", "empty", "garbage", "killed"],
)
def test_a_send_that_is_not_whole_commits_nothing_and_says_why(
    machine: Machine, data: Path, tmp_path: Path, send: str, said: str
) -> None:
    machine.backup(data)
    before = machine.head()
    (data / "new").write_bytes(os.urandom(400_000))
    machine.wrap = Shim(tmp_path / "btrfs", send).install

    with pytest.raises(SendError, match=said):
        machine.backup(data)

    assert machine.head() == before
    assert len(machine.keys("manifests/")) == 1
    machine.wrap = None
    machine.backup(data)
    assert len(machine.head().backups) == 2


def test_a_stream_cut_exactly_between_two_commands_is_not_whole(
    machine: Machine, data: Path, tmp_path: Path
) -> None:
    # The END command is a header of ten bytes without attributes.
    machine.wrap = Shim(tmp_path / "btrfs", '{real} "$@" | head -c -10').install

    with pytest.raises(SendError, match="END"):
        machine.backup(data)

    assert machine.keys("heads/") == []


def test_a_full_state_directory_is_its_own_error_and_the_next_run_resumes(
    machine: Machine, data: Path, tiny_disk: Path
) -> None:
    machine.backup(data)
    (data / "new").write_bytes(os.urandom(3_000_000))
    shutil.copytree(machine.state, tiny_disk / "state")
    machine.state = tiny_disk / "state"
    filler = tiny_disk / "filler"
    fill(filler)

    with pytest.raises(LocalSpaceError):
        machine.backup(data)

    filler.unlink()
    assert machine.backup(data).kind


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


@pytest.fixture
def tiny_disk(tmp_path: Path, privileged: None) -> Iterator[Path]:  # noqa: ARG001
    """A filesystem of 256 KiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tiny", place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_source_unmounted_in_mid_send_is_backed_up_whole_or_not_at_all(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs, target: LoopbackBtrfs
) -> None:
    (data / "more").write_bytes(os.urandom(4_000_000))
    slow = machine.with_settings(bandwidth_limit="1MB/s")
    with slow.start("backup", str(data)) as process:
        while not machine.keys("chunks/"):
            assert process.poll() is None, process.stderr and process.stderr.read()
        filesystem.unmount()
        process.communicate(timeout=60)
    filesystem.mount()

    if process.returncode:
        assert machine.keys("heads/") == []
        machine.backup(data)
    result = machine.restore("data", target.mount_point)
    assert compare_trees(data, result.snapshot) == []


def test_no_repository_is_made_when_no_source_can_be_looked_at(
    machine: Machine, filesystem: LoopbackBtrfs
) -> None:
    plain = filesystem.mount_point / "plain-directory"
    plain.mkdir()

    outcomes = machine.backup_all(plain, filesystem.mount_point / "missing")

    assert [type(outcome.error) for outcome in outcomes] == [SourceError, SourceError]
    assert machine.keys() == []


def test_the_right_to_write_is_proven_before_the_first_snapshot_of_a_first_backup(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs
) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}],
    }
    reader = machine.with_settings()
    try:
        reader.service = machine.service.require_credentials(policy)  # type: ignore[attr-defined]
        with pytest.raises(AccessDeniedError):
            reader.backup_all(data)
    finally:
        machine.service.accept_any_credentials()  # type: ignore[attr-defined]

    assert snapshots(filesystem) == []


def test_one_failing_source_does_not_stop_the_others(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs
) -> None:
    plain = filesystem.mount_point / "plain-directory"
    plain.mkdir()
    other = filesystem.subvolume("other")

    outcomes = machine.backup_all(plain, data, other)

    assert [type(outcome.error) for outcome in outcomes] == [SourceError, type(None), type(None)]
    assert [outcome.result is not None for outcome in outcomes] == [False, True, True]


def test_a_nested_subvolume_is_named_in_a_warning(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs
) -> None:
    filesystem.subvolume("data/inside")

    machine.backup(data)

    assert any("inside" in warning for warning in machine.told.warnings)


def test_a_nested_subvolume_that_is_stored_as_a_source_is_not_warned_about(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs
) -> None:
    stored = filesystem.subvolume("data/stored")
    filesystem.subvolume("data/unstored")
    machine.backup(stored)

    machine.backup(data)

    assert not any("subvolume stored inside" in warning for warning in machine.told.warnings)
    assert any("subvolume unstored inside" in warning for warning in machine.told.warnings)


def test_a_snapshot_of_another_tool_is_sent_as_it_is_and_only_once(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs, target: LoopbackBtrfs
) -> None:
    snapshot = filesystem.snapshot(data, "snapper-42")
    (data / "later").write_text("not in the snapshot\n")

    first = machine.backup(data, snapshot=snapshot)
    again = machine.outcome(data, snapshot=snapshot)

    assert again.result is None
    assert snapshots(filesystem) == []
    result = machine.restore("data", target.mount_point)
    assert result.snapshot.name == "snapper-42"
    assert compare_trees(snapshot, result.snapshot) == []
    assert first.backup_id == result.backup_id


def test_planning_writes_nothing_anywhere(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs
) -> None:
    outcome = machine.plan(data)

    assert outcome.plan is not None
    assert outcome.plan.reasons
    assert machine.keys() == []
    assert not machine.state.exists()
    assert snapshots(filesystem) == []


def test_a_known_label_of_another_subvolume_needs_a_decision(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs
) -> None:
    first = machine.backup(data)
    filesystem.delete_subvolume(data)
    data = filesystem.subvolume("data")
    (data / "fresh").write_text("another subvolume\n")

    with pytest.raises(SourceError) as caught:
        machine.backup(data)

    assert "--adopt" in (caught.value.hint or "")
    adopted = machine.backup(data, adopt=first.source_id)
    assert adopted.source_id == first.source_id


def be_another_host(application: Application) -> None:
    """Give the application the identity of another machine."""
    application.access.host = replace(application.access.host, host_id="f" * 32)


def test_two_hosts_with_one_label_are_two_sources(
    machine: Machine, data: Path, target: LoopbackBtrfs, fast_directory: Path
) -> None:
    first = machine.backup(data)
    theirs = target.subvolume("data")
    (theirs / "x").write_text("another host's\n")
    other = machine.elsewhere(fast_directory / "other-state", host="laptop")
    other.wrap = be_another_host

    second = other.backup(theirs)

    assert second.source_id != first.source_id
    assert second.source_id.label == first.source_id.label


def test_a_damaged_head_fails_its_own_source_and_no_other(
    machine: Machine, data: Path, filesystem: LoopbackBtrfs
) -> None:
    machine.backup(data)
    other = filesystem.subvolume("other")
    (other / "file").write_text("other\n")
    client = machine.client()
    [head] = machine.keys("heads/")
    client.put_object(Bucket=machine.bucket, Key=f"prefix/{head}", Body=b"{}")
    client.close()

    outcomes = machine.backup_all(data, other)

    assert isinstance(outcomes[0].error, IntegrityError)
    assert outcomes[1].result is not None
    assert len(machine.keys("sources/")) == 2
