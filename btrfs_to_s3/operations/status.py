"""How fresh every source's backups are: from the heads, and what this host remembers of its runs.

A run that found a source unchanged writes nothing remotely; that it looked is remembered here, so
that an unchanged source does not grow stale on its own host. On another machine it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.model.identity import SourceId
from btrfs_to_s3.operations.repository.listing import read_heads
from btrfs_to_s3.plan.status import freshness

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.operations.backup.run import SourceOutcome
    from btrfs_to_s3.operations.repository.listing import Listing, Unreadable
    from btrfs_to_s3.operations.repository.repository import Host
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.plan.status import Freshness
    from btrfs_to_s3.ports import LocalState

_LOOKED = "looked"
_CONFIGURED = "configured"


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
        if (time := _recall_time(services.state, head.source_id)) is not None
    }
    never = tuple(label for label in configured if configured_as(services, label, listing) is None)
    judged = freshness(listing.heads, services.clock(), max_age, looked)
    return StatusReport(judged, listing.unreadable, never)


def remember_run(services: Services, outcomes: Sequence[SourceOutcome]) -> None:
    """Keep when each source was last found in order, and which one it is. A cache."""
    for outcome in outcomes:
        if outcome.error is not None or outcome.source_id is None:
            continue
        now = services.clock().isoformat()
        services.state.remember(_LOOKED, str(outcome.source_id), now.encode())
        services.state.remember(_CONFIGURED, outcome.label, str(outcome.source_id).encode())


def configured_as(services: Services, label: str, listing: Listing) -> SourceId | None:
    """The stored source that a label of this host's file means; None when it was never stored.

    By what the last run found out, since a source may be stored under another label; else by
    label and host.
    """
    known = [head.source_id for head in listing.heads]
    damaged = [each.source_id for each in listing.unreadable]
    remembered = remembered_as(services.state, label)
    if remembered is not None and remembered in (*known, *damaged):
        return remembered
    host = services.access.host
    named = [head for head in listing.heads if head.source_id.label == label]
    here = [head.source_id for head in named if _is_here(head, host)]
    here += [source_id for source_id in damaged if source_id.label == label]
    return here[0] if here else None


def _is_here(head: Head, host: Host) -> bool:
    """Whether this host wrote the head last."""
    return host.host_id == head.host_id or host.host_name == head.host_name


def remembered_as(state: LocalState, label: str) -> SourceId | None:
    """The stored source that the last run found a label of this host's file to mean."""
    remembered = state.recall(_CONFIGURED, label)
    try:
        return None if remembered is None else SourceId.parse(remembered.decode("ascii"))
    except (UsageError, UnicodeDecodeError):
        return None


def _recall_time(state: LocalState, source_id: SourceId) -> datetime | None:
    remembered = state.recall(_LOOKED, str(source_id))
    try:
        time = datetime.fromisoformat(remembered.decode("ascii")) if remembered else None
    except ValueError:
        return None
    return time if time is not None and time.tzinfo is not None else None
