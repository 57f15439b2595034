"""What systemctl says becomes facts; where it says nothing useful, there is no systemd."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from btrfs_to_s3.host.systemd import Systemctl, instance_of, unit_name
from tests.stand_ins.programs import executable

NEVER_STARTED = """\
Id={0}.timer
LoadState=not-found
UnitFileState=
ActiveState=inactive
NextElapseUSecRealtime=
LastTriggerUSec=
"""
WAITING = """\
Id={0}.timer
LoadState=loaded
UnitFileState=enabled
ActiveState=active
NextElapseUSecRealtime=Sun 2026-11-22 03:12:45 UTC
LastTriggerUSec=Sat 2026-11-21 03:07:01 UTC
"""
NO_RUN = """\
MainPID=0
Result=success
ExecMainCode=0
ExecMainStatus=0
ExecMainStartTimestamp=
ExecMainExitTimestamp=
Id={0}.service
LoadState=loaded
ActiveState=inactive
"""
ENDED = """\
MainPID=0
Result={1}
ExecMainCode={2}
ExecMainStatus={3}
ExecMainStartTimestamp=Sat 2026-11-21 03:07:01 UTC
ExecMainExitTimestamp=Sat 2026-11-21 03:09:30 UTC
Id={0}.service
LoadState=loaded
ActiveState={4}
"""
RUNNING = """\
MainPID=4711
Result=success
ExecMainCode=0
ExecMainStatus=0
ExecMainStartTimestamp=Sat 2026-11-21 05:00:00 UTC
ExecMainExitTimestamp=
Id={0}.service
LoadState=loaded
ActiveState=activating
"""
NAMES = [f"btrfs-to-s3{job}@laptop" for job in ("", "-prune", "-verify")]


def manager(directory: Path, timers: list[str], services: list[str]) -> Systemctl:
    """A systemctl that shows these blocks of timers and services."""
    (directory / "timers").write_text("\n".join(timers))
    (directory / "services").write_text("\n".join(services))
    script = executable(
        directory / "systemctl",
        f'#!/bin/sh\necho "$TZ $LC_ALL $*" >> {directory}/calls\n'
        f'case "$*" in *.timer) cat {directory}/timers;; *) cat {directory}/services;; esac\n',
    )
    return Systemctl(program=str(script))


def at(hour: int, minute: int, second: int, day: int = 21) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)


def test_timers_and_their_services_are_told_by_job(tmp_path: Path) -> None:
    asked = manager(
        tmp_path,
        [NEVER_STARTED.format(NAMES[0]), WAITING.format(NAMES[1]), WAITING.format(NAMES[2])],
        [
            NO_RUN.format(NAMES[0]),
            ENDED.format(NAMES[1], "exit-code", 1, 4, "failed"),
            RUNNING.format(NAMES[2]),
        ],
    )
    found = asked.timers("laptop")
    assert found is not None
    assert list(found) == ["backup", "prune", "verify"]

    backup = found["backup"]
    assert (backup.name, backup.known, backup.enabled, backup.active) == (
        "btrfs-to-s3@laptop.timer", False, False, False,
    )  # fmt: skip
    assert (backup.next_time, backup.last_time) == (None, None)
    assert (backup.service.result, backup.service.failed, backup.service.running) == (
        None, False, False,
    )  # fmt: skip

    prune = found["prune"]
    assert (prune.known, prune.enabled, prune.active) == (True, True, True)
    assert (prune.next_time, prune.last_time) == (at(3, 12, 45, day=22), at(3, 7, 1))
    assert (prune.service.name, prune.service.result) == (
        "btrfs-to-s3-prune@laptop.service", "exit-code",
    )  # fmt: skip
    assert (prune.service.exit_status, prune.service.failed) == (4, True)
    assert prune.service.ended_time == at(3, 9, 30)

    verify = found["verify"].service
    assert (verify.main_pid, verify.started_time, verify.result) == (4711, at(5, 0, 0), None)
    assert (tmp_path / "calls").read_text().startswith("UTC C --no-pager --no-ask-password show ")


def test_a_run_that_ended_well_is_no_failure_and_one_that_was_killed_has_no_exit_code(
    tmp_path: Path,
) -> None:
    asked = manager(
        tmp_path,
        [WAITING.format(name) for name in NAMES],
        [
            ENDED.format(NAMES[0], "success", 1, 0, "inactive"),
            ENDED.format(NAMES[1], "watchdog", 2, 6, "failed"),
            NO_RUN.format(NAMES[2]),
        ],
    )
    found = asked.timers("laptop") or {}
    services = [found[job].service for job in found]
    assert [each.failed for each in services] == [False, True, False]
    assert [each.exit_status for each in services] == [0, None, None]


@pytest.mark.parametrize(
    "script",
    [
        "echo 'System has not been booted with systemd as init system (PID 1).' >&2; exit 1",
        "echo 'Running in chroot, ignoring request: show' >&2; exit 0",
        "echo 'Failed to connect to bus: No medium found' >&2; exit 1",
    ],
)
def test_a_machine_that_systemd_did_not_start_has_no_timers(tmp_path: Path, script: str) -> None:
    program = executable(tmp_path / "systemctl", f"#!/bin/sh\n{script}\n")
    assert Systemctl(program=str(program)).timers("config") is None


def test_without_systemctl_there_are_none_either(tmp_path: Path) -> None:
    assert Systemctl(program=str(tmp_path / "systemctl")).timers("config") is None


@pytest.mark.parametrize(
    ("file", "instance"),
    [
        (None, "config"),
        ("/etc/btrfs-to-s3/config.toml", "config"),
        ("/etc/btrfs-to-s3/../btrfs-to-s3/my-nas.2.toml", "my-nas.2"),
        ("/etc/btrfs-to-s3/-x.toml", None),
        ("/etc/btrfs-to-s3/a b.toml", None),
        ("/etc/btrfs-to-s3/config.conf", None),
        ("/etc/btrfs-to-s3/more/config.toml", None),
        ("/home/me/config.toml", None),
    ],
)
def test_a_file_belongs_to_the_instance_of_its_name(file: str | None, instance: str | None) -> None:
    assert instance_of(None if file is None else Path(file)) == instance


def test_units_are_named_by_job_and_instance() -> None:
    assert unit_name("backup", "config", "timer") == "btrfs-to-s3@config.timer"
    assert unit_name("verify", "config", "service") == "btrfs-to-s3-verify@config.service"
