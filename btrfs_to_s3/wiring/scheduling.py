"""Timers of a configuration file: installed, looked at and removed again."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.host.systemd import (
    CONFIGURATIONS,
    DEFAULT_INSTANCE,
    JOBS,
    Systemctl,
    calendar_error,
    instance_of,
    unit_name,
)
from btrfs_to_s3.host.units import (
    UNSAFE,
    enabled_timers,
    first_unsafe,
    read_unit,
    remove_unit,
    shipped_units,
    write_unit,
)
from btrfs_to_s3.plan.units import (
    USUAL_PROGRAM,
    UnitFile,
    calendar_drop_in,
    drop_in,
    require_ours,
    unit_files,
    writable_drop_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from btrfs_to_s3.config.effective import Config
    from btrfs_to_s3.model.schedule import TimerState

SYSTEM_UNITS: Final = Path("/etc/systemd/system")
_OPEN: Final = (Path("/var/lib/btrfs-to-s3"), Path("/var/lib/prometheus/node-exporter"))
"""What StateDirectory= and ReadWritePaths= of the shipped units make writable."""
_PROGRAM: Final = "btrfs-to-s3"


@dataclass(frozen=True, slots=True)
class Manager:
    """One service manager's place: where its units lie, and where the files of instances do.

    ``jobs`` are the commands that can run under it: a user's can only verify, since backups and
    prunes need root, its snapshots and its journals of uploads under way.
    """

    units: Path
    configurations: Path
    systemctl: Systemctl
    jobs: tuple[str, ...]

    @classmethod
    def of_system(cls, root: Path = Path("/")) -> Manager:
        """The machine's own, with files below ``root``."""
        units, configurations = (root / p.relative_to("/") for p in (SYSTEM_UNITS, CONFIGURATIONS))
        return cls(units, configurations, Systemctl(), JOBS)

    @classmethod
    def of_user(cls, environ: Mapping[str, str]) -> Manager:
        """That of the user who asks (XDG Base Directory Specification, systemd.unit(5))."""
        given = environ.get("XDG_CONFIG_HOME", "")
        home = Path(environ.get("HOME") or Path.home())
        config = Path(given) if given.startswith("/") else home / ".config"
        units = config / "systemd" / "user"
        return cls(units, config / "btrfs-to-s3", Systemctl(user=True), ("verify",))

    @property
    def user(self) -> bool:
        """Whether it is a user's."""
        return self.systemctl.user

    def instance(self, file: Path | None) -> str:
        """The instance of a configuration file; ``UsageError`` where none can run with it."""
        there = self.file_of(DEFAULT_INSTANCE) if file is None else file
        instance = instance_of(there, self.configurations)
        if instance is None:
            raise UsageError(
                f"{there} is not where the units look for it",
                hint=f"move it to {self.configurations}/NAME.toml, where NAME has letters, digits, "
                "'.', '_', ':' and '-' only, and name it with -c",
            )
        return instance

    def file_of(self, instance: str) -> Path:
        """The instance's configuration file."""
        return self.configurations / f"{instance}.toml"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be installed: the program, what else its services write, and which timers run.

    ``on_calendar`` is when backups run; None leaves that as it is.
    """

    program: str
    instance: str
    jobs: tuple[str, ...]
    on_calendar: str | None = None
    writable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is there: the files of an instance, and its timers by job.

    ``timers`` is None where systemd does not run. ``running`` are services of the instance at
    work, ``others`` the units of other instances that use the same files, ``done`` the files that
    were written or removed just now, ``stopped`` the timers that were stopped.
    """

    instance: str
    files: tuple[UnitFile, ...]
    timers: Mapping[str, TimerState] | None
    running: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()

    @property
    def going(self) -> tuple[str, ...]:
        """The timers that start runs, or will with the machine."""
        timers = (self.timers or {}).values()
        return tuple(state.name for state in timers if state.enabled or state.active)

    @property
    def removable(self) -> tuple[str, ...]:
        """The files that an uninstallation removes: ours, and needed by nobody else."""
        return tuple(
            file.path
            for file in self.files
            if file.state.ours and not self.running and (file.of_instance or not self.others)
        )


def running_program(called: str, interpreter: str) -> str:
    """The absolute path of the program, as units must call it.

    ``called`` is how this process was (sys.argv[0]); ``interpreter`` stands beside the program
    where that is a module. ``UsageError`` when there is none that a service could start.
    """
    candidates = [Path(called), Path(interpreter).parent / _PROGRAM]
    for candidate in candidates:
        path = Path(os.path.abspath(candidate))  # noqa: PTH100 - a link may outlive its target
        if candidate.name == _PROGRAM and path.is_file() and os.access(path, os.X_OK):
            return str(path)
    raise UsageError(
        f"the program {_PROGRAM} was not found, so no unit can start it",
        hint=f"call it by its path, for example {USUAL_PROGRAM}",
    )


def timers_of(file: Path | None) -> tuple[str | None, Mapping[str, TimerState] | None]:
    """The instance that runs with a configuration file, and its timers, as the machine has them.

    The instance is None where none can run with it; then no timer is its own. The timers are None
    where systemd does not run.
    """
    instance = instance_of(file)
    if instance is None:
        return None, {} if Systemctl().running() else None
    return instance, Systemctl().timers(instance)


def require_safe(paths: Iterable[str], unsafe: Sequence[Path] | None = None) -> None:
    """``UsageError`` when the program or its libraries lie where the machine should run nothing."""
    found = first_unsafe([*map(Path, paths)], UNSAFE if unsafe is None else unsafe)
    if found is not None:
        raise UsageError(
            f"the program lies in {found}, which belongs to a user or is temporary: root should "
            "not run it by itself from there",
            hint="install it for the whole machine, for example with pipx --global or in a virtual "
            "environment below /opt, and call that one",
        )


def require_calendar(when: str) -> None:
    """``UsageError`` for a time that systemd does not understand."""
    error = calendar_error(when) if when.isprintable() and when.strip() else "it is empty or broken"
    if error is not None:
        raise UsageError(
            f"--on-calendar {when!r}: {error}",
            hint="for example daily, 'Mon..Fri 22:30' or '*-*-* 0/6:00'; systemd.time(7)",
        )


def require_writable(manager: Manager) -> None:
    """``UsageError`` where this user may not write units, or there is no service manager."""
    if not manager.systemctl.running():
        whose = "of this user " if manager.user else ""
        raise UsageError(
            f"no service manager {whose}answers here: systemd does not run, or cannot be reached",
            hint="on a machine that systemd did not start, let another scheduler (cron) run "
            "'btrfs-to-s3 backup'",
        )
    # os.path.exists, unlike Path.exists, takes a directory we may not enter for an absent one.
    paths = (manager.units, *manager.units.parents)
    existing = next(path for path in paths if os.path.exists(path))  # noqa: PTH110
    if not os.access(existing, os.W_OK | os.X_OK, effective_ids=True):
        raise UsageError(
            f"{manager.units} cannot be written by this user",
            hint="sudo btrfs-to-s3 systemd …; --user is for what runs without root",
        )


def directories_written(config: Config) -> tuple[str, ...]:
    """Directories beside the units' own that runs of this configuration write to."""
    metrics = config.told.metrics_file
    own = [config.state_dir, *(() if metrics is None else (metrics.parent,))]
    return tuple(str(path) for path in own if not any(map(path.is_relative_to, _OPEN)))


def look(manager: Manager, instance: str, wishes: Wishes | None = None) -> Schedule:
    """What is there now, compared with what ``wishes`` would have or, without, with no file."""
    wanted: dict[str, str] = {} if wishes is None else _wanted(manager, wishes)
    paths = [*sorted(shipped_units(user=manager.user)), *_own_drop_ins(manager, instance)]
    files = [
        _file(path, read_unit(manager.units / path), wanted.get(path), wishes) for path in paths
    ]
    timers = manager.systemctl.timers(instance)
    mine = {job: state for job, state in (timers or {}).items() if job in manager.jobs}
    return Schedule(
        instance,
        tuple(file for file in files if file is not None),
        None if timers is None else mine,
        tuple(state.service.name for state in mine.values() if state.service.running),
        _of_others(manager, instance),
    )


def install(manager: Manager, wishes: Wishes, found: Schedule) -> Schedule:
    """Write what differs and enable the timers; ``UsageError`` before anything if it may not.

    Calling it again changes nothing.
    """
    require_ours(found.files, str(manager.units))
    changed = [file for file in found.files if file.differs]
    for file in changed:
        if file.wanted is None:
            remove_unit(manager.units / file.path)
        else:
            write_unit(manager.units / file.path, file.wanted)
    if changed:
        manager.systemctl.reload()
    timers = [unit_name(job, wishes.instance, "timer") for job in wishes.jobs]
    missing = [timer for timer in timers if not _runs(found, timer)]
    if changed or missing:
        manager.systemctl.enable(timers if changed else missing)
    now = look(manager, wishes.instance, wishes)
    return replace(now, done=tuple(file.path for file in changed))


def uninstall(manager: Manager, found: Schedule) -> Schedule:
    """Stop the timers and remove what is ours and nobody else needs; a run under way goes on.

    The services' files stay while one of them runs (``running``) or while another instance uses
    them (``others``); so does what a person wrote or changed.
    """
    timers = (found.timers or {}).values()
    known = [state.name for state in timers if state.known]
    if known:
        manager.systemctl.disable(known)
    gone = found.removable
    for path in gone:
        remove_unit(manager.units / path)
    if gone:
        manager.systemctl.reload()
        manager.systemctl.forget_failures([state.service.name for state in timers])
    now = look(manager, found.instance)
    return replace(now, done=gone, stopped=found.going)


def _wanted(manager: Manager, wishes: Wishes) -> dict[str, str]:
    wanted = unit_files(shipped_units(user=manager.user), wishes.program)
    writable = writable_drop_in(wishes.writable)
    if writable is not None and not manager.user:
        for job in manager.jobs:
            wanted[drop_in(unit_name(job, wishes.instance, "service"))] = writable
    if wishes.on_calendar is not None:
        timer = drop_in(unit_name(manager.jobs[0], wishes.instance, "timer"))
        wanted[timer] = calendar_drop_in(wishes.on_calendar)
    return wanted


def _file(
    path: str, found: str | None, wanted: str | None, wishes: Wishes | None
) -> UnitFile | None:
    """A file as it is and as it should be; None for one that is not there and need not be.

    A time that was chosen before stays, and so does a drop-in that somebody else wrote.
    """
    file = UnitFile.of(path, found, wanted)
    if wanted is None and wishes is not None:
        chosen = wishes.on_calendar is None and ".timer.d/" in path
        if chosen or not file.state.ours:
            file = UnitFile.of(path, found, found)
    return None if found is None and wanted is None else file


def _own_drop_ins(manager: Manager, instance: str) -> Sequence[str]:
    kinds = ("service", "timer")
    return [drop_in(unit_name(job, instance, kind)) for job in manager.jobs for kind in kinds]


def _of_others(manager: Manager, instance: str) -> tuple[str, ...]:
    """Timers and services of other instances that are enabled, waiting or running."""
    names = {*enabled_timers(manager.units), *manager.systemctl.loaded()}
    mine = {unit_name(job, instance, kind) for job in JOBS for kind in ("service", "timer")}
    prefixes = tuple(unit_name(job, "", "").rstrip(".") for job in JOBS)
    return tuple(sorted(name for name in names - mine if name.startswith(prefixes)))


def _runs(found: Schedule, timer: str) -> bool:
    states = (found.timers or {}).values()
    return any(state.name == timer and state.enabled and state.active for state in states)
