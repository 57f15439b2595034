"""What every operation works with, joined once by wiring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from btrfs_to_s3.operations.repository.repository import RepositoryAccess
    from btrfs_to_s3.ports import Btrfs, Cancellation, LocalState, Reporter


@dataclass(frozen=True, slots=True)
class Services:
    """The repository, this machine, and the person. ``clock`` gives aware times in UTC."""

    access: RepositoryAccess
    btrfs: Btrfs
    state: LocalState
    reporter: Reporter
    cancel: Cancellation
    clock: Callable[[], datetime]
