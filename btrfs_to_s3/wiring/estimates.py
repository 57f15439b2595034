"""What configured sources are reckoned with: how they are stored, downloaded and paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.plan.backup.economy import Economy
from btrfs_to_s3.plan.cost.of_plan import Form
from btrfs_to_s3.plan.cost.restore import Line

if TYPE_CHECKING:
    from btrfs_to_s3.config.effective import Config, SourcePolicy
    from btrfs_to_s3.wiring.application import Application


def form_of(config: Config, policy: SourcePolicy) -> Form:
    """How a source's backups are stored in this repository."""
    return Form(
        policy.storage_class, policy.chunk_size_bytes, config.part_size_bytes, config.metadata_class
    )


def line_of(config: Config) -> Line:
    """How a download from this repository is taken to be made."""
    return Line.limited(config.bandwidth_bytes_per_s, config.part_size_bytes)


def economy_of(app: Application, policy: SourcePolicy) -> Economy:
    """What compaction weighs for a source; ``ConfigError`` for a bad price list."""
    return Economy(app.prices, policy.keep, form_of(app.config, policy), line_of(app.config))
