"""How fresh every source's backups are: from the heads, and what this host remembers of its runs.

A run that found a source unchanged writes nothing remotely; that it looked is remembered here, so
that an unchanged source does not grow stale on its own host. On another machine it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.operations.repository.known_sources import configured_as, last_looked
from btrfs_to_s3.operations.repository.listing import read_heads
from btrfs_to_s3.plan.status import freshness

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from btrfs_to_s3.operations.repository.listing import Unreadable
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.plan.status import Freshness


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Every source of the repository, and labels configured here that it has no backup of."""

    sources: tuple[Freshness, ...]
    unreadable: tuple[Unreadable, ...]
    never: tuple[str, ...]

    @property
    def stale(self) -> tuple[str, ...]:
        """Names of what is not fresh: ``HOST/LABEL``, or a label of this host alone."""
        old = (f"{each.host_name}/{each.source_id.label}" for each in self.sources if each.stale)
        return (*old, *self.never)


def report_status(
    services: Services, max_age: timedelta | None, configured: Iterable[str]
) -> StatusReport:
    """Judge every source; ``configured`` are the labels that this host's file names."""
    listing = read_heads(services)
    looked = {
        head.source_id: time
        for head in listing.heads
        if (time := last_looked(services.state, head.source_id)) is not None
    }
    never = tuple(label for label in configured if configured_as(services, label, listing) is None)
    judged = freshness(listing.heads, services.clock(), max_age, looked)
    return StatusReport(judged, listing.unreadable, never)
