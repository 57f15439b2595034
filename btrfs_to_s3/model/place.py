"""Directories of this machine as ``doctor`` sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SourcePlace:
    """What anybody may see of a directory on Btrfs.

    ``readonly`` is about the filesystem, not about this mount of it. ``swapfiles`` are active ones
    in its subvolume. Sizes are the filesystem's (statfs(2)).
    """

    path: Path
    mount_point: str
    readonly: bool
    subvolume_root: bool
    free_bytes: int
    size_bytes: int
    swapfiles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SnapshotDirectory:
    """Where a filesystem's snapshots are kept. ``private``: only root can write to it."""

    name: str
    exists: bool
    private: bool


@dataclass(frozen=True, slots=True)
class StatePlace:
    """The state directory; ``writable`` is about the nearest directory that exists."""

    path: Path
    exists: bool
    writable: bool
    free_bytes: int
