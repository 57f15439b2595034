"""The strategy ``tree``: every backup is built on the newest of the period around its own.

Each backup has a level. A full one begins a *year*; an increment on it begins a *month* of that
year, one on that begins a *day* of that month, and whatever follows within the day is a further
one (``MOMENT``). A backup taken now goes, in UTC and by the snapshot's own time,

- on the newest backup of its day that begins a day (or its month, or its year); else
- it begins its day, on the newest backup of its month that begins a month (or its year); else
- it begins its month, on the newest full one of its year; else
- it begins its year and is full.

So the year's first backup is also its month's and its day's, and a chain has at most four links.

Levels are read off the live backups, by what lies between a backup and its parent: the calendar
says which period it began, the number of its ancestors which it cannot have begun. The second
holds whatever clocks did and whatever strategy made the backup, so the bound always does. A clock
that is wrong puts a backup into another period, where at worst a full one is due; one from the
future is a base like any other of its period, since what it holds is right, and takes no period
from those whose times are right.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.identity import BackupId

MAX_LINKS: Final = 4
"""The most backups in a chain that this strategy lets grow."""


class Level(IntEnum):
    """The largest period that a backup begins; as a number, the most ancestors it may have."""

    YEAR = 0
    MONTH = 1
    DAY = 2
    MOMENT = 3


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the tree for a backup taken at some time.

    ``level`` is what it would begin there; ``bases`` are the live backups it can be built on
    there, newest first, never none.
    """

    level: Level
    bases: tuple[HeadEntry, ...]


def places(head: Head, taken: datetime, max_chain: int = MAX_LINKS) -> tuple[Place, ...]:
    """Where a backup taken at ``taken`` can stand, the best place first.

    None where it begins its year, or where ``max_chain`` leaves no room: it bounds the chains that
    result, as ``MAX_LINKS`` does. The last place is for want of a better one: any backup of the
    year with room for another link.
    """
    standings = _standings(head)
    most_ancestors = min(max_chain, MAX_LINKS) - 2
    of_year = [
        entry
        for entry in sorted(head.backups, key=lambda entry: entry.sequence, reverse=True)
        if entry.backup_id in standings and _same(Level.YEAR, entry.snapshot_time, taken)
    ]
    if all(standings[entry.backup_id].level is not Level.YEAR for entry in of_year):
        return ()
    roomy = [e for e in of_year if standings[e.backup_id].ancestors <= most_ancestors]
    bases = {
        level: tuple(
            entry
            for entry in roomy
            if standings[entry.backup_id].level < level
            and _same(Level(level - 1), entry.snapshot_time, taken)
        )
        for level in (Level.MOMENT, Level.DAY, Level.MONTH)
    }
    found = [Place(level, entries) for level, entries in bases.items() if entries]
    return (*found, Place(Level.MOMENT, tuple(roomy))) if roomy else ()


def period(level: Level, time: datetime) -> str:
    """The year, month or day (UTC) of a time, as people write it: 2026, 2026-11, 2026-11-21."""
    return time.astimezone(UTC).date().isoformat()[: len("2026-11-21") - 3 * (Level.DAY - level)]


@dataclass(frozen=True, slots=True)
class _Standing:
    level: Level
    ancestors: int


def _standings(head: Head) -> dict[BackupId, _Standing]:
    """What each live backup begins; those without a complete chain are left out."""
    entries = {entry.backup_id: entry for entry in head.backups}
    found: dict[BackupId, _Standing] = {}
    # A parent always has a lower sequence than its child: it was live when that was added.
    for entry in sorted(head.backups, key=lambda entry: entry.sequence):
        if entry.parent is None:
            found[entry.backup_id] = _Standing(Level.YEAR, 0)
        elif entry.parent in found:
            ancestors = found[entry.parent].ancestors + 1
            begun = _begun(entries[entry.parent].snapshot_time, entry.snapshot_time)
            level = max(begun, Level(min(ancestors, Level.MOMENT)))
            found[entry.backup_id] = _Standing(level, ancestors)
    return found


def _begun(parent: datetime, child: datetime) -> Level:
    """The largest period that the one lies in and the other does not."""
    periods = (Level.YEAR, Level.MONTH, Level.DAY)
    return next((level for level in periods if not _same(level, parent, child)), Level.MOMENT)


def _same(level: Level, one: datetime, other: datetime) -> bool:
    return _parts(one)[: level + 1] == _parts(other)[: level + 1]


def _parts(time: datetime) -> tuple[int, int, int]:
    utc = time.astimezone(UTC)
    return utc.year, utc.month, utc.day
