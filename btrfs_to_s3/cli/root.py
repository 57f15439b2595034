"""The program as a whole: its global options and its commands."""

from __future__ import annotations

import click

from btrfs_to_s3.cli.commands.backup import backup
from btrfs_to_s3.cli.commands.completion import completion
from btrfs_to_s3.cli.commands.list import list_
from btrfs_to_s3.cli.commands.plan import plan
from btrfs_to_s3.cli.commands.prune import prune
from btrfs_to_s3.cli.commands.restore import restore
from btrfs_to_s3.cli.commands.show import show
from btrfs_to_s3.cli.commands.status import status
from btrfs_to_s3.cli.commands.verify import verify
from btrfs_to_s3.cli.options import global_options, help_option, version_option

PROGRAM = "btrfs-to-s3"
_HELP = """Incremental Btrfs backups in any S3 bucket.

The repository is named by BTRFS_TO_S3_URL=s3://bucket/prefix, --repository or the configuration
file; credentials come from AWS_* variables, a profile or the instance's role. Every setting
has one name: chunk_size in the file, --chunk-size here, BTRFS_TO_S3_CHUNK_SIZE in the environment;
the command line wins over the environment, the environment over the file.

Global options may stand before or after the command.
"""
_EXIT_CODES = (
    "Exit codes: 0 done or nothing due; 1 a bug; 2 usage or configuration; 3 some sources failed; "
    "4 repository unreachable or access denied; 5 integrity; 6 archived data not readable yet; "
    "7 locked by another run; 8 stale (status); 130 interrupted."
)


class Root(click.Group):
    """The group of all commands."""

    def get_help_option(self, _context: click.Context) -> click.Option:
        """Help as a result."""
        return help_option()


@click.group(
    cls=Root,
    help=_HELP,
    epilog=_EXIT_CODES,
    no_args_is_help=False,
    context_settings={"max_content_width": 100},
)
def root() -> None:
    """Read the global options; the command does the rest."""


root.params += [*global_options(hidden=False), version_option()]
for _command in (backup, plan, list_, show, status, restore, verify, prune, completion):
    root.add_command(_command)
