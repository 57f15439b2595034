"""Results of ``systemd``, made of values."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.commands.systemd import failure_of
from btrfs_to_s3.cli.rendering import documents
from btrfs_to_s3.cli.rendering import systemd as rendering
from btrfs_to_s3.model.schedule import ServiceState, TimerState
from btrfs_to_s3.plan.schedule import Remedies, judge_timers
from btrfs_to_s3.plan.units import FileState, UnitFile
from btrfs_to_s3.wiring.scheduling import Manager, Schedule

if TYPE_CHECKING:
    from tests.cli.result_values import Rendering

MANAGER = Manager.of_system(Path("/"))
SERVICE, TIMER = "btrfs-to-s3@.service", "btrfs-to-s3@.timer"


def _at(hour: int, day: int = 21) -> datetime:
    return datetime(2026, 11, day, hour, 43, 12, tzinfo=UTC)


def _state(job: str, service: ServiceState, *, enabled: bool) -> TimerState:
    return TimerState(
        name=f"btrfs-to-s3{job}@config.timer",
        known=True,
        enabled=enabled,
        active=enabled,
        next_time=_at(0, day=22) if enabled and not service.running else None,
        last_time=_at(0) if enabled else None,
        service=service,
    )


def _service(job: str) -> ServiceState:
    return ServiceState(f"btrfs-to-s3{job}@config.service", known=True)


def _schedule(*files: UnitFile, done: tuple[str, ...] = ()) -> Schedule:
    failed = ServiceState(
        "btrfs-to-s3-verify@config.service",
        known=True,
        result="exit-code",
        exit_status=5,
        ended_time=_at(1),
    )
    running = ServiceState(
        "btrfs-to-s3@config.service", known=True, main_pid=4711, started_time=_at(2)
    )
    timers = {
        "backup": _state("", running, enabled=True),
        "prune": _state("-prune", _service("-prune"), enabled=False),
        "verify": _state("-verify", failed, enabled=True),
    }
    return Schedule("config", files, timers, ("btrfs-to-s3@config.service",), (), done)


def install() -> Rendering:
    drop_in = "btrfs-to-s3@config.timer.d/50-btrfs-to-s3.conf"
    files = [UnitFile.of(path, "text", "text") for path in (SERVICE, TIMER, drop_in)]
    schedule = _schedule(*files, done=(SERVICE, drop_in))
    return (
        rendering.document(MANAGER, schedule),
        rendering.install_text(MANAGER, schedule, ("backup", "verify"), dry_run=False),
    )


def uninstall() -> Rendering:
    schedule = Schedule(
        "config",
        (UnitFile(TIMER, FileState.MODIFIED, None, differs=True),),
        {},
        (),
        ("btrfs-to-s3@other.timer",),
        ("btrfs-to-s3@config.timer.d/50-btrfs-to-s3.conf",),
    )
    return (
        rendering.document(MANAGER, schedule),
        rendering.uninstall_text(MANAGER, schedule, dry_run=False),
    )


def status() -> Rendering:
    schedule = _schedule(
        UnitFile(SERVICE, FileState.OUTDATED, "text", differs=True),
        UnitFile(TIMER, FileState.CURRENT, "text", differs=False),
    )
    checks = judge_timers(schedule.timers, Remedies())
    document = rendering.status_document(MANAGER, schedule, checks)
    return (
        documents.with_failure(document, failure_of(checks)),
        rendering.status_text(MANAGER, schedule),
    )
