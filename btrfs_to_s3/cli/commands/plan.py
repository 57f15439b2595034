"""``btrfs-to-s3 plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from btrfs_to_s3.cli.commands.backup import would_back_up
from btrfs_to_s3.cli.options import CHAINS, REPOSITORY, WRITING, Command, takes
from btrfs_to_s3.config.sources import select_sources
from btrfs_to_s3.operations.run import BackupOptions

if TYPE_CHECKING:
    from btrfs_to_s3.cli.output import Result
    from btrfs_to_s3.cli.session import Session


@click.command(cls=Command)
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@takes(*REPOSITORY, *WRITING, *CHAINS)
@click.pass_obj
def plan(session: Session, *, paths: tuple[str, ...]) -> Result:
    """Say what a backup would do, and why. Nothing is written, here or in the repository."""
    config = session.config()
    config.required_repository()
    return would_back_up(
        session, config, select_sources(config, paths, Path.cwd()), BackupOptions()
    )
