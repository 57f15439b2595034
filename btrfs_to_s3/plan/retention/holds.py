"""Which backups are held, read off the keys of their notes (docs/format.md §6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.model.hold import HoldAction
from btrfs_to_s3.plan.chain import live_chains

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.hold import NoteKey
    from btrfs_to_s3.model.identity import BackupId

_TICK: Final = timedelta(microseconds=1)


def held(notes: Iterable[NoteKey]) -> dict[BackupId, NoteKey]:
    """The backups that are held, each with the note that says so; other notes are passed over."""
    latest: dict[BackupId, NoteKey] = {}
    for note in notes:
        if note.what not in set(HoldAction):
            continue
        before = latest.get(note.backup_id)
        if before is None or _rank(note) > _rank(before):
            latest[note.backup_id] = note
    return {backup_id: note for backup_id, note in latest.items() if note.what == HoldAction.HOLD}


def pin_reason(note: NoteKey) -> str:
    """Why a held backup stays."""
    return f"it is held since {note.time:%Y-%m-%dT%H:%M:%SZ}"


def with_held(
    head: Head | None, holds: Collection[BackupId], removed: Mapping[BackupId, HeadEntry]
) -> Head | None:
    """The head with those of ``removed`` that are held, and their ancestors, in their old places.

    None when none of them is missing. One with an ancestor that is neither live nor among
    ``removed`` cannot be restored, and is not listed.
    """
    if head is None:
        return None
    live = {entry.backup_id for entry in head.backups}
    back: dict[BackupId, HeadEntry] = {}
    known = set(live)
    for backup_id in removed.keys() & set(holds):
        chain: dict[BackupId, HeadEntry] = {}
        step: BackupId | None = backup_id
        while step is not None and step in removed and step not in known:
            chain[step] = removed[step]
            step = removed[step].parent
        if step is None or step in live or step in back:
            back |= chain
        known |= chain.keys()
    if not back:
        return None
    ordered = sorted((*head.backups, *back.values()), key=lambda entry: entry.sequence)
    longer = replace(head, backups=tuple(ordered))
    live_chains(longer)  # raises rather than list a backup without its chain
    return longer


def next_note_time(now: datetime, notes: Iterable[NoteKey]) -> datetime:
    """The time of a backup's next note: now, or just behind the latest that is there.

    ``IntegrityError`` when that claims to be of the end of time.
    """
    latest = max((note.time for note in notes), default=None)
    if latest is None or latest < now:
        return now
    try:
        return latest + _TICK
    except OverflowError:
        raise IntegrityError(
            f"no note can follow one of {latest.isoformat()}",
            hint="no program writes such a time; delete that object below notes/",
        ) from None


def _rank(note: NoteKey) -> tuple[datetime, bool]:
    return note.time, note.what == HoldAction.HOLD
