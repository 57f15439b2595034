"""What this machine remembers of received subvolumes, per filesystem (design, the Btrfs rules).

A link counts as received only with an entry here, made after exit 0, syncfs and a check of the
result. Lines: ``receiving`` (before receive starts: what it will make, and the highest subvolume id
before), ``received`` (the link is whole and on disk) and ``dropped`` (it was deleted again).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.format.jsonio import Fields

if TYPE_CHECKING:
    from uuid import UUID

    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.ports import LocalState

_KIND = "received"


@dataclass(frozen=True, slots=True)
class Receiving:
    """A receive that was begun and whose end is not known."""

    directory: str
    name: str
    highest_id: int


class ReceivedJournal:
    """The records of one filesystem. Deleting it only makes later restores and backups larger."""

    def __init__(self, state: LocalState, fsid: UUID) -> None:
        self._journal = state.journal(_KIND, str(fsid))

    def ctransids(self) -> dict[UUID, int]:
        """The ctransid of each received subvolume, by its own uuid, as it was after syncfs."""
        found: dict[UUID, int] = {}
        for fields in self._lines():
            if fields.text("what") == "received":
                found[fields.uuid("uuid")] = fields.integer("ctransid")
            elif fields.text("what") == "dropped":
                found.pop(fields.uuid("uuid"), None)
        return found

    def stepping_stones(self) -> set[UUID]:
        """Received subvolumes, by uuid, that nobody asked for: links on the way to another."""
        found: set[UUID] = set()
        for fields in self._lines():
            what = fields.text("what")
            if what == "received" and not fields.boolean("wanted"):
                found.add(fields.uuid("uuid"))
            elif what in {"received", "dropped"}:
                found.discard(fields.uuid("uuid"))
        return found

    def unfinished(self) -> list[Receiving]:
        """Receives that were begun and neither finished nor cleaned up."""
        open_: dict[tuple[str, str], Receiving] = {}
        for fields in self._lines():
            what = fields.text("what")
            if what == "dropped":
                continue
            place = (fields.text("directory"), fields.text("name"))
            if what == "receiving":
                open_[place] = Receiving(*place, fields.integer("highest_id"))
            else:
                open_.pop(place, None)
        return list(open_.values())

    def receiving(self, directory: str, name: str, highest_id: int) -> None:
        """Note a receive before it starts."""
        self._journal.append(
            {"what": "receiving", "directory": directory, "name": name, "highest_id": highest_id}
        )

    def received(
        self, directory: str, name: str, local: Subvolume, backup_id: BackupId, *, wanted: bool
    ) -> None:
        """Note a link that is whole, checked and on disk; ``wanted`` if a person asked for it."""
        self._journal.append(
            {
                "what": "received",
                "directory": directory,
                "name": name,
                "uuid": str(local.uuid),
                "received_uuid": str(local.received_uuid),
                "ctransid": local.ctransid,
                "backup_id": str(backup_id),
                "wanted": wanted,
            }
        )

    def cleaned(self, directory: str, name: str) -> None:
        """Note that nothing is left of a receive that failed."""
        self._journal.append({"what": "cleaned", "directory": directory, "name": name})

    def dropped(self, local: Subvolume) -> None:
        """Note that a received link was deleted."""
        self._journal.append({"what": "dropped", "uuid": str(local.uuid)})

    def _lines(self) -> list[Fields]:
        return [
            Fields(record, "the journal of received links") for record in self._journal.records()
        ]
