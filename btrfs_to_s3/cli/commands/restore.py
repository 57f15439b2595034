"""``btrfs-to-s3 restore``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from btrfs_to_s3.cli.options import NETWORK, REPOSITORY, TRANSFER, Command, takes
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import documents, text
from btrfs_to_s3.cli.rendering import thaw as thaw_rendering
from btrfs_to_s3.cli.rendering.thaw import ShownThaw
from btrfs_to_s3.cli.targets import open_target
from btrfs_to_s3.cli.thaw_options import ThawWishes, thaw_job, thaw_options
from btrfs_to_s3.config.settings import PRICES, THAW_POLL
from btrfs_to_s3.host.resources import peak_memory_bytes
from btrfs_to_s3.operations.repository.listing import find_backup
from btrfs_to_s3.operations.repository.prepare import prepare_to_read
from btrfs_to_s3.operations.restore.compare import Thoroughness
from btrfs_to_s3.operations.restore.restore import Restore, RestoreJob

if TYPE_CHECKING:
    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.wiring.application import Application

_BY_LABEL = "\0"
"""What ``--writable`` without a name gives; no directory entry can be called so."""


@click.command(cls=Command)
@click.argument("source", metavar="SOURCE[@WHEN]")
@click.option(
    "--target",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="A directory on a mounted Btrfs to restore into; required.",
)
@click.option(
    "--writable",
    metavar="[NAME]",
    is_flag=False,
    flag_value=_BY_LABEL,
    help="Also leave a writable snapshot of that name; NAME defaults to the source's label. "
    "[default: only the read-only snapshot]",
)
@click.option(
    "--keep-links",
    is_flag=True,
    help="Keep the snapshots of older backups that were received on the way. "
    "[default: they are deleted]",
)
@click.option(
    "--verify",
    type=click.Choice([each.value for each in Thoroughness]),
    default=Thoroughness.NONE.value,
    help="Compare with the snapshot that was backed up, if this machine still has it: full reads "
    "every file, sample one in 16, metadata always. [default: none]",
)
@click.option(
    "--wait",
    is_flag=True,
    help="Ask for what is archived, wait until it can be read, and begin with the first backup "
    "that is. [default: archived data ends the restore with 6 before anything is received]",
)
@thaw_options
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only say what would be received and why, and what it takes and costs; write nothing. "
    "[default: do it]",
)
@takes(*REPOSITORY, *TRANSFER, PRICES, THAW_POLL)
@takes(*NETWORK)
@click.pass_obj
def restore(
    session: Session,
    *,
    source: str,
    target: Path,
    writable: str | None,
    keep_links: bool,
    verify: str,
    wait: bool,
    dry_run: bool,
    **wishes: Unpack[ThawWishes],
) -> Result:
    """Restore a backup as a read-only snapshot in DIR.

    WHEN is latest (the default), a date, a time (the newest backup not after it) or a backup id.
    Every byte is checked before it reaches btrfs receive. What was received before and is
    unchanged is used again; an interrupted restore goes on.
    """
    config = session.one_config()
    directory = Path.cwd() / target
    with session.application(config, looking=dry_run, running=not dry_run) as app:
        thaw = thaw_job(app, wishes)
        prepare_to_read(app.services())
        services = app.services()
        head, entry = find_backup(services, source)
        name = head.source_id.label if writable == _BY_LABEL else writable
        job = RestoreJob(
            directory, name, keep_links, app.concurrency, Thoroughness(verify), thaw, wait
        )
        with open_target(services, directory, writable=not dry_run) as volume:
            work = Restore(services, volume, job, head, entry)
            if dry_run:
                return _planned(app, work, head, entry, directory)
            with session.awake("a restore"), app.restore_lock(str(volume.fsid)):
                result = work.run()
        counts, peak = app.store.request_counts(), peak_memory_bytes()
        return Result(
            documents.of_restore(app.store.url, result, counts, peak),
            text.of_restore(result, counts, peak),
            summary=True,
        )


COMMAND = restore


def _planned(
    app: Application, work: Restore, head: Head, entry: HeadEntry, directory: Path
) -> Result:
    """What would be received, and what thawing and downloading it takes."""
    planned = work.plan()
    if planned.refusal is not None:
        raise planned.refusal.as_error()
    where, needed = str(directory), work.thaw(planned)
    shown = ShownThaw(needed.status(), needed.asked(), app.prices, app.price_doubts)
    return Result(
        documents.of_restore_plan(app.store.url, head, entry, where, planned)
        | {"thaw": thaw_rendering.document(shown)},
        [*text.of_restore_plan(head, entry, where, planned), *thaw_rendering.text(shown)],
    )
