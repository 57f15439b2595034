"""The filesystem that a restore goes to."""

from __future__ import annotations

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
        return services.btrfs.open(directory, writable=writable)
    except SourceError as error:
        raise of_named(error, {directory}) from error
