"""``btrfs-to-s3 systemd``."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

import btrfs_to_s3
from btrfs_to_s3.cli.exit_codes import Failure
from btrfs_to_s3.cli.options import Command
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import documents
from btrfs_to_s3.cli.rendering import systemd as rendering
from btrfs_to_s3.config.load import load
from btrfs_to_s3.errors import ConfigError, ExitCode, LockedError, UsageError
from btrfs_to_s3.host.systemd import unit_environment
from btrfs_to_s3.model.check import Verdict
from btrfs_to_s3.plan.schedule import Remedies, judge_timers
from btrfs_to_s3.plan.units import USUAL_PROGRAM, require_ours
from btrfs_to_s3.wiring import scheduling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.config.effective import Config
    from btrfs_to_s3.model.check import Check
    from btrfs_to_s3.wiring.scheduling import Manager, Wishes

_INSTALL, _UNINSTALL, _STATUS = "install", "uninstall", "status"


@click.command(cls=Command)
@click.argument(
    "action",
    type=click.Choice((_INSTALL, _UNINSTALL, _STATUS)),
    metavar="install|uninstall|status",
)
@click.option(
    "--on-calendar",
    metavar="WHEN",
    help="When backups run (with --user: verifications), as systemd.time(7) has it, such as "
    "'Mon..Fri 22:30'. [default: as chosen before, at first daily (verifications: Sun 12:00)]",
)
@click.option(
    "--prune",
    is_flag=True,
    help="Also enable the timer that removes what no keep rule keeps, every week. "
    "[default: it is installed and left as it is, at first not enabled]",
)
@click.option(
    "--no-verify",
    is_flag=True,
    help="Do not enable the timer that verifies every week (quick: listings only). "
    "[default: it is enabled]",
)
@click.option(
    "--user",
    is_flag=True,
    help="Use your own service manager, which can verify only: backups and prunes need root, its "
    "snapshots and its journals. [default: the machine's]",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only say what would be written or removed. [default: do it]",
)
@click.pass_obj
def systemd(
    session: Session,
    *,
    action: str,
    on_calendar: str | None,
    prune: bool,
    no_verify: bool,
    user: bool,
    dry_run: bool,
) -> Result:
    """Have backups run by themselves: install, remove or look at timers of systemd.

    The configuration file is /etc/btrfs-to-s3/NAME.toml (-c; config.toml by default), and the units
    are its instances. "install" writes them to /etc/systemd/system and enables them; it can be
    called again, also after an update. "uninstall" stops the timers and removes what was written;
    a run under way goes on. "status" ends with 2 unless backups run by themselves and the last ones
    went well. Files that a person wrote or changed are never touched.
    """
    if action != _INSTALL and (on_calendar is not None or prune or no_verify):
        raise UsageError(
            "--on-calendar, --prune and --no-verify are for 'systemd install'", hint="leave it out"
        )
    if user and (prune or no_verify):
        raise UsageError(
            "a user's service manager runs verifications and nothing else",
            hint="leave --prune and --no-verify out",
        )
    manager = _manager(session, user=user)
    instance = manager.instance(_file(session))
    if action == _STATUS:
        return _status(session, manager, instance)
    if action == _UNINSTALL:
        return _uninstall(session, manager, instance, dry_run=dry_run)
    enabled = {"backup": True, "prune": prune, "verify": not no_verify}
    jobs = tuple(job for job in manager.jobs if enabled[job])
    return _install(session, manager, _Choice(instance, jobs, on_calendar), dry_run=dry_run)


COMMAND = systemd


@dataclass(frozen=True, slots=True)
class _Choice:
    """What the command line asks for."""

    instance: str
    jobs: tuple[str, ...]
    on_calendar: str | None


def _manager(session: Session, *, user: bool) -> Manager:
    if user:
        return scheduling.Manager.of_user(session.environ)
    return scheduling.Manager.of_system(session.machine.root)


def _file(session: Session) -> Path | None:
    given = session.options.config
    return None if given is None else Path.cwd() / given


def _install(session: Session, manager: Manager, choice: _Choice, *, dry_run: bool) -> Result:
    if not dry_run:
        scheduling.require_writable(manager)
    if choice.on_calendar is not None:
        scheduling.require_calendar(choice.on_calendar)
    config = _configuration(manager, choice.instance)
    wishes = _wishes(session, choice, manager, config)
    found = scheduling.look(manager, choice.instance, wishes)
    if dry_run:
        require_ours(found.files, str(manager.units))
        done = found
    else:
        done = scheduling.install(manager, wishes, found)
    _tell_of_keys(session, manager, choice.instance)
    return Result(
        rendering.document(manager, done, dry_run=dry_run),
        rendering.install_text(manager, done, choice.jobs, dry_run=dry_run),
        summary=not dry_run,
    )


def _configuration(manager: Manager, instance: str) -> Config:
    """The configuration as the units will see it: nothing of this shell's environment counts."""
    file = manager.file_of(instance)
    environment = file.with_suffix(".env")
    try:
        config = load(file, environ=unit_environment(environment), command_line={})
    except ConfigError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        raise ConfigError(
            f"{file}: no such file",
            hint="write the repository and the sources there: units see nothing of this shell "
            "(docs/systemd.md has an example)",
        ) from error
    if any(place.repository is None for place in config.places()):
        raise ConfigError(
            f"{file}: no repository is named",
            hint='write repository = "s3://bucket/prefix" there, or BTRFS_TO_S3_URL=s3://… into '
            f"{environment}: units see nothing of this shell",
        )
    if not config.sources and not manager.user:
        raise ConfigError(
            f"{file}: no source is named, so there is nothing to back up by itself",
            hint='add a table [[sources]] with path = "…"',
        )
    return config


def _tell_of_keys(session: Session, manager: Manager, instance: str) -> None:
    """Keys that only this shell has would be missed at the first run, which nobody watches."""
    file = manager.file_of(instance)
    keys = file.with_suffix(".credentials")
    variables = unit_environment(file.with_suffix(".env"))
    places = (keys, session.machine.root / "root" / ".aws" / "config")
    named = any(name.startswith("AWS_") for name in variables)
    if not manager.user and not named and not any(map(os.path.exists, places)):
        session.messages.note(
            f"{keys} does not exist: without it, the units have keys only where the machine has a "
            "role; they see nothing of this shell (docs/systemd.md)"
        )


def _wishes(session: Session, choice: _Choice, manager: Manager, config: Config) -> Wishes:
    program = scheduling.running_program(session.machine.program or sys.argv[0], sys.executable)
    if not manager.user:
        package = str(Path(btrfs_to_s3.__file__).parent)
        needed = (program, package, sys.prefix, sys.base_prefix)
        scheduling.require_safe(needed, session.machine.unsafe)
    writable = scheduling.directories_written(config)
    return scheduling.Wishes(program, choice.instance, choice.jobs, choice.on_calendar, writable)


def _uninstall(session: Session, manager: Manager, instance: str, *, dry_run: bool) -> Result:
    if not dry_run:
        scheduling.require_writable(manager)
    found = scheduling.look(manager, instance)
    done = found if dry_run else scheduling.uninstall(manager, found)
    failure = None
    if found.running:
        failure = session.failure_of(
            LockedError(
                f"{', '.join(found.running)} runs: its timer is stopped, and its files stay",
                hint="run it again when the run has ended; systemctl stop ends it",
            )
        )
    document = rendering.document(manager, done, dry_run=dry_run)
    return Result(
        documents.with_failure(document, failure),
        rendering.uninstall_text(manager, done, dry_run=dry_run),
        failure,
        [] if failure is None else [("", failure)],
        summary=not dry_run,
    )


def _status(session: Session, manager: Manager, instance: str) -> Result:
    found = scheduling.look(manager, instance, _installed_now(session, manager, instance))
    call = f"{rendering.command(manager, instance)} install"
    checks = judge_timers(found.timers, Remedies(call, manager.user), manager.jobs[0])
    failure = failure_of(checks)
    document = rendering.status_document(manager, found, checks)
    return Result(
        documents.with_failure(document, failure),
        rendering.status_text(manager, found),
        failure,
        [] if failure is None else [("", failure)],
        summary=True,
    )


def _installed_now(session: Session, manager: Manager, instance: str) -> Wishes:
    """What an installation would write now; what is broken is not this command's business."""
    file, program = manager.file_of(instance), USUAL_PROGRAM
    writable: tuple[str, ...] = ()
    with contextlib.suppress(UsageError):
        program = scheduling.running_program(session.machine.program or sys.argv[0], sys.executable)
    with contextlib.suppress(UsageError):
        environ = unit_environment(file.with_suffix(".env"))
        writable = scheduling.directories_written(load(file, environ=environ, command_line={}))
    return scheduling.Wishes(program, instance, (), None, writable)


def failure_of(checks: Sequence[Check]) -> Failure | None:
    """What ends the program with 2."""
    bad = [check for check in checks if check.verdict is not Verdict.PASS]
    if not bad:
        return None
    return Failure(
        ExitCode.USAGE,
        "checks_failed",
        "; ".join(check.text for check in bad),
        bad[0].remedy,
        {"checks": [check.name for check in bad]},
    )
