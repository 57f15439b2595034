"""The one line that says what a run does now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.cli.supervision import ServiceStatus
from tests.cli.test_progress import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1024**2


def _begun(expected_bytes: int | None) -> tuple[ServiceStatus, Clock]:
    clock = Clock()
    status = ServiceStatus(clock)
    status.begin("data", "full backup", expected_bytes)
    return status, clock


def test_work_is_told_with_its_share_and_its_speed() -> None:
    status, clock = _begun(100 * MIB)
    clock.now_s += 2
    status.advance(41 * MIB, 0, 0)
    assert status.line() == "full backup of data: 41 %, 20.5 MiB/s"


def test_without_an_estimate_or_past_it_the_amount_is_told() -> None:
    status, clock = _begun(None)
    clock.now_s += 1
    status.advance(MIB, 0, 0)
    assert status.line() == "full backup of data: 1.0 MiB, 1.0 MiB/s"


def test_the_speed_is_that_of_the_last_moments() -> None:
    status, clock = _begun(None)
    for _ in range(60):
        clock.now_s += 1
        status.advance(MIB, 0, 0)
        status.line()
    for _ in range(30):
        clock.now_s += 1
        line = status.line()
    assert line == "full backup of data: 60.0 MiB, 0 B/s"


def test_what_it_is_busy_with_stands_last_or_alone() -> None:
    status, _ = _begun(None)
    status.activity("committing")
    assert status.line() == "full backup of data: 0 B, -, committing"
    status.end()
    status.activity("removing orphans")
    assert status.line() == "removing orphans"


def test_every_report_is_an_event() -> None:
    status, _ = _begun(None)
    seen = [status.events]
    reports: list[Callable[[], None]] = [
        lambda: status.advance(1, 0, 0),
        lambda: status.activity("x"),
        lambda: status.note("x"),
        lambda: status.warn("x"),
        status.end,
        lambda: status.advance(1, 0, 0),
    ]
    for report in reports:
        report()
        seen.append(status.events)
    assert seen == sorted(set(seen))
