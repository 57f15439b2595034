"""``btrfs-to-s3 list``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from btrfs_to_s3.cli.exit_codes import Failure
from btrfs_to_s3.cli.options import REPOSITORY, Command, takes
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import documents, text
from btrfs_to_s3.cli.repositories import each
from btrfs_to_s3.operations.prune.holds import held_backups
from btrfs_to_s3.operations.repository.listing import list_backups
from btrfs_to_s3.operations.repository.prepare import prepare_to_read

if TYPE_CHECKING:
    from collections.abc import Collection

    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.config.effective import Config
    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.operations.repository.listing import Listing


@click.command("list", cls=Command)
@click.argument("source", metavar="[SOURCE]", required=False)
@takes(*REPOSITORY)
@click.pass_obj
def list_(session: Session, *, source: str | None) -> Result:
    """List backups: all of them, or those of SOURCE.

    SOURCE is a label, HOST/LABEL or a source id; with it, held backups are marked. Without
    --repository, of every repository that the file's sources name. Needs neither root nor Btrfs.
    """
    places = session.config().places()
    named = source is not None
    return each(session, places, lambda place: _list(session, place, source), anywhere=named)


COMMAND = list_


def _list(session: Session, config: Config, source: str | None) -> Result:
    """The backups of one repository."""
    with session.application(config) as app:
        prepare_to_read(app.services())
        listing = list_backups(app.services(), source)
        held = None
        if source is not None:
            held = held_backups(app.services(), listing.heads[0].source_id).keys()
        damaged = [(str(one.source_id), Failure.of(one.error)) for one in listing.unreadable]
        failure = damaged[0][1] if damaged else None
        return Result(
            partial(_document, app.store.url, listing, held, failure),
            partial(text.of_listing, listing, held),
            failure,
            damaged,
        )


def _document(
    url: str, listing: Listing, held: Collection[BackupId] | None, failure: Failure | None
) -> documents.Document:
    return documents.with_failure(documents.of_listing(url, listing, held), failure)
