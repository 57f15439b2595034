"""``btrfs-to-s3 status``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from btrfs_to_s3.cli.exit_codes import Failure
from btrfs_to_s3.cli.options import REPOSITORY, Command, takes
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import documents, human
from btrfs_to_s3.cli.rendering import status as status_rendering
from btrfs_to_s3.cli.rendering.status import ShownStatus
from btrfs_to_s3.cli.repositories import each
from btrfs_to_s3.config.units import parse_duration
from btrfs_to_s3.errors import StaleError
from btrfs_to_s3.host.clock import utc_now
from btrfs_to_s3.host.running import running
from btrfs_to_s3.operations.repository.known_sources import remembered_as
from btrfs_to_s3.operations.repository.prepare import prepare_to_read
from btrfs_to_s3.operations.status import report_status
from btrfs_to_s3.wiring.scheduling import timers_of

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.config.effective import Config
    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.operations.status import StatusReport
    from btrfs_to_s3.wiring.application import Application


@click.command(cls=Command)
@click.option(
    "--max-age",
    metavar="DURATION",
    help="End with 8 when a source's last success is older, for example 26h. [default: any age]",
)
@click.option(
    "--all-hosts",
    is_flag=True,
    help="Judge every host's sources. [default: this host's and those of the configuration file; "
    "every host's where there are none of these]",
)
@takes(*REPOSITORY)
@click.pass_obj
def status(session: Session, *, max_age: str | None, all_hosts: bool) -> Result:
    """Say how fresh the newest backups are, what runs now and what went wrong last.

    Works from any machine that can read the repository, without root. What this host remembers of
    its runs is shown to whoever may read its state directory: an unchanged source that counts as a
    success, the last error, a run under way. A source of this host's configuration file without
    any backup is stale whatever its age.
    """
    wishes = _Wishes(None if max_age is None else parse_duration(max_age), all_hosts)
    return each(session, session.config().places(), lambda place: _status(session, place, wishes))


COMMAND = status


@dataclass(frozen=True, slots=True)
class _Wishes:
    """Which sources are judged, and by which age."""

    limit: timedelta | None
    all_hosts: bool


def _status(session: Session, config: Config, wishes: _Wishes) -> Result:
    """How fresh the sources of one repository are."""
    limit = wishes.limit
    with session.application(config) as app:
        prepare_to_read(app.services())
        labels = [source.label for source in config.sources if config.stores(source)]
        report = report_status(app.services(), limit, labels, all_hosts=wishes.all_hosts)
        if report.all_hosts and not wishes.all_hosts and report.sources:
            session.messages.note(
                f"{app.store.url}: this machine has no source in it, so every host's are judged"
            )
        shown = ShownStatus(
            report,
            utc_now(),
            running(app.state.directory),
            _due(app, config, report, labels),
        )
        failures = [(str(one.source_id), Failure.of(one.error)) for one in report.unreadable]
        stale = _stale(report, limit)
        if stale is not None:
            failures.append(("", stale))
        failure = failures[0][1] if failures else None
        return Result(
            documents.with_failure(status_rendering.document(app.store.url, shown, limit), failure),
            status_rendering.text(shown),
            failure,
            failures,
            summary=True,
        )


def _due(
    app: Application, config: Config, report: StatusReport, labels: list[str]
) -> dict[SourceId, datetime]:
    """When systemd starts the next backup of the sources that this configuration file names."""
    timers = timers_of(config.file)[1] if labels else None
    timer = None if timers is None else timers["backup"]
    if timer is None or timer.next_time is None:
        return {}
    found: dict[SourceId, datetime] = {}
    for one in report.sources:
        names = {remembered_as(app.state, label) for label in labels}
        if one.source_id in names or (
            one.source_id in report.ours and one.source_id.label in labels
        ):
            found[one.source_id] = timer.next_time
    return found


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
