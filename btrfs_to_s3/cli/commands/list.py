"""``btrfs-to-s3 list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from btrfs_to_s3.cli import documents, text
from btrfs_to_s3.cli.exit_codes import Failure
from btrfs_to_s3.cli.options import REPOSITORY, Command, takes
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.operations.holds import held_backups
from btrfs_to_s3.operations.listing import list_backups
from btrfs_to_s3.operations.prepare import prepare_to_read

if TYPE_CHECKING:
    from btrfs_to_s3.cli.session import Session


@click.command("list", cls=Command)
@click.argument("source", metavar="[SOURCE]", required=False)
@takes(*REPOSITORY)
@click.pass_obj
def list_(session: Session, *, source: str | None) -> Result:
    """List backups: all of them, or those of SOURCE.

    SOURCE is a label, HOST/LABEL or a source id; with it, held backups are marked. Needs neither
    root nor Btrfs.
    """
    with session.application(session.config()) as app:
        prepare_to_read(app.services())
        listing = list_backups(app.services(), source)
        held = None
        if source is not None:
            held = held_backups(app.services(), listing.heads[0].source_id).keys()
        damaged = [(str(each.source_id), Failure.of(each.error)) for each in listing.unreadable]
        failure = damaged[0][1] if damaged else None
        return Result(
            documents.with_failure(documents.of_listing(app.store.url, listing, held), failure),
            text.of_listing(listing, held),
            failure,
            damaged,
        )


COMMAND = list_
