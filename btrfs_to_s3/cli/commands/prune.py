"""``btrfs-to-s3 prune``."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from btrfs_to_s3.cli.exit_codes import of_sources
from btrfs_to_s3.cli.options import NETWORK, REPOSITORY, RUNNING, Command, takes
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import documents
from btrfs_to_s3.cli.rendering import prune as prune_rendering
from btrfs_to_s3.cli.repositories import each
from btrfs_to_s3.config.settings import KEEP, NOTIFY_URLS, ORPHAN_AGE, PRICES
from btrfs_to_s3.errors import BtrfsToS3Error, SourceError
from btrfs_to_s3.operations.prune import prune as operation
from btrfs_to_s3.operations.prune.local import needed_parents
from btrfs_to_s3.operations.repository.known_sources import configured_as
from btrfs_to_s3.operations.repository.listing import find_source, read_heads
from btrfs_to_s3.operations.repository.prepare import prepare_to_read, prepare_to_write
from btrfs_to_s3.plan.retention.early import Minimum

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.config.effective import Config, SourceConfig
    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.operations.repository.listing import Listing
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.wiring.application import Application


@click.command(cls=Command)
@click.argument("source", metavar="[SOURCE]", required=False)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only say what would be removed and why; write nothing. [default: do it]",
)
@click.option(
    "--pay-early-deletion",
    is_flag=True,
    help="Remove also what its storage class bills until the end of a minimum duration, and pay "
    "the charge. [default: leave it while removing it saves nothing]",
)
@takes(*REPOSITORY, *RUNNING, *NETWORK, KEEP, ORPHAN_AGE, PRICES, NOTIFY_URLS)
@click.pass_obj
def prune(
    session: Session, *, source: str | None, dry_run: bool, pay_early_deletion: bool
) -> Result:
    """Remove the backups that no keep rule keeps, of this host's sources or of SOURCE.

    A backup that a kept one is built on stays, and so does the newest of every source, what is
    held, and what would be charged for early deletion where removing it saves nothing. Without
    SOURCE, objects of no backup that are older than orphan_age go too. A bucket that keeps
    versions loses the removed backups' versions as well.
    """
    config = session.config()
    with session.under_conditions(config, "a removal", looking=dry_run):
        return each(
            session,
            config.places(),
            lambda place: _prune(session, place, source, dry_run=dry_run, pay=pay_early_deletion),
            anywhere=source is not None,
        )


COMMAND = prune


def _prune(
    session: Session, config: Config, source: str | None, *, dry_run: bool, pay: bool
) -> Result:
    """Remove, or only say what would be removed, from one repository."""
    with session.application(config, looking=dry_run, running=not dry_run) as app:
        with nullcontext() if dry_run else app.lock():
            services = app.services()
            prepare_to_read(services)
            if not dry_run:
                prepare_to_write(services)
            wishes, other_hosts = wishes_of(app, config, source, pay=pay)
            planned = operation.plan(services, wishes)
            done = None if dry_run else operation.execute(services, planned)
        failures = {
            name: session.failure_of(error) for name, error in errors_of(planned, done).items()
        }
        failure = of_sources(failures, len(planned.sources))
        shown = list(failures.items())
        if failure is not None and len(failures) > 1:
            shown.append(("", failure))
        priced = prune_rendering.Priced(app.prices, app.price_doubts)
        counts = app.store.request_counts()
        document = prune_rendering.document(app.store.url, planned, done, failures, counts, priced)
        return Result(
            documents.with_failure(document, failure),
            prune_rendering.text(planned, done, other_hosts, counts, priced),
            failure,
            shown,
            summary=done is not None,
        )


def wishes_of(
    app: Application, config: Config, source: str | None, *, pay: bool = False
) -> tuple[operation.PruneWishes, tuple[str, ...]]:
    """What to keep of which source, and the other hosts' sources that are left alone.

    The rules are those of the source's own table in the configuration file, else the file's.
    ``pay`` removes also what is charged for being deleted early.
    """
    services = app.services()
    host = services.access.host
    listing = read_heads(services)
    by_id = _configured(services, config, listing)
    others: tuple[str, ...] = ()
    if source is not None:
        wanted = [find_source(services, source)]
    else:
        wanted = [
            head.source_id
            for head in listing.heads
            if head.host_id == host.host_id or head.source_id in by_id
        ]
        others = tuple(
            f"{head.host_name}/{head.source_id.label}"
            for head in listing.heads
            if head.source_id not in wanted
        )
        wanted += [one.source_id for one in listing.unreadable]
    keeps = tuple(_keep(app, by_id.get(source_id), source_id, pay=pay) for source_id in wanted)
    return operation.PruneWishes(keeps, config.orphan_age, source is None), others


def wishes_for(app: Application, sources: Mapping[SourceId, SourceConfig]) -> operation.PruneWishes:
    """What to keep of these sources alone."""
    keeps = tuple(_keep(app, source, source_id) for source_id, source in sources.items())
    return operation.PruneWishes(keeps, app.config.orphan_age, whole_repository=False)


def _keep(
    app: Application,
    configured: SourceConfig | None,
    source_id: SourceId,
    *,
    pay: bool = False,
) -> operation.KeepWishes:
    policy = app.config.policy if configured is None else configured.policy
    pinned = _pinned(app, configured, source_id)
    return operation.KeepWishes(source_id, policy.keep, pinned, Minimum(app.prices, pay))


def _configured(
    services: Services, config: Config, listing: Listing
) -> dict[SourceId, SourceConfig]:
    found: dict[SourceId, SourceConfig] = {}
    for source in config.sources:
        source_id = configured_as(services, source.label, listing)
        if source_id is not None:
            found[source_id] = source
    return found


def _pinned(
    app: Application, configured: SourceConfig | None, source_id: SourceId
) -> Mapping[BackupId, str]:
    """What the next increment builds on, where this machine can see the source."""
    if configured is None:
        return {}
    services = app.services(configured.policy)
    try:
        head = services.access.head(source_id)
        if head is None:
            return {}
        with services.btrfs.open(configured.path, writable=False) as volume:
            return needed_parents(services, volume, head, configured.policy.chain)
    except SourceError as error:
        services.reporter.note(
            f"{configured.label}: which backup its next increment needs is not known: {error}"
        )
    except BtrfsToS3Error:
        # Told by the plan, which reads the same head.
        return {}
    return {}


def errors_of(
    planned: operation.RepositoryPlan, done: operation.PruneResult | None
) -> dict[str, BtrfsToS3Error]:
    """What went wrong, by source; what concerns no one source stands last, under ``orphans``."""
    results: Sequence[tuple[SourceId, BtrfsToS3Error | None]]
    if done is None:
        results = [(one.wishes.source_id, one.error) for one in planned.sources]
        orphans = planned.orphan_error
    else:
        results = [(one.source_id, one.error) for one in done.sources]
        orphans = done.orphans.error
    found = {str(source_id): error for source_id, error in results if error is not None}
    return found if orphans is None else {**found, "orphans": orphans}
