"""What a backup plan is made from: observed facts of one source, and what was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.model.policy import ChainPolicy

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.model.identity import BackupId, Kind, SourceId
    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.plan.backup.economy import Economy
    from btrfs_to_s3.plan.backup.parents import ReceivedRecords

JOURNAL_MAX_IDLE: Final = timedelta(days=6)
"""Shorter than the default orphan age: later, a prune may be removing what a journal names."""


@dataclass(frozen=True, slots=True)
class OpenJournal:
    """An upload that was begun and not committed, as its journal tells it.

    ``touched`` is when it last made progress.
    """

    source_id: SourceId
    backup_id: BackupId
    kind: Kind
    parent: BackupId | None
    snapshot_uuid: UUID
    snapshot_ctransid: int
    touched: datetime


@dataclass(frozen=True, slots=True)
class BackupFacts:
    """What was observed of one source.

    ``source`` and ``subvolumes`` must be read after a syncfs: data still in the page cache shows
    in no ctransid (observed: an overwrite before and after sync). ``head`` is None when the
    source was never backed up here.
    """

    source: Subvolume
    subvolumes: tuple[Subvolume, ...]
    head: Head | None
    received: ReceivedRecords
    journal: OpenJournal | None = None


@dataclass(frozen=True, slots=True)
class BackupWishes:
    """What was configured and asked for.

    ``snapshot`` is an existing one to send instead of a new one. ``journal_max_idle`` must be
    shorter than any host's orphan age: past it, another host may have removed chunks that a
    resumed upload would rely on. ``economy`` is what the planner reckons with where the policy
    lets it ask for full backups (``FullBackups.AUTO``).
    """

    full: bool = False
    force: bool = False
    restart: bool = False
    snapshot: Subvolume | None = None
    chain: ChainPolicy = field(default_factory=ChainPolicy)
    journal_max_idle: timedelta = JOURNAL_MAX_IDLE
    economy: Economy | None = None
