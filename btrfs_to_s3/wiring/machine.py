"""What this machine is like, without any repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from btrfs_to_s3.btrfs.local import LocalBtrfs
from btrfs_to_s3.host.memory import Affordable, affordable_concurrency, available_memory_bytes
from btrfs_to_s3.host.state import observe_root, state_root

if TYPE_CHECKING:
    from collections.abc import Mapping

    from btrfs_to_s3.config.effective import Config, SourcePolicy
    from btrfs_to_s3.model.place import StatePlace

_CONSTANT_BYTES: Final = 96 * 1024 * 1024
"""Memory beside the parts in flight: the interpreter, boto3, blocks and frames."""


def affordable_here(config: Config, shares: int = 1) -> Affordable:
    """How many parts in flight a repository's share of this machine's memory takes."""
    return affordable_concurrency(
        config.concurrency,
        config.part_size_bytes,
        _CONSTANT_BYTES,
        available_memory_bytes() // shares,
    )


def inspection(policy: SourcePolicy | None) -> LocalBtrfs:
    """This machine's Btrfs without any repository; None: with the default snapshot directory."""
    return LocalBtrfs() if policy is None else LocalBtrfs(policy.snapshot_directory)


def state_place(config: Config, environ: Mapping[str, str]) -> StatePlace:
    """What the state directory is like."""
    return observe_root(state_root(config.state_dir, environ))
