"""What this machine asked to be thawed, so that a second call or a reboot goes on with it.

Lines: ``job`` (tier and days, before anything is asked for) and ``asked`` (a backup of which all
that was frozen has been asked for, and what that costs). What is frozen now, the service says.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import BtrfsToS3Error
from btrfs_to_s3.format.jsonio import Fields, encode_time
from btrfs_to_s3.model.identity import BackupId
from btrfs_to_s3.model.storage_class import Tier
from btrfs_to_s3.plan.restore.thaw import Asked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.ports import Journal, LocalState

_KIND = "thaw"
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Begun:
    """How the job was begun. ``days`` None: as many as the download needs."""

    time: datetime
    tier: Tier
    days: int | None


def open_journal(state: LocalState, source_id: SourceId, backup_id: BackupId) -> Journal:
    """The journal of one backup's thaw, in which a job's lines stand too."""
    return state.journal(_KIND, f"{source_id}@{backup_id}")


class ThawJournal:
    """The thaw of one backup's chain. Deleting it loses only what was asked when, and how."""

    def __init__(self, state: LocalState, source_id: SourceId, backup_id: BackupId) -> None:
        self._journal = open_journal(state, source_id, backup_id)

    def begun(self) -> Begun | None:
        """The job as it was begun last, None without one."""
        last: Begun | None = None
        for fields in self._lines("job"):
            days = None if fields.absent("days") else fields.integer("days", 1)
            last = Begun(fields.time("time"), Tier(fields.text("tier")), days)
        return last

    def asked(self) -> dict[BackupId, Asked]:
        """When each backup was asked for last."""
        found: dict[BackupId, Asked] = {}
        for fields in self._lines("asked"):
            tier, days = Tier(fields.text("tier")), fields.integer("days", 1)
            link = BackupId.parse(fields.text("backup_id"))
            found[link] = Asked(fields.time("time"), tier, days)
        return found

    def spent(self) -> Decimal:
        """What all requests of the job cost."""
        return sum((Decimal(fields.text("amount")) for fields in self._lines("asked")), _NOTHING)

    def begin(self, begun: Begun) -> None:
        """Note the job before anything is asked for."""
        time, tier = encode_time(begun.time), begun.tier.value
        self._journal.append({"what": "job", "time": time, "tier": tier, "days": begun.days})

    def add(self, backup_id: BackupId, asked: Asked, amount: Decimal) -> None:
        """Note that a backup was asked for."""
        self._journal.append(
            {
                "what": "asked",
                "backup_id": str(backup_id),
                "time": encode_time(asked.time),
                "tier": asked.tier.value,
                "days": asked.days,
                "amount": str(amount),
            }
        )

    def remove(self) -> None:
        """The backup was restored, or nothing is left to wait for."""
        self._journal.remove()

    def _lines(self, what: str) -> Iterator[Fields]:
        for record in self._journal.records():
            fields = Fields(record, "the journal of thaws")
            try:
                if fields.text("what") == what:
                    yield fields
            except (BtrfsToS3Error, ValueError):
                # It only tells when and how: what cannot be read is as good as deleted.
                return
