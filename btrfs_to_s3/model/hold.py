"""Holds: a person's word that a backup stays, whatever the keep rules say (docs/format.md §6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from btrfs_to_s3.model.identity import BackupId, SourceId


class HoldAction(StrEnum):
    """What a note does to a hold; the last part of its key."""

    HOLD = "hold"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class NoteKey:
    """What the key of a note says: which backup it is about, when it was written, and its kind."""

    backup_id: BackupId
    time: datetime
    what: str


@dataclass(frozen=True, slots=True)
class HoldNote:
    """The body of a ``hold`` or ``release`` note. ``writer`` names the host and the process."""

    source_id: SourceId
    backup_id: BackupId
    action: HoldAction
    time: datetime
    writer: str
    reason: str | None
