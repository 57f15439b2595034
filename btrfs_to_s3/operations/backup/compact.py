"""Which sources a new full backup is worth it for; the backup path makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import SourceError
from btrfs_to_s3.operations.repository.known_sources import configured_as
from btrfs_to_s3.plan.backup.compaction import decide_compaction

if TYPE_CHECKING:
    from btrfs_to_s3.errors import BtrfsToS3Error
    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.operations.backup.run import SourceJob
    from btrfs_to_s3.operations.repository.listing import Listing
    from btrfs_to_s3.plan.backup.compaction import Compaction
    from btrfs_to_s3.plan.backup.economy import Economy


@dataclass(frozen=True, slots=True)
class SourceDecision:
    """One source: what the planner decided, or why it cannot (``error``).

    ``source_id`` is None for one that has no backup.
    """

    label: str
    source_id: SourceId | None = None
    decision: Compaction | None = None
    error: BtrfsToS3Error | None = None

    def wanted(self, *, force: bool) -> bool:
        """Whether to make the full backup; a first one is no compaction, and never forced."""
        if self.decision is None or self.source_id is None:
            return False
        return force or self.decision.worthwhile


def decide(job: SourceJob, economy: Economy, listing: Listing, *, named: bool) -> SourceDecision:
    """Look at one source's head; one that was ``named`` must have one. Writes nothing."""
    label, services = job.backup.label, job.services
    source_id = configured_as(services, label, listing)
    for damaged in listing.unreadable:
        if damaged.source_id == source_id:
            return SourceDecision(label, source_id, error=damaged.error)
    if named and source_id is None:
        error = SourceError(
            f"{label} has no backup in this repository", hint="'btrfs-to-s3 list' shows what has"
        )
        return SourceDecision(label, error=error)
    head = next((each for each in listing.heads if each.source_id == source_id), None)
    decision = decide_compaction(head, job.chain, economy, services.clock())
    return SourceDecision(label, source_id, decision)
