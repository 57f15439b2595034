"""A plan of one source from few facts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from btrfs_to_s3.model.policy import ChainPolicy
from btrfs_to_s3.plan.backup.backup import plan_backup
from btrfs_to_s3.plan.backup.facts import BackupFacts, BackupWishes, OpenJournal
from tests.plan.build import (
    SOURCE_ID,
    T0,
    days,
    source,
)

if TYPE_CHECKING:
    from datetime import datetime

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.plan.backup.backup import BackupPlan


NOW = T0 + days(30)


PLAIN = BackupWishes()


def plan(
    stored: Head | None,
    *local: Subvolume,
    of: Subvolume | None = None,
    wishes: BackupWishes = PLAIN,
    now: datetime = NOW,
    journal: OpenJournal | None = None,
    received: tuple[Subvolume, ...] = (),
) -> BackupPlan:
    taken = of if of is not None else source()
    recorded = {item.uuid: item.ctransid for item in received}
    facts = BackupFacts(taken, (taken, *local), stored, recorded, journal)
    return plan_backup(facts, wishes, now)


def full_every(count: float) -> BackupWishes:
    return BackupWishes(chain=ChainPolicy(full_every=days(count)))


def journal_of(item: HeadEntry, touched: datetime = NOW - timedelta(hours=1)) -> OpenJournal:
    return OpenJournal(
        SOURCE_ID,
        item.backup_id,
        item.kind,
        item.parent,
        item.snapshot_uuid,
        item.snapshot_ctransid,
        touched,
    )


def given(snapshot: Subvolume, *, force: bool = False) -> BackupWishes:
    return BackupWishes(snapshot=snapshot, force=force)
