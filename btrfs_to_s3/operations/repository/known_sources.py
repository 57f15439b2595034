"""What this host remembers of its sources: which they are, and when they were in order."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.model.identity import SourceId

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.operations.repository.listing import Listing
    from btrfs_to_s3.operations.repository.repository import Host
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.ports import LocalState

_LOOKED = "looked"
_CONFIGURED = "configured"


def remember_source(services: Services, label: str, source_id: SourceId) -> None:
    """Keep that a source was just found in order, and which one it is. A cache."""
    now = services.clock().isoformat()
    services.state.remember(_LOOKED, str(source_id), now.encode())
    services.state.remember(_CONFIGURED, label, str(source_id).encode())


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
    here = [head.source_id for head in named if is_here(head, host)]
    here += [source_id for source_id in damaged if source_id.label == label]
    return here[0] if here else None


def is_here(head: Head, host: Host) -> bool:
    """Whether this host wrote the head last."""
    return host.host_id == head.host_id or host.host_name == head.host_name


def remembered_as(state: LocalState, label: str) -> SourceId | None:
    """The stored source that the last run found a label of this host's file to mean."""
    remembered = state.recall(_CONFIGURED, label)
    try:
        return None if remembered is None else SourceId.parse(remembered.decode("ascii"))
    except (UsageError, UnicodeDecodeError):
        return None


def last_looked(state: LocalState, source_id: SourceId) -> datetime | None:
    """When a run here last found the source in order; None when that is not known."""
    remembered = state.recall(_LOOKED, str(source_id))
    try:
        time = datetime.fromisoformat(remembered.decode("ascii")) if remembered else None
    except ValueError:
        return None
    return time if time is not None and time.tzinfo is not None else None
