"""``btrfs-to-s3 hold``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from btrfs_to_s3.cli.exit_codes import Failure
from btrfs_to_s3.cli.options import REPOSITORY, Command, takes
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import documents, text
from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.operations.prune.holds import add_hold, list_holds, remove_hold
from btrfs_to_s3.operations.repository.prepare import prepare_to_read, prepare_to_write

if TYPE_CHECKING:
    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.operations.services import Services

_ADD, _REMOVE, _LIST = "add", "remove", "list"


@click.command(cls=Command)
@click.argument("action", type=click.Choice((_ADD, _REMOVE, _LIST)), metavar="add|remove|list")
@click.argument("backup", metavar="[SOURCE[@WHEN]]", required=False)
@click.option(
    "--reason",
    metavar="TEXT",
    help="Why the backup is held, for people; everyone who reads the bucket can read it. "
    "[default: none]",
)
@takes(*REPOSITORY)
@click.pass_obj
def hold(session: Session, *, action: str, backup: str | None, reason: str | None) -> Result:
    """Keep a backup whatever the keep rules say, until its hold is removed.

    WHEN is latest (the default), a date, a time or a backup id. What a held backup is built on
    stays too. "list" takes a SOURCE or nothing. Needs neither root nor Btrfs.
    """
    if reason is not None and action != _ADD:
        raise UsageError("--reason is for 'hold add'", hint="leave it out")
    if backup is None and action != _LIST:
        raise UsageError(f"hold {action} needs a backup", hint="name it: SOURCE or SOURCE@WHEN")
    with session.application(session.one_config()) as app:
        services = app.services()
        prepare_to_read(services)
        if backup is None or action == _LIST:
            return _listed(services, app.store.url, backup)
        prepare_to_write(services)
        held = action == _ADD
        change = add_hold(services, backup, reason) if held else remove_hold(services, backup)
        document = documents.of_hold_change(app.store.url, change, held=held)
        return Result(document, text.of_hold_change(change, held=held), summary=True)


COMMAND = hold


def _listed(services: Services, repository: str, source: str | None) -> Result:
    found = list_holds(services, source)
    unreadable = found.listing.unreadable
    damaged = [(str(each.source_id), Failure.of(each.error)) for each in unreadable]
    failure = damaged[0][1] if damaged else None
    document = documents.of_holds(repository, found)
    shown = documents.with_failure(document, failure)
    return Result(shown, text.of_holds(found), failure, damaged)
