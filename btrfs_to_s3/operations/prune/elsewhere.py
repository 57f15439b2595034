"""What other repositories need of this machine's snapshots, as far as it remembers them.

A run works with some of a source's repositories; of the others, and of those that cannot be
reached now, the last heads seen here and the open upload journals say what must stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.operations.backup.observe import UPLOADS
from btrfs_to_s3.operations.backup.upload_journal import UploadJournal
from btrfs_to_s3.operations.repository.head_cache import remembered_heads
from btrfs_to_s3.operations.repository.known_sources import remembered_as

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import datetime
    from uuid import UUID

    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.ports import LocalState


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Heads of other repositories that list one of the snapshots, and what their uploads need."""

    heads: tuple[Head, ...]
    protected: dict[UUID, str]

    def needs(self, snapshot_uuid: UUID) -> bool:
        """Whether any of it is built on, or is sending, this snapshot."""
        return snapshot_uuid in self.protected or any(
            entry.snapshot_uuid == snapshot_uuid for head in self.heads for entry in head.backups
        )


def needed_elsewhere(services: Services, snapshots: Collection[UUID]) -> Elsewhere:
    """What every other repository this host ever worked with needs of these snapshots."""
    siblings = services.state.siblings()
    protected: dict[UUID, str] = {}
    # First: what another run commits meanwhile leaves its journal for its head.
    for state in siblings:
        protected |= uploading(state, services.clock)
    heads = tuple(
        head
        for state in siblings
        for head in remembered_heads(state)
        if any(entry.snapshot_uuid in snapshots for entry in head.backups)
    )
    return Elsewhere(heads, protected)


def uploading(state: LocalState, clock: Callable[[], datetime]) -> dict[UUID, str]:
    """The snapshots, and their parents, that open uploads send, with the reason to keep them."""
    protected: dict[UUID, str] = {}
    for name in state.journals(UPLOADS):
        upload = UploadJournal(state.journal(UPLOADS, name), clock).read()
        if upload is None:
            continue
        reason = f"the upload of {upload.begin.backup_id} is in progress"
        protected[upload.begin.snapshot_uuid] = reason
        if upload.begin.parent_uuid is not None:
            protected[upload.begin.parent_uuid] = reason
    return protected


def is_known(state: LocalState, label: str) -> bool:
    """Whether this machine remembers what a repository has of a source."""
    source_id = remembered_as(state, label)
    return any(head.source_id == source_id for head in remembered_heads(state))


def shared_source_id(known: Iterable[SourceId | None], fresh: SourceId) -> SourceId:
    """The id of a source that is new in a repository: the one that another repository gave it.

    Then what is copied between the two later meets under one id. ``fresh`` is for one that is new
    everywhere, or is stored under another label.
    """
    same = (each for each in known if each is not None and each.label == fresh.label)
    return next(same, fresh)
