"""What systemd knows of this program's timers, asked and changed through ``systemctl``.

For who looks, a machine without systemd, or one that was not booted with it (a container, another
init), is an ordinary answer: ``None``, never an error. Looking needs no privilege.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.config.load import DEFAULT_FILE
from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.host.environment import environment
from btrfs_to_s3.model.schedule import ServiceState, TimerState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONFIGURATIONS: Final = DEFAULT_FILE.parent
"""Where an instance of the units has its configuration file: ``NAME.toml``."""
DEFAULT_INSTANCE: Final = DEFAULT_FILE.stem
"""The one that needs no ``-c``."""
JOBS: Final = ("backup", "prune", "verify")
"""The commands that have a service and a timer."""
_INSTANCE = re.compile(r"[A-Za-z0-9:_.][A-Za-z0-9:_.-]{0,99}")
_QUOTED = re.compile(r"""(["'])(.*)\1""")
_TIMEOUT_S = 20.0
_PASSED_ON = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "HOME")
_ANY_UNIT = "timers.target"
_ACTIVE = 2
"""The column of list-units: unit, load, active, sub, description."""
_AT_WORK = {"active", "activating", "deactivating", "reloading"}
_TIMER = "Id,LoadState,UnitFileState,ActiveState,NextElapseUSecRealtime,LastTriggerUSec"
_SERVICE = (
    "Id,LoadState,ActiveState,Result,MainPID,ExecMainCode,ExecMainStatus,"
    "ExecMainStartTimestamp,ExecMainExitTimestamp"
)
_EXITED = "1"
"""CLD_EXITED of waitid(2): the status is an exit code, not a signal's number."""
_MOMENT = "%a %Y-%m-%d %H:%M:%S %Z"


def instance_of(file: Path | None, configurations: Path = CONFIGURATIONS) -> str | None:
    """The instance that runs with this configuration file; None where no instance can.

    None as the file is the default one. Links are not followed: the name counts.
    """
    if file is None:
        return DEFAULT_INSTANCE
    path = Path(os.path.abspath(file))  # noqa: PTH100 - resolve() would follow links
    there = path.parent == configurations and path.suffix == ".toml"
    return path.stem if there and _INSTANCE.fullmatch(path.stem) else None


def unit_name(job: str, instance: str, kind: str) -> str:
    """The name of a unit: ``btrfs-to-s3@config.timer``, ``btrfs-to-s3-prune@config.service``."""
    return f"btrfs-to-s3{'' if job == 'backup' else f'-{job}'}@{instance}.{kind}"


@dataclass(frozen=True, slots=True)
class Said:
    """How a call of systemctl ended. ``code`` is None where it could not be called at all."""

    code: int | None
    out: str
    complaint: str


@dataclass(frozen=True, slots=True)
class Systemctl:
    """The system's service manager, or with ``user`` the one of the user who asks.

    ``program`` is looked for on PATH.
    """

    user: bool = False
    program: str = "systemctl"

    def timers(self, instance: str) -> Mapping[str, TimerState] | None:
        """The timers of an instance by job (``JOBS``); None where systemd does not run.

        A timer that is not installed is there too, with ``known`` False.
        """
        timers = [unit_name(job, instance, "timer") for job in JOBS]
        services = [unit_name(job, instance, "service") for job in JOBS]
        shown = self._show(timers, _TIMER), self._show(services, _SERVICE)
        if any(found is None for found in shown):
            return None
        of_timers, of_services = (found or {} for found in shown)
        return {
            job: _timer(
                timer, of_timers.get(timer, {}), _service(service, of_services.get(service, {}))
            )
            for job, timer, service in zip(JOBS, timers, services, strict=True)
        }

    def running(self) -> bool:
        """Whether there is a service manager to talk to."""
        return self._show([_ANY_UNIT], "Id") is not None

    def loaded(self) -> Sequence[str]:
        """The names of this program's units of any instance that wait or work."""
        said = self.call("list-units", "--plain", "--no-legend", "btrfs-to-s3*@*")
        rows = [line.split() for line in said.out.splitlines()]
        return [row[0] for row in rows if len(row) > _ACTIVE and row[_ACTIVE] in _AT_WORK]

    def reload(self) -> None:
        """Have the manager read all units again; ``UsageError``."""
        self._do("daemon-reload")

    def enable(self, timers: Sequence[str]) -> None:
        """Start timers with the machine, and now; ``UsageError``.

        One that waits already begins anew, so that it waits for the time its file says now.
        """
        self._do("enable", "--", *timers)
        self._do("restart", "--", *timers)

    def disable(self, timers: Sequence[str]) -> None:
        """Stop timers, now and with the machine; what they have started runs on; ``UsageError``."""
        self._do("disable", "--now", "--", *timers)

    def forget_failures(self, services: Sequence[str]) -> None:
        """Services that failed are listed no more; where that is refused, they still are."""
        self.call("reset-failed", "--", *services)

    def _do(self, *arguments: str) -> None:
        said = self.call(*arguments)
        if said.code != 0:
            raise UsageError(
                f"systemctl {shlex.join(arguments)} failed: {said.complaint or 'no message'}",
                hint="systemctl needs to be able to reach the service manager; see the message",
            )

    def call(self, *arguments: str) -> Said:
        """Call systemctl; its messages and times are untranslated, in UTC."""
        manager = ["--user"] if self.user else []
        return _call([self.program, *manager, "--no-pager", "--no-ask-password", *arguments])

    def _show(self, units: Sequence[str], properties: str) -> dict[str, dict[str, str]] | None:
        """Properties of units by their names. Units that do not exist are shown as well."""
        said = self.call("show", f"--property={properties}", "--", *units)
        blocks = [_properties(block) for block in said.out.strip().split("\n\n")]
        if said.code != 0 or not said.out.strip() or len(blocks) != len(units):
            # "System has not been booted with systemd"; within a chroot nothing is said at all.
            return None
        return dict(zip(units, blocks, strict=True))


def unit_environment(file: Path) -> dict[str, str]:
    """The variables of a unit's EnvironmentFile= (systemd.exec(5)); none where it cannot be read.

    What stands on one line, quoted as a whole or not at all, as these files are written.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    found = {}
    for line in lines:
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith(("#", ";")):
            quoted = _QUOTED.fullmatch(value.strip())
            found[name.strip()] = quoted[2] if quoted else value.strip()
    return found


def calendar_error(when: str, program: str = "systemd-analyze") -> str | None:
    """What is wrong with a calendar expression (systemd.time(7)).

    None where nothing is, or where systemd-analyze is not there to be asked.
    """
    said = _call([program, "calendar", "--", when])
    if said.code is None or said.code == 0:
        return None
    return said.complaint or "systemd-analyze calendar does not take it"


def _call(command: Sequence[str]) -> Said:
    try:
        ran = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
            text=True,
            errors="replace",
            env={**environment(*_PASSED_ON), "TZ": "UTC"},
        )
    except subprocess.TimeoutExpired:
        return Said(None, "", f"no answer within {_TIMEOUT_S:.0f} s")
    except OSError as error:
        return Said(None, "", error.strerror or str(error))
    return Said(ran.returncode, ran.stdout, ran.stderr.strip())


def _properties(block: str) -> dict[str, str]:
    return {
        name: value
        for name, equals, value in (line.partition("=") for line in block.splitlines())
        if equals
    }


def _timer(name: str, shown: Mapping[str, str], service: ServiceState) -> TimerState:
    return TimerState(
        name=name,
        known=shown.get("LoadState") == "loaded",
        enabled=shown.get("UnitFileState") in {"enabled", "enabled-runtime"},
        active=shown.get("ActiveState") == "active",
        next_time=_moment(shown.get("NextElapseUSecRealtime")),
        last_time=_moment(shown.get("LastTriggerUSec")),
        service=service,
    )


def _service(name: str, shown: Mapping[str, str]) -> ServiceState:
    pid = _number(shown.get("MainPID")) or None
    ended = None if pid else _moment(shown.get("ExecMainExitTimestamp"))
    failed = shown.get("ActiveState") == "failed"
    exited = ended is not None and shown.get("ExecMainCode") == _EXITED
    return ServiceState(
        name=name,
        known=shown.get("LoadState") == "loaded",
        # Before the first run systemd calls the result "success" too.
        result=shown.get("Result") if ended is not None or failed else None,
        exit_status=_number(shown.get("ExecMainStatus")) if exited else None,
        ended_time=ended,
        main_pid=pid,
        started_time=_moment(shown.get("ExecMainStartTimestamp")) if pid else None,
    )


def _moment(text: str | None) -> datetime | None:
    """A time as systemctl prints it under TZ=UTC (systemd.time(7)); None for none ("n/a")."""
    try:
        return datetime.strptime(text or "", _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
