"""The program as a whole: its global options and its commands."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping

import click
from click.shell_completion import CompletionItem

from btrfs_to_s3.cli.lazily import lazily
from btrfs_to_s3.cli.options import global_options, help_option, version_option
from btrfs_to_s3.errors import UsageError

PROGRAM = "btrfs-to-s3"
COMPLETE = "_BTRFS_TO_S3_COMPLETE"
"""The variable by which a shell asks for completions (click's protocol)."""
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
ABOUT = {
    "backup": "Back up subvolumes.",
    "compact": "Make the newest backup restorable with fewer links, where that pays.",
    "completion": "Print the code for completion in a shell.",
    "copy": "Copy a backup and its chain to another repository.",
    "doctor": "Look at everything that backups and restores rely on.",
    "cost": "Say what the repository costs, and what restoring from it would.",
    "hold": "Keep a backup whatever the keep rules say.",
    "list": "List backups.",
    "plan": "Say what backup and prune would do now, and why.",
    "prune": "Remove the backups that no keep rule keeps.",
    "restore": "Restore a backup as a read-only snapshot.",
    "show": "Show one backup in full, and what restoring it takes.",
    "status": "Say how fresh every source's newest backup is.",
    "systemd": "Have backups run by themselves, with timers of systemd.",
    "thaw": "Make archived data readable, so that it can be restored.",
    "verify": "Check that backups can be restored.",
}
"""The commands, each in the module of its name, in a few words."""


class Commands(MutableMapping[str, click.Command]):
    """The commands by name, each imported when it is asked for."""

    def __init__(self) -> None:
        self._known: dict[str, click.Command | None] = dict.fromkeys(ABOUT)

    def __getitem__(self, name: str) -> click.Command:
        command = self._known[name]
        if command is None:
            command = lazily(f"btrfs_to_s3.cli.commands.{name}:COMMAND")
            self._known[name] = command
        return command

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._known[name] = command

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class Root(click.Group):
    """The group of all commands."""

    def get_help_option(self, _context: click.Context) -> click.Option:
        """Help as a result."""
        return help_option()

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands in a few words, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(ABOUT.items()))

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands that begin so, without importing them, and the global options."""
        begin = [name for name in sorted(ABOUT) if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, context, incomplete)
        return [*(CompletionItem(name, help=ABOUT[name]) for name in begin), *options]

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Read the global options; a command's option before the command gets a hint."""
        given = list(args)
        try:
            return super().parse_args(context, args)
        except click.NoSuchOption as error:
            command = self._owner(error.option_name, given)
            if command is None:
                raise
            raise UsageError(
                f"{error.option_name} is an option of a command and stands before it",
                hint=f"put it after the command: {PROGRAM} {command} {error.option_name} …",
            ) from error

    def _owner(self, option: str, given: list[str]) -> str | None:
        """A command with this option: the one that was given, if it has it, else the first."""
        named = [name for name in given if name in self.commands]
        for name in (*named, *sorted(self.commands)):
            if any(option in parameter.opts for parameter in self.commands[name].params):
                return name
        return None


@click.group(
    cls=Root,
    commands=Commands(),
    help=_HELP,
    epilog=_EXIT_CODES,
    no_args_is_help=False,
    context_settings={"max_content_width": 100},
)
def root() -> None:
    """Read the global options; the command does the rest."""


root.params += [*global_options(hidden=False), version_option()]
