"""What is thought of timers: whether backups happen by themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from btrfs_to_s3.model.check import Verdict
from btrfs_to_s3.model.schedule import ServiceState, TimerState
from btrfs_to_s3.plan.schedule import Remedies, judge_place, judge_timers

AT = datetime(2026, 11, 22, 3, 12, 45, tzinfo=UTC)
SERVICE = ServiceState("btrfs-to-s3@config.service", known=True)
WELL = replace(SERVICE, result="success", exit_status=0, ended_time=AT)
TIMER = TimerState(
    "btrfs-to-s3@config.timer",
    known=True,
    enabled=True,
    active=True,
    next_time=AT,
    last_time=None,
    service=WELL,
)


def test_a_timer_that_waits_after_a_good_run_is_in_order() -> None:
    (check,) = judge_timers({"backup": TIMER}, Remedies())
    assert check.verdict is Verdict.PASS
    assert check.text == (
        "btrfs-to-s3@config.timer is enabled, next run at 2026-11-22T03:12:45Z; "
        "the last one ended well at 2026-11-22T03:12:45Z"
    )


def test_a_run_under_way_and_none_so_far_are_in_order() -> None:
    running = replace(SERVICE, main_pid=1)
    for service, told in ((running, "its service runs now"), (SERVICE, "no run has ended since")):
        (check,) = judge_timers({"backup": replace(TIMER, service=service)}, Remedies())
        assert check.verdict is Verdict.PASS
        assert told in check.text


@pytest.mark.parametrize(
    ("state", "told", "remedy"),
    [
        (replace(TIMER, known=False), "is not installed", "btrfs-to-s3 systemd install"),
        (replace(TIMER, enabled=False), "after the next start", "btrfs-to-s3 systemd install"),
        (
            replace(TIMER, enabled=False, active=False),
            "no timer starts a backup: btrfs-to-s3@config.timer is not enabled",
            "btrfs-to-s3 systemd install",
        ),
        (replace(TIMER, active=False), "is stopped", "systemctl start btrfs-to-s3@config.timer"),
    ],
)
def test_backups_that_nobody_starts_are_a_warning(
    state: TimerState, told: str, remedy: str
) -> None:
    (check,) = judge_timers({"backup": state}, Remedies())
    assert check.verdict is Verdict.WARN
    assert told in check.text
    assert check.remedy == remedy


def test_a_failed_run_is_a_failure_with_the_way_to_its_log() -> None:
    bad = replace(WELL, result="exit-code", exit_status=4)
    (check,) = judge_timers({"backup": replace(TIMER, service=bad)}, Remedies())
    assert check.verdict is Verdict.FAIL
    assert "ended badly at 2026-11-22T03:12:45Z: exit-code 4" in check.text
    assert check.remedy is not None
    assert check.remedy.startswith("journalctl -u btrfs-to-s3@config.service -n 50")
    (check,) = judge_timers({"backup": replace(TIMER, service=bad)}, Remedies(user=True))
    assert "journalctl --user -u" in str(check.remedy)


def test_a_failed_run_counts_also_where_its_timer_is_not_enabled() -> None:
    bad = replace(WELL, result="watchdog", exit_status=None)
    (check,) = judge_timers({"backup": replace(TIMER, enabled=False, service=bad)}, Remedies())
    assert check.verdict is Verdict.FAIL
    assert check.text.endswith(": watchdog")


def test_other_timers_count_only_where_they_run() -> None:
    off = replace(TIMER, name="btrfs-to-s3-prune@config.timer", enabled=False, active=False)
    assert len(judge_timers({"backup": TIMER, "prune": off}, Remedies())) == 1
    assert (
        len(judge_timers({"backup": TIMER, "prune": replace(off, enabled=True)}, Remedies())) == 2
    )


def test_a_machine_without_systemd_is_told_what_else_to_do() -> None:
    (check,) = judge_timers(None, Remedies())
    assert check.verdict is Verdict.WARN
    assert "another scheduler" in str(check.remedy)


def test_a_configuration_file_elsewhere_is_told_where_it_belongs() -> None:
    check = judge_place("/home/me/b.toml", "/etc/btrfs-to-s3")
    assert check.verdict is Verdict.WARN
    assert "systemd install" in str(check.remedy)
