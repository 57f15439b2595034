"""``btrfs-to-s3 show``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from btrfs_to_s3.cli.options import REPOSITORY, Command, takes
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import documents, text
from btrfs_to_s3.operations.prune.holds import held_backups, read_hold
from btrfs_to_s3.operations.repository.listing import show_backup
from btrfs_to_s3.operations.repository.prepare import prepare_to_read

if TYPE_CHECKING:
    from btrfs_to_s3.cli.session import Session


@click.command(cls=Command)
@click.argument("backup", metavar="BACKUP")
@takes(*REPOSITORY)
@click.pass_obj
def show(session: Session, *, backup: str) -> Result:
    """Show one backup in full, and what restoring it takes.

    BACKUP is SOURCE@WHEN (latest, a date, a time or a backup id), SOURCE for its newest backup,
    or a backup id alone. Needs neither root nor Btrfs.
    """
    with session.application(session.one_config()) as app:
        prepare_to_read(app.services())
        services = app.services()
        shown = show_backup(services, backup)
        source_id = shown.head.source_id
        note = held_backups(services, source_id).get(shown.entry.backup_id)
        hold = None if note is None else read_hold(services, source_id, note)
        return Result(documents.of_shown(app.store.url, shown, hold), text.of_shown(shown, hold))


COMMAND = show
