"""What this machine is like, without any repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from zstandard import ZstdCompressionParameters

from btrfs_to_s3.btrfs.local import LocalBtrfs
from btrfs_to_s3.host.memory import Affordable, affordable_concurrency, available_memory_bytes
from btrfs_to_s3.host.state import observe_root, state_root
from btrfs_to_s3.model.backup import FRAME_SIZE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from btrfs_to_s3.config.effective import Config, SourcePolicy
    from btrfs_to_s3.model.place import StatePlace

_CONSTANT_BYTES: Final = 96 * 1024 * 1024
"""The interpreter, boto3 and the allocator."""
_PARTS_BESIDE: Final = 2
"""One that is filled and one that is handed on, besides those in flight."""
_FRAMES_BESIDE: Final = 3
"""Frames that wait, besides one for each thread that compresses; each raw and compressed."""


def affordable_here(
    config: Config, shares: int = 1, available: Callable[[], int] = available_memory_bytes
) -> Affordable:
    """How many parts in flight a repository's share of this machine's memory takes.

    What a backup needs besides them counts (docs/performance.md, "Memory").
    """
    return affordable_concurrency(
        config.concurrency, config.part_size_bytes, _beside_bytes(config), available() // shares
    )


def _beside_bytes(config: Config) -> int:
    policies = (config.policy, *(source.policy for source in config.sources))
    level = max(policy.compression_level for policy in policies)
    parameters = ZstdCompressionParameters.from_level(level, source_size=FRAME_SIZE_BYTES)
    frames = (config.compression_threads + _FRAMES_BESIDE) * 2 * FRAME_SIZE_BYTES
    contexts = config.compression_threads * parameters.estimated_compression_context_size()
    return _CONSTANT_BYTES + _PARTS_BESIDE * config.part_size_bytes + frames + contexts


def inspection(policy: SourcePolicy | None) -> LocalBtrfs:
    """This machine's Btrfs without any repository; None: with the default snapshot directory."""
    return LocalBtrfs() if policy is None else LocalBtrfs(policy.snapshot_directory)


def state_place(config: Config, environ: Mapping[str, str]) -> StatePlace:
    """What the state directory is like."""
    return observe_root(state_root(config.state_dir, environ))
