"""What ``systemd`` did or found: as JSON and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.cli.rendering import human
from btrfs_to_s3.cli.rendering.documents import time_or_none
from btrfs_to_s3.cli.rendering.text import line
from btrfs_to_s3.host.systemd import DEFAULT_INSTANCE
from btrfs_to_s3.plan.units import FileState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rich.console import RenderableType

    from btrfs_to_s3.cli.rendering.documents import Document
    from btrfs_to_s3.model.check import Check
    from btrfs_to_s3.model.schedule import ServiceState, TimerState
    from btrfs_to_s3.plan.units import UnitFile
    from btrfs_to_s3.wiring.scheduling import Manager, Schedule

_ADVICE = {
    FileState.ABSENT: "not installed",
    FileState.CURRENT: "as installed",
    FileState.OUTDATED: "of another version or program: 'btrfs-to-s3 systemd install' renews it",
    FileState.MODIFIED: "changed by hand; it is left as it is",
    FileState.FOREIGN: "not written by this program; it is left as it is",
}
_WHY_LEFT = {
    FileState.MODIFIED: "changed by hand",
    FileState.FOREIGN: "not written by this program",
}


def document(manager: Manager, schedule: Schedule, *, dry_run: bool = False) -> Document:
    """The instance's files and timers; ``timers`` is null where systemd does not run."""
    timers = schedule.timers
    return {
        "instance": schedule.instance,
        "user": manager.user,
        "config_file": str(manager.file_of(schedule.instance)),
        "directory": str(manager.units),
        "dry_run": dry_run,
        "files": [_file(file, schedule) for file in schedule.files],
        "timers": None if timers is None else [_timer(*each) for each in timers.items()],
        "running": list(schedule.running),
        "used_by": list(schedule.others),
    }


def status_document(manager: Manager, schedule: Schedule, checks: Sequence[Check]) -> Document:
    """The same, and what is thought of it."""
    judged = [
        {"verdict": check.verdict.value, "text": check.text, "remedy": check.remedy}
        for check in checks
    ]
    return {**document(manager, schedule), "checks": judged}


def _file(file: UnitFile, schedule: Schedule) -> Document:
    return {
        "path": file.path,
        "state": file.state.value,
        "wanted": file.wanted is not None,
        "changed": file.path in schedule.done,
    }


def _timer(job: str, state: TimerState) -> Document:
    return {
        "job": job,
        "timer": state.name,
        "service": state.service.name,
        "installed": state.known,
        "enabled": state.enabled,
        "active": state.active,
        "next_time": time_or_none(state.next_time),
        "last_time": time_or_none(state.last_time),
        "started_time": time_or_none(state.service.started_time),
        "last_run": _last_run(state.service),
    }


def _last_run(service: ServiceState) -> Document | None:
    """How the last run went; null where none has ended since the machine was started."""
    if service.result is None:
        return None
    return {
        "result": service.result,
        "code": service.exit_status,
        "ended_time": time_or_none(service.ended_time),
    }


def install_text(
    manager: Manager, schedule: Schedule, jobs: Sequence[str], *, dry_run: bool
) -> list[RenderableType]:
    """What was written and enabled, when runs begin, and how they are watched."""
    changed = [file for file in schedule.files if file.differs or file.path in schedule.done]
    parts: list[RenderableType] = [
        line(f"{_verb(file, dry_run=dry_run)} {manager.units / file.path}") for file in changed
    ]
    if not changed:
        parts.append(line(f"the units in {manager.units} are as they should be"))
    timers, call = schedule.timers or {}, command(manager, schedule.instance)
    for job, state in timers.items():
        if dry_run:
            parts.append(line(_would_be(job, state, jobs, call)))
        else:
            parts.append(line(_is(job, state, call), "bold" if state.enabled else ""))
    first = next(iter(timers.values()), None)
    if first is not None and not dry_run:
        parts += _watching(manager, schedule, first)
    return parts


def _verb(file: UnitFile, *, dry_run: bool) -> str:
    if file.wanted is None:
        return "would remove" if dry_run else "removed"
    return "would write" if dry_run else "wrote"


def command(manager: Manager, instance: str) -> str:
    """How this program is called for an instance, up to the action."""
    file = "" if instance == DEFAULT_INSTANCE else f" -c {manager.file_of(instance)}"
    return f"btrfs-to-s3{file} systemd{' --user' if manager.user else ''}"


def _would_be(job: str, state: TimerState, jobs: Sequence[str], call: str) -> str:
    if job in jobs:
        return f"would enable {state.name}" if not state.enabled else f"{state.name} is enabled"
    return _is(job, state, call)


def _is(job: str, state: TimerState, call: str) -> str:
    """What became of a timer, and why it is not enabled where it is not."""
    if state.enabled:
        when = "" if state.next_time is None else f", next run {human.moment(state.next_time)}"
        when = ", and a run is under way" if state.service.running else when
        return f"{state.name} is enabled{when}"
    why = {
        "prune": ": it deletes the backups that no keep rule keeps. See what it would do with "
        f"'btrfs-to-s3 prune --dry-run', then: {call} install --prune"
    }
    return f"{state.name} is not enabled{why.get(job, '')}"


def _watching(manager: Manager, schedule: Schedule, first: TimerState) -> list[RenderableType]:
    user = " --user" if manager.user else ""
    return [
        line(f"a run now: systemctl{user} start --no-block {first.service.name}"),
        line(f"its log:   journalctl{user} -u {first.service.name} -f"),
        line(f"all timers: {command(manager, schedule.instance)} status"),
    ]


def uninstall_text(manager: Manager, schedule: Schedule, *, dry_run: bool) -> list[RenderableType]:
    """What was stopped and removed, and what stays and why."""
    stop, verb = ("would stop", "would remove") if dry_run else ("stopped", "removed")
    going, gone = (
        (schedule.going, schedule.removable) if dry_run else (schedule.stopped, schedule.done)
    )
    parts: list[RenderableType] = [line(f"{stop} {timer}") for timer in going]
    parts += [line(f"{verb} {manager.units / path}") for path in gone]
    if not gone:
        parts.append(line("nothing is to be removed" if dry_run else "nothing was removed"))
    parts += [
        line(f"left {manager.units / file.path}: {_WHY_LEFT[file.state]}", "yellow")
        for file in schedule.files
        if file.state in _WHY_LEFT
    ]
    if schedule.others:
        parts.append(line(f"the units themselves stay for {', '.join(schedule.others)}"))
    return parts


def status_text(manager: Manager, schedule: Schedule) -> list[RenderableType]:
    """Every timer, then what is not as it was installed."""
    parts: list[RenderableType] = []
    for state in (schedule.timers or {}).values():
        parts += [line(state.name, "bold"), *map(line, _facts(state))]
    there = [file for file in schedule.files if file.state is not FileState.ABSENT]
    parts += [
        line(f"{manager.units / file.path}: {_ADVICE[file.state]}", "yellow")
        for file in (schedule.files if there else ())
        if file.state is not FileState.CURRENT
    ]
    return parts


def _facts(state: TimerState) -> list[str]:
    service = state.service
    words = ["enabled" if state.enabled else "not enabled", "active" if state.active else "stopped"]
    facts: Mapping[str, str | None] = {
        "is": ", ".join(words) if state.known else "not installed",
        "next run": _moment(state.next_time),
        "last start": _moment(state.last_time),
        "runs since": _moment(service.started_time),
        "last result": _result(service),
    }
    return [f"  {name:<12} {fact}" for name, fact in facts.items() if fact is not None]


def _result(service: ServiceState) -> str | None:
    if service.result is None:
        return None
    code = f" {service.exit_status}" if service.exit_status else ""
    when = "" if service.ended_time is None else f", {human.moment(service.ended_time)}"
    return f"{service.result}{code}{when}"


def _moment(time: datetime | None) -> str | None:
    return None if time is None else human.moment(time)
