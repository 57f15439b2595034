"""``btrfs-to-s3 status``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from btrfs_to_s3.cli.exit_codes import Failure
from btrfs_to_s3.cli.options import REPOSITORY, Command, takes
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import documents, human, text
from btrfs_to_s3.cli.repositories import each
from btrfs_to_s3.config.units import parse_duration
from btrfs_to_s3.errors import StaleError
from btrfs_to_s3.operations.repository.prepare import prepare_to_read
from btrfs_to_s3.operations.status import report_status

if TYPE_CHECKING:
    from datetime import timedelta

    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.config.effective import Config
    from btrfs_to_s3.operations.status import StatusReport


@click.command(cls=Command)
@click.option(
    "--max-age",
    metavar="DURATION",
    help="End with 8 when a source's last success is older, for example 26h. [default: any age]",
)
@takes(*REPOSITORY)
@click.pass_obj
def status(session: Session, *, max_age: str | None) -> Result:
    """Say how fresh every source's newest backup is.

    Works from any machine that can read the repository, without root. A run that found a source
    unchanged counts as a success on the source's own host; other machines only see its backups.
    A source of this host's configuration file without any backup is stale whatever its age.
    """
    limit = None if max_age is None else parse_duration(max_age)
    return each(session, session.config().places(), lambda place: _status(session, place, limit))


COMMAND = status


def _status(session: Session, config: Config, limit: timedelta | None) -> Result:
    """How fresh the sources of one repository are."""
    with session.application(config) as app:
        prepare_to_read(app.services())
        labels = [source.label for source in config.sources if config.stores(source)]
        report = report_status(app.services(), limit, labels)
        failures = [(str(one.source_id), Failure.of(one.error)) for one in report.unreadable]
        stale = _stale(report, limit)
        if stale is not None:
            failures.append(("", stale))
        failure = failures[0][1] if failures else None
        return Result(
            documents.with_failure(documents.of_status(app.store.url, report, limit), failure),
            text.of_status(report),
            failure,
            failures,
            summary=True,
        )


def _stale(report: StatusReport, limit: timedelta | None) -> Failure | None:
    """What ends the program with 8; a repository without any backup is never fresh enough."""
    old = report.stale
    empty = limit is not None and not report.sources and not report.unreadable
    if not old and not empty:
        return None
    if empty and not old:
        error = StaleError("the repository has no backup of any source", hint="run a backup")
        return Failure.of(error)
    than = f" for {human.span(limit)}" if limit is not None else ""
    return Failure.of(
        StaleError(
            f"no success{than}: {', '.join(old)}",
            hint="find out why the backup does not run or fails, then run it",
            sources=list(old),
        )
    )
