"""The filesystem that a restore goes to."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.exit_codes import of_named
from btrfs_to_s3.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.ports import Volume


def open_target(services: Services, directory: Path, *, writable: bool) -> Volume:
    """The target's filesystem; a target that does not exist is a ``UsageError``."""
    try:
        volume = services.btrfs.open(directory, writable=writable)
        if writable:
            with ExitStack() as closing:
                closing.enter_context(volume)
                volume.require_writable(directory)
                closing.pop_all()
        return volume  # noqa: TRY300 - both may refuse
    except SourceError as error:
        raise of_named(error, {directory}) from error
