"""``btrfs-to-s3 verify``."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from btrfs_to_s3.cli.options import NETWORK, REPOSITORY, RUNNING, TRANSFER, Command, takes
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import documents
from btrfs_to_s3.cli.rendering import verify as verify_rendering
from btrfs_to_s3.cli.repositories import each, storing
from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.operations.repository.listing import find_source
from btrfs_to_s3.operations.repository.prepare import prepare_to_read
from btrfs_to_s3.operations.verify.report import Level
from btrfs_to_s3.operations.verify.verify import verify_data, verify_quick

if TYPE_CHECKING:
    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.config.effective import Config
    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.operations.services import Services


@click.command(cls=Command)
@click.argument("source", metavar="[SOURCE]", required=False)
@click.option(
    "--level",
    type=click.Choice([level.value for level in Level]),
    default=Level.QUICK.value,
    help="quick: every object is there as recorded and all links hold, from listings; "
    "data: every byte is downloaded and checked. [default: quick]",
)
@click.option(
    "--checksums",
    is_flag=True,
    help="With quick: also compare the SHA-256 that the service keeps of each chunk, one "
    "request each. [default: sizes and ETags]",
)
@click.option(
    "--rebuild-head",
    is_flag=True,
    help="First replace the list of SOURCE's backups by one made from their manifests; for a "
    "list that was lost or rolled back. [default: nothing is written]",
)
@takes(*REPOSITORY, *TRANSFER, *RUNNING, *NETWORK)
@click.pass_obj
def verify(
    session: Session, *, source: str | None, level: str, checksums: bool, rebuild_head: bool
) -> Result:
    """Check that every backup, or those of SOURCE, can be restored.

    Needs neither root nor Btrfs. Ends with 5 when something is damaged or missing, and says
    which backups are concerned and what can be done. Without --repository, every repository that
    the file's sources name is checked.
    """
    deep = Level(level) is Level.DATA
    if checksums and deep:
        raise UsageError(
            "--checksums is for --level quick",
            hint="--level data recomputes every checksum from the data",
        )
    if rebuild_head and source is None:
        raise UsageError("--rebuild-head needs a SOURCE", hint="name the one whose list is lost")
    config = session.config()
    places = config.places()
    if rebuild_head and len(places) > 1:
        names = "|".join(place.name for place in places)
        raise UsageError(
            "--rebuild-head works on one repository, and the configuration file names several",
            hint=f"name the one whose list is lost: --repository {names}",
        )
    checks = _Checks(source, deep, checksums, rebuild_head)
    with session.under_conditions(config, "a verification"):
        return each(
            session,
            places,
            lambda place: _verify(session, place, checks),
            anywhere=source is not None,
            needed=storing(config, source),
        )


COMMAND = verify


@dataclass(frozen=True, slots=True)
class _Checks:
    """What is looked at: everything or one source, the data or only what is listed."""

    source: str | None
    deep: bool
    checksums: bool
    rebuild_head: bool


def _verify(session: Session, config: Config, checks: _Checks) -> Result:
    """The check of one repository."""
    with session.application(config, running=True) as app:
        with app.lock() if checks.rebuild_head else nullcontext():
            prepare_to_read(app.services())
            services = app.services()
            sources = _sources(services, checks.source)
            rebuilt = _rebuild(services, sources) if checks.rebuild_head else None
        if checks.deep:
            report = verify_data(services, sources, concurrency=app.concurrency)
        else:
            report = verify_quick(
                services, sources, checksums=checks.checksums, concurrency=app.concurrency
            )
        counts = app.store.request_counts()
        failure = verify_rendering.failure_of(report)
        return Result(
            documents.with_failure(
                verify_rendering.document(app.store.url, report, counts, rebuilt), failure
            ),
            verify_rendering.text(report, counts, rebuilt),
            failure,
            [] if failure is None else [("", failure)],
            summary=True,
        )


def _sources(services: Services, source: str | None) -> list[SourceId]:
    if source is not None:
        return [find_source(services, source)]
    sources = services.access.source_ids()
    if not sources:
        raise UsageError(
            f"the repository at {services.access.store.url} has no backup to verify",
            hint="run a backup; if there were backups, somebody deleted them",
        )
    return sources


def _rebuild(services: Services, sources: list[SourceId]) -> Head:
    (source_id,) = sources
    head = services.access.rebuild(source_id)
    services.reporter.note(f"the head of {source_id} was rebuilt")
    return head
