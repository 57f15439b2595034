"""``btrfs-to-s3 completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from btrfs_to_s3.cli.options import Command
from btrfs_to_s3.cli.output import Result
from btrfs_to_s3.cli.root import COMPLETE
from btrfs_to_s3.errors import UsageError

_SHELLS = ("bash", "zsh", "fish")


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, *, shell: str) -> Result:
    """Print the code that makes SHELL complete this program's commands and options.

    For bash: eval "$(btrfs-to-s3 completion bash)"
    """
    maker = get_completion_class(shell)
    if maker is None:
        raise UsageError(f"there is no completion for {shell}")
    program = context.find_root().info_name or "btrfs-to-s3"
    script = maker(context.find_root().command, {}, program, COMPLETE).source()
    return Result({"shell": shell, "script": script}, [script])


COMMAND = completion
