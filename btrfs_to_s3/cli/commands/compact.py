"""``btrfs-to-s3 compact``."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from btrfs_to_s3.cli.commands.backup import failures_of, look
from btrfs_to_s3.cli.exit_codes import of_sources
from btrfs_to_s3.cli.options import (
    CHAINS,
    NETWORK,
    REPOSITORY,
    RUNNING,
    TRANSFER,
    WRITING,
    Command,
    takes,
)
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import compact as compact_rendering
from btrfs_to_s3.cli.rendering import documents, text
from btrfs_to_s3.cli.repositories import each
from btrfs_to_s3.config.settings import KEEP, KEEP_LOCAL, METRICS_FILE, NOTIFY_URLS, PRICES
from btrfs_to_s3.config.sources import select_by_repository
from btrfs_to_s3.operations.backup.compact import decide
from btrfs_to_s3.operations.backup.run import BackupOptions, remember_in_order, run_sources
from btrfs_to_s3.operations.repository.listing import read_heads
from btrfs_to_s3.operations.repository.prepare import prepare_to_read, prepare_to_write
from btrfs_to_s3.wiring.estimates import economy_of
from btrfs_to_s3.wiring.jobs import source_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from btrfs_to_s3.cli.exit_codes import Failure
    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.config.effective import Config, SourceConfig
    from btrfs_to_s3.operations.backup.compact import SourceDecision
    from btrfs_to_s3.operations.backup.run import SourceOutcome
    from btrfs_to_s3.wiring.application import Application

_FULL = BackupOptions(full=True)


@click.command(cls=Command)
@click.argument("sources", metavar="[SOURCE]...", nargs=-1)
@click.option(
    "--force",
    is_flag=True,
    help="Make the full backup though it does not pay. [default: only where it pays]",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only say what would be done and why; write nothing. [default: do it]",
)
@takes(*REPOSITORY, *TRANSFER, *WRITING, *CHAINS, *RUNNING, KEEP, KEEP_LOCAL, PRICES)
@takes(*NETWORK, NOTIFY_URLS, METRICS_FILE)
@click.pass_obj
def compact(session: Session, *, sources: tuple[str, ...], force: bool, dry_run: bool) -> Result:
    """Make the newest backup restorable with fewer links, by a new full one, where that pays.

    SOURCE is the path or the configured label of a source; without one, all that the
    configuration file names. It pays where storage, requests, early deletion and the expected
    restores come to less over a year than going on with the chain does. An unchanged source is
    backed up too. The old chain stays until no keep rule keeps it.
    """
    config = session.config()
    by_place = select_by_repository(config, _paths(config, sources), Path.cwd())
    chosen = {place.name: selected for place, selected in by_place}
    job = _Job(bool(sources), force, dry_run)
    places = [place for place, _ in by_place]
    activity = "a new full backup"
    with session.under_conditions(config, activity, moves_data=True, looking=dry_run):
        return each(
            session, places, lambda place: _compact(session, place, chosen[place.name], job)
        )


COMMAND = compact


@dataclass(frozen=True, slots=True)
class _Job:
    """Whether sources were named, and the options."""

    named: bool
    force: bool
    dry_run: bool


def _compact(session: Session, config: Config, chosen: Sequence[SourceConfig], job: _Job) -> Result:
    """The decisions about these sources in one repository, and what comes of them."""
    force, dry_run = job.force, job.dry_run
    with (
        session.application(config, looking=dry_run, running=not dry_run) as app,
        nullcontext() if dry_run else app.lock(),
    ):
        prepare_to_read(app.services())
        listing = read_heads(app.services())
        decisions = [
            decide(source_job(app, one), economy_of(app, one.policy), listing, named=job.named)
            for one in chosen
        ]
        wanted = [
            one
            for one, decided in zip(chosen, decisions, strict=True)
            if decided.wanted(force=force)
        ]
        session.ledger.works_on(config, [one.label for one in wanted])
        outcomes = _full_backups(app, wanted, dry_run=dry_run)
        return _result(session, app, decisions, wanted, outcomes, force=force, dry_run=dry_run)


def _paths(config: Config, named: Sequence[str]) -> tuple[str, ...]:
    """The paths of sources that are named by path or label."""
    paths = {source.label: str(source.path) for source in config.sources}
    return tuple(paths.get(one, one) for one in named)


def _full_backups(
    app: Application, wanted: Sequence[SourceConfig], *, dry_run: bool
) -> list[SourceOutcome]:
    """Make them, or say what making them would do."""
    if not wanted:
        return []
    if dry_run:
        return look(app, wanted, _FULL, exists=True)
    services = app.services()
    outcomes = run_sources(
        [source_job(app, one) for one in wanted],
        _FULL,
        lambda: read_heads(services),
        lambda: prepare_to_write(services),
    )
    remember_in_order(services, outcomes)
    return outcomes


def _result(
    session: Session,
    app: Application,
    decisions: Sequence[SourceDecision],
    wanted: Sequence[SourceConfig],
    outcomes: Sequence[SourceOutcome],
    *,
    force: bool,
    dry_run: bool,
) -> Result:
    failures: dict[str, Failure] = {
        one.label: session.failure_of(one.error) for one in decisions if one.error is not None
    }
    made = failures_of(session, outcomes, frozenset(source.path for source in wanted))
    session.ledger.backed_up(app.config, outcomes, made)
    failures |= made
    not_attempted = [source.label for source in wanted[len(outcomes) :]]
    failure = of_sources(failures, len(decisions))
    shown = list(failures.items())
    if failure is not None and len(failures) > 1:
        shown.append(("", failure))
    prices, doubts = app.prices, app.price_doubts
    document = compact_rendering.document(
        app.store.url, decisions, prices, doubts, failures, force=force, dry_run=dry_run
    )
    run = documents.of_outcomes(
        app.store.url, outcomes, failures, not_attempted, None, dry_run=dry_run
    )
    return Result(
        documents.with_failure(
            {**document, "sources": run["sources"], "not_attempted": not_attempted}, failure
        ),
        [
            *compact_rendering.text(decisions, prices, doubts, force=force, dry_run=dry_run),
            *text.of_outcomes(outcomes, not_attempted, None, dry_run=dry_run),
        ],
        failure,
        shown,
        summary=not dry_run,
    )
