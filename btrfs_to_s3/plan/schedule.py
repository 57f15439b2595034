"""Whether backups happen by themselves: what ``doctor`` and ``systemd status`` say of timers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.model.check import Check, failed, passed, warned

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from btrfs_to_s3.model.schedule import ServiceState, TimerState

_NAME = "timer"
_A = {"backup": "a backup", "prune": "a prune", "verify": "a verification"}


@dataclass(frozen=True, slots=True)
class Remedies:
    """Commands in remedies: ``install`` is the one that installs the units of the instance."""

    install: str = "btrfs-to-s3 systemd install"
    user: bool = False

    def systemctl(self, verb: str, unit: str) -> str:
        """A call of systemctl."""
        return f"systemctl{' --user' if self.user else ''} {verb} {unit}"

    def journal(self, unit: str) -> str:
        """The last lines of a unit's log."""
        return f"journalctl{' --user' if self.user else ''} -u {unit} -n 50"


def judge_timers(
    timers: Mapping[str, TimerState] | None, remedies: Remedies, main: str = "backup"
) -> list[Check]:
    """A line for the timer of ``main`` and for each other one that runs; None: no systemd here."""
    if timers is None:
        return [
            warned(
                _NAME,
                f"systemd does not run here, so no timer of it starts {_A[main]}",
                f"let another scheduler run 'btrfs-to-s3 {main}', and watch it with status "
                "--max-age",
            )
        ]
    return [
        _timer(job, state, remedies)
        for job, state in timers.items()
        if job == main or state.enabled or state.active
    ]


def judge_place(file: str, configurations: str) -> Check:
    """A configuration file that no timer can run with."""
    return warned(
        _NAME,
        f"no timer starts a run with {file}: the units take files in {configurations}",
        f"move it to {configurations}/NAME.toml, then: btrfs-to-s3 -c {configurations}/NAME.toml "
        "systemd install",
    )


def _timer(job: str, state: TimerState, remedies: Remedies) -> Check:
    service, what = state.service, f"no timer starts {_A[job]}"
    if not state.known:
        return warned(_NAME, f"{what}: {state.name} is not installed", remedies.install)
    if service.failed:
        code = "" if service.exit_status is None else f" {service.exit_status}"
        return failed(
            _NAME,
            f"the last run of {service.name} ended badly{_at(service.ended_time)}: "
            f"{service.result}{code}",
            f"{remedies.journal(service.name)} tells why; "
            f"{remedies.systemctl('start', service.name)} tries again",
        )
    if not state.enabled:
        when = " after the next start of the machine" if state.active else ""
        return warned(_NAME, f"{what}{when}: {state.name} is not enabled", remedies.install)
    if not state.active:
        text = f"{what} until the next start of the machine: {state.name} is stopped"
        return warned(_NAME, text, remedies.systemctl("start", state.name))
    return passed(_NAME, f"{state.name} is enabled, {_next(state)}; {_last(service)}")


def _next(state: TimerState) -> str:
    if state.service.running:
        return "and its service runs now"
    return "with no next run" if state.next_time is None else f"next run{_at(state.next_time)}"


def _last(service: ServiceState) -> str:
    if service.ended_time is None:
        return "no run has ended since the machine was started"
    return f"the last one ended well{_at(service.ended_time)}"


def _at(time: datetime | None) -> str:
    return "" if time is None else f" at {time:%Y-%m-%dT%H:%M:%SZ}"
