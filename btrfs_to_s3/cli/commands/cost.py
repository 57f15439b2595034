"""``btrfs-to-s3 cost``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from btrfs_to_s3.cli.options import REPOSITORY, TRANSFER, Command, takes
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import cost as cost_rendering
from btrfs_to_s3.cli.rendering import documents
from btrfs_to_s3.cli.repositories import each
from btrfs_to_s3.config.settings import PART_SIZE, PRICES
from btrfs_to_s3.operations.cost import repository_cost
from btrfs_to_s3.operations.repository.prepare import prepare_to_read
from btrfs_to_s3.wiring.estimates import line_of

if TYPE_CHECKING:
    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.config.effective import Config


@click.command(cls=Command)
@click.argument("source", metavar="[SOURCE]", required=False)
@takes(*REPOSITORY, *TRANSFER, PART_SIZE, PRICES)
@click.pass_obj
def cost(session: Session, *, source: str | None) -> Result:
    """Say what the repository costs, or SOURCE alone.

    A month of storage by source and class, the requests of the last 30 days' backups, what
    deleting everything now would be charged, and what restoring each source's newest backup would
    cost and take, by tier. Every amount comes from the price list that is named with it. Without
    --repository, every repository that the file's sources name. Needs neither root nor Btrfs.
    """
    places, named = session.config().places(), source is not None
    return each(session, places, lambda place: _cost(session, place, source), anywhere=named)


COMMAND = cost


def _cost(session: Session, config: Config, source: str | None) -> Result:
    """What one repository costs."""
    with session.application(config) as app:
        prices, doubts, line = app.prices, app.price_doubts, line_of(config)
        services = app.services()
        prepare_to_read(services)
        found = repository_cost(services, prices, line, source, app.concurrency)
        failures = {str(name): session.failure_of(error) for name, error in found.errors}
        failure = next(iter(failures.values()), None)
        return Result(
            documents.with_failure(
                cost_rendering.document(
                    app.store.url, found.report, prices, doubts, line, failures
                ),
                failure,
            ),
            cost_rendering.text(found.report, prices, doubts, line),
            failure,
            list(failures.items()),
        )
