"""``btrfs-to-s3 copy``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from btrfs_to_s3.cli.options import NETWORK, REPOSITORY, RUNNING, TRANSFER, Command, takes
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.rendering import copy as copy_rendering
from btrfs_to_s3.config import settings as s
from btrfs_to_s3.operations.copy.copy import Copy
from btrfs_to_s3.operations.repository.listing import find_backup
from btrfs_to_s3.operations.repository.prepare import (
    prepare_to_look,
    prepare_to_read,
    prepare_to_write,
)

if TYPE_CHECKING:
    from btrfs_to_s3.cli.session import Session
    from btrfs_to_s3.config.effective import Config
    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.wiring.application import Application


@click.command(cls=Command)
@click.argument("source", metavar="SOURCE[@WHEN]")
@click.option(
    "--to",
    metavar="NAME|URL",
    required=True,
    help="The repository to copy to, by its name in the configuration file or its URL; required.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only say what would be copied; write nothing, here or there. [default: do it]",
)
@takes(*REPOSITORY, *TRANSFER, *RUNNING, *NETWORK)
@takes(s.STORAGE_CLASS, s.METADATA_CLASS, s.SSE, s.SSE_KMS_KEY_ID, s.NOTIFY_URLS)
@click.pass_obj
def copy(session: Session, *, source: str, to: str, dry_run: bool) -> Result:
    """Copy a backup, and those of its ancestors that are missing there, to another repository.

    The service copies by itself where both are on one and the rights allow it; otherwise the
    stored bytes are downloaded, checked and uploaded. Needs neither root nor Btrfs. An interrupted
    copy goes on; later backups to the other repository continue the chain.
    """
    config, target_config = session.one_config(), session.config_of(to, "--to")
    session.ledger.works_on(target_config)
    with (
        session.under_conditions(config, "a copy", moves_data=True, looking=dry_run),
        session.application(config, looking=True, running=not dry_run) as origin,
        session.application(target_config, looking=dry_run, running=not dry_run) as target,
    ):
        return _copy(origin, target, target_config, source, dry_run=dry_run)


COMMAND = copy


def _copy(
    origin: Application, target: Application, target_config: Config, source: str, *, dry_run: bool
) -> Result:
    """Copy the chain, or only say what would be copied."""
    prepare_to_read(origin.services())
    head, entry = find_backup(origin.services(), source)
    services = _services(target, target_config, head)
    work = Copy(origin.services(), services, head, entry, target.concurrency)
    urls = (origin.store.url, target.store.url)
    if dry_run:
        planned = work.plan(exists=prepare_to_look(services))
        work.require_readable(planned)
        return Result(
            copy_rendering.of_plan(urls, head, entry, planned),
            copy_rendering.plan_text(urls, head, entry, planned),
        )
    with target.lock():
        prepare_to_write(services)
        planned = work.plan()
        result = work.run()
    return Result(
        copy_rendering.of_result(urls, head, entry, planned, result),
        copy_rendering.result_text(urls, result),
        summary=True,
    )


def _services(target: Application, config: Config, head: Head) -> Services:
    """The target's services, new chunks in the class that the source has there."""
    policies = (each.policy for each in config.sources if each.label == head.source_id.label)
    return target.services(next(policies, config.policy))
