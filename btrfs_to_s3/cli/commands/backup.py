"""``btrfs-to-s3 backup``."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from btrfs_to_s3.cli.exit_codes import of_named, of_sources
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
from btrfs_to_s3.cli.rendering import documents, text
from btrfs_to_s3.cli.repositories import each, failed, grouped
from btrfs_to_s3.config.settings import KEEP_LOCAL, METRICS_FILE, NOTIFY_URLS, PING_URL, PRICES
from btrfs_to_s3.config.sources import select_by_repository
from btrfs_to_s3.errors import BtrfsToS3Error, UsageError
from btrfs_to_s3.host.resources import peak_memory_bytes
from btrfs_to_s3.model.identity import SourceId
from btrfs_to_s3.operations.backup.run import (
    BackupOptions,
    plan_sources,
    remember_in_order,
    run_sources,
)
from btrfs_to_s3.operations.backup.run_many import Destination, run_many
from btrfs_to_s3.operations.repository.listing import Listing, read_heads
from btrfs_to_s3.operations.repository.prepare import prepare_to_look, prepare_to_write
from btrfs_to_s3.wiring.jobs import source_job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from btrfs_to_s3.cli.exit_codes import Failure
    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.config.effective import Config, SourceConfig
    from btrfs_to_s3.operations.backup.run import SourceOutcome
    from btrfs_to_s3.wiring.application import Application


@click.command(cls=Command)
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option(
    "--full",
    is_flag=True,
    help="Make a full backup. [default: incremental wherever a local snapshot allows it]",
)
@click.option(
    "--force", is_flag=True, help="Back up unchanged sources too. [default: they are skipped]"
)
@click.option(
    "--restart",
    is_flag=True,
    help="Discard an interrupted backup. [default: it goes on where it stopped]",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only say what would be done and why; write nothing, here or there. [default: do it]",
)
@click.option(
    "--adopt",
    metavar="SOURCE_ID",
    help="Continue this stored source with the subvolume. [default: found by its uuids]",
)
@click.option(
    "--new",
    is_flag=True,
    help="Store the subvolume as a new source. [default: found by its uuids]",
)
@click.option(
    "--snapshot",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Back up this read-only snapshot of the source. [default: a snapshot is taken]",
)
@takes(*REPOSITORY, *TRANSFER, *WRITING, *CHAINS, KEEP_LOCAL, PRICES)
@takes(*RUNNING, *NETWORK, NOTIFY_URLS, PING_URL, METRICS_FILE)
@click.pass_obj
def backup(  # noqa: PLR0913 - one argument for each option
    session: Session,
    *,
    paths: tuple[str, ...],
    full: bool,
    force: bool,
    restart: bool,
    dry_run: bool,
    adopt: str | None,
    new: bool,
    snapshot: Path | None,
) -> Result:
    """Back up subvolumes: those at PATH, or all that the configuration file names.

    A first backup is full, later ones hold what changed since the newest snapshot that is still
    on the filesystem. A source that has not changed is skipped. An interrupted backup goes on
    where it stopped, with the same snapshot.
    """
    by_place = select_by_repository(session.config(), paths, Path.cwd())
    options = BackupOptions(
        full=full,
        force=force,
        restart=restart,
        adopt=None if adopt is None else SourceId.parse(adopt),
        new=new,
        snapshot=None if snapshot is None else Path.cwd() / snapshot,
    )
    runs = {}
    for place, sources in by_place:
        _require_one(sources, options)
        named = named_paths(sources, options, given=bool(paths))
        runs[place.name] = _Run(sources, options, named)
    places = [place for place, _ in by_place]
    if adopt is not None and len(places) > 1:
        raise UsageError(
            "--adopt names a source of one repository, but there are several",
            hint=f"say which with --repository {'|'.join(place.name for place in places)}",
        )
    if dry_run:
        return each(session, places, lambda place: _look(session, place, runs[place.name]))
    for place, sources in by_place:
        session.ledger.works_on(place, [source.label for source in sources])
    with session.under_conditions(places[0], "a backup", moves_data=True):
        if len(places) > 1:
            return _back_up_many(session, places, runs)
        return _back_up(session, places[0], runs[places[0].name])


COMMAND = backup


def _look(session: Session, config: Config, run: _Run) -> Result:
    """What would be done in one repository."""
    with session.application(config, looking=True) as app:
        exists = prepare_to_look(app.services())
        outcomes = look(app, run.sources, run.options, exists=exists)
        failures = failures_of(session, outcomes, run.named)
        return _result(app.store.url, outcomes, failures, run, dry_run=True)


@dataclass(frozen=True, slots=True)
class _Run:
    """What to back up and how; ``named`` are the paths that stand on the command line."""

    sources: Sequence[SourceConfig]
    options: BackupOptions
    named: frozenset[Path]


def named_paths(
    sources: Sequence[SourceConfig], options: BackupOptions, *, given: bool
) -> frozenset[Path]:
    """The paths of the command line; ``given`` says that the sources' own stand there."""
    named = [source.path for source in sources] if given else []
    return frozenset(named if options.snapshot is None else [*named, options.snapshot])


def look(
    app: Application, sources: Sequence[SourceConfig], options: BackupOptions, *, exists: bool
) -> list[SourceOutcome]:
    """What a backup would do; ``exists`` says that there is a repository. Nothing is written."""
    jobs = [source_job(app, source) for source in sources]
    return plan_sources(
        jobs, options, lambda: read_heads(app.services()) if exists else Listing((), ())
    )


def _back_up(session: Session, config: Config, run: _Run) -> Result:
    with session.application(config, running=True) as app, app.lock():
        services = app.services()
        outcomes = run_sources(
            [source_job(app, source) for source in run.sources],
            run.options,
            lambda: read_heads(services),
            lambda: prepare_to_write(services),
        )
        remember_in_order(services, outcomes)
        failures = failures_of(session, outcomes, run.named)
        session.ledger.backed_up(config, outcomes, failures)
        return _result(app.store.url, outcomes, failures, run, dry_run=False)


def _back_up_many(session: Session, places: Sequence[Config], runs: Mapping[str, _Run]) -> Result:
    """Back up to several repositories, side by side."""
    results: dict[str, Result] = {}
    apps: dict[str, Application] = {}
    with ExitStack() as stack:
        for place in places:
            try:
                app = stack.enter_context(
                    session.application(place, shares=len(places), running=True)
                )
                stack.enter_context(app.lock())
            except BtrfsToS3Error as error:
                results[place.name] = failed(session.failure_of(error))
            else:
                apps[place.name] = app
        found = run_many(
            [
                _destination(place.name, apps[place.name], runs)
                for place in places
                if place.name in apps
            ],
            next(iter(runs.values())).options,
            secrets.token_hex(4),
            session.reporter,
            session.stop,
        )
        for name, app in apps.items():
            remember_in_order(app.services(), found[name].outcomes)
            end = found[name].error
            ended = None if end is None else session.failure_of(end)
            if ended is not None and not found[name].outcomes:
                results[name] = failed(ended)
            else:
                run, outcomes, url = runs[name], found[name].outcomes, app.store.url
                failures = failures_of(session, outcomes, run.named)
                session.ledger.backed_up(app.config, outcomes, failures)
                results[name] = _result(url, outcomes, failures, run, dry_run=False, ended=ended)
    for place in places:
        session.ledger.ended(place, results[place.name].failure)
    return grouped([(place, results[place.name]) for place in places])


def _destination(name: str, app: Application, runs: Mapping[str, _Run]) -> Destination:
    services = app.services()
    return Destination(
        name,
        tuple(source_job(app, source) for source in runs[name].sources),
        lambda: read_heads(services),
        lambda: prepare_to_write(services),
    )


def _result(
    url: str,
    outcomes: Sequence[SourceOutcome],
    failures: Mapping[str, Failure],
    run: _Run,
    *,
    dry_run: bool,
    ended: Failure | None = None,
) -> Result:
    told = {outcome.label for outcome in outcomes}
    not_attempted = [source.label for source in run.sources if source.label not in told]
    if not_attempted and not failures and ended is None:
        raise AssertionError("a run ended early without saying why")
    if ended is not None:
        failures = {**failures, ", ".join(not_attempted): ended}
    failure = of_sources(failures, len(run.sources))
    peak = None if dry_run else peak_memory_bytes()
    shown = list(failures.items())
    if failure is not None and len(failures) > 1:
        shown.append(("", failure))
    return Result(
        documents.with_failure(
            documents.of_outcomes(url, outcomes, failures, not_attempted, peak, dry_run=dry_run),
            failure,
        ),
        text.of_outcomes(outcomes, not_attempted, peak, dry_run=dry_run),
        failure,
        shown,
        summary=not dry_run,
    )


def failures_of(
    session: Session, outcomes: Sequence[SourceOutcome], named: frozenset[Path]
) -> dict[str, Failure]:
    """Why sources failed, or would, by label; ``named`` are the command line's paths."""
    errors = ((outcome.label, _error_of(outcome)) for outcome in outcomes)
    return {
        label: session.failure_of(of_named(error, named))
        for label, error in errors
        if error is not None
    }


def _error_of(outcome: SourceOutcome) -> BtrfsToS3Error | None:
    """What is wrong with a source; a plan that would be refused is, also when only looking."""
    if outcome.error is not None:
        return outcome.error
    if outcome.plan is not None and outcome.plan.refusal is not None:
        return outcome.plan.refusal.as_error()
    return None


def _require_one(sources: Sequence[SourceConfig], options: BackupOptions) -> None:
    """Options that name one source or snapshot make no sense for several."""
    if options.adopt is not None and options.new:
        raise UsageError("--adopt and --new exclude each other", hint="give one of them")
    for name, given in (
        ("--adopt", options.adopt),
        ("--new", options.new),
        ("--snapshot", options.snapshot),
    ):
        if given and len(sources) > 1:
            raise UsageError(
                f"{name} is for one source, but {len(sources)} are to be backed up",
                hint="give one PATH with it",
            )
