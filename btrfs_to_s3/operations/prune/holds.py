"""Holding backups and releasing them, by notes that every prune looks at (docs/format.md §6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import (
    ConditionFailedError,
    IntegrityError,
    MissingObjectError,
    RaceLostError,
    UsageError,
)
from btrfs_to_s3.format import keys
from btrfs_to_s3.format.records import (
    HOLD_REASON_LIMIT,
    RECORD_LIMIT_BYTES,
    decode_hold_note,
    encode_hold_note,
)
from btrfs_to_s3.model.hold import HoldAction, HoldNote
from btrfs_to_s3.operations.repository.listing import find_backup, list_backups
from btrfs_to_s3.operations.repository.metadata import create_metadata
from btrfs_to_s3.plan.retention.holds import held, next_note_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from btrfs_to_s3.model.backup import HeadEntry
    from btrfs_to_s3.model.hold import NoteKey
    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.operations.repository.listing import Listing
    from btrfs_to_s3.operations.services import Services

_TRIES = 10


@dataclass(frozen=True, slots=True)
class Hold:
    """A held backup. ``reason`` and ``writer`` are None where the note's body cannot be read."""

    source_id: SourceId
    backup_id: BackupId
    since: datetime
    reason: str | None
    writer: str | None


@dataclass(frozen=True, slots=True)
class HoldChange:
    """What ``add`` or ``remove`` left; ``changed`` is False where nothing had to be written."""

    source_id: SourceId
    entry: HeadEntry
    time: datetime
    reason: str | None
    changed: bool


@dataclass(frozen=True, slots=True)
class HoldListing:
    """The holds of the sources that could be read, and those sources' listing."""

    holds: tuple[Hold, ...]
    listing: Listing


def held_backups(services: Services, source_id: SourceId) -> dict[BackupId, NoteKey]:
    """The backups of a source that are held, live or not, from one LIST."""
    return held(_notes(services, source_id))


def add_hold(services: Services, text: str, reason: str | None) -> HoldChange:
    """Hold the backup that ``SOURCE[@WHEN]`` names, so that no prune anywhere removes it.

    One that is held already is left so, unless there is a reason to note. ``RaceLostError`` when
    it is not live any more once the note is written: then it may not be relied on.
    """
    if reason is not None and len(reason) > HOLD_REASON_LIMIT:
        raise UsageError(f"a reason has at most {HOLD_REASON_LIMIT} characters")
    head, entry = find_backup(services, text)
    source_id, backup_id = head.source_id, entry.backup_id
    before = held(_notes(services, source_id, backup_id)).get(backup_id)
    if before is not None and reason is None:
        time = before.time
    else:
        time = _write(services, source_id, backup_id, HoldAction.HOLD, reason)
    _require_live(services, source_id, backup_id)
    written = before is None or reason is not None
    return HoldChange(source_id, entry, time, reason, changed=written)


def remove_hold(services: Services, text: str) -> HoldChange:
    """Release the backup that ``SOURCE[@WHEN]`` names; ``UsageError`` when it is not held."""
    head, entry = find_backup(services, text)
    source_id, backup_id = head.source_id, entry.backup_id
    all_held = held_backups(services, source_id)
    if backup_id not in all_held:
        others = [each for each in sorted(all_held) if head.find(each) is not None]
        named = ", ".join(f"{source_id}@{each}" for each in others)
        raise UsageError(
            f"{source_id}@{backup_id} is not held",
            hint=f"held are: {named}" if named else "no backup of this source is held",
        )
    time = _write(services, source_id, backup_id, HoldAction.RELEASE, None)
    return HoldChange(source_id, entry, time, None, changed=True)


def list_holds(services: Services, source: str | None) -> HoldListing:
    """The live backups that are held, of all sources or of one, with the reasons."""
    listing = list_backups(services, source)
    holds = [
        read_hold(services, head.source_id, note)
        for head in listing.heads
        for backup_id, note in sorted(held_backups(services, head.source_id).items())
        if head.find(backup_id) is not None
    ]
    return HoldListing(tuple(holds), listing)


def read_hold(services: Services, source_id: SourceId, note: NoteKey) -> Hold:
    """A hold with what its note's body says."""
    key = keys.note(source_id, note.backup_id, note.time, note.what)
    reason = writer = None
    try:
        data, _ = services.access.store.get_whole(key, limit_bytes=RECORD_LIMIT_BYTES)
        body = decode_hold_note(data, key)
        reason, writer = body.reason, body.writer
    except (IntegrityError, MissingObjectError) as error:
        services.reporter.warn(f"the reason of a hold cannot be read: {error.message}")
    return Hold(source_id, note.backup_id, note.time, reason, writer)


def _notes(
    services: Services, source_id: SourceId, backup_id: BackupId | None = None
) -> Iterator[NoteKey]:
    for listed in services.access.store.list(keys.notes(source_id, backup_id)):
        note = keys.note_of(listed.key)
        if note is not None:
            yield note


def _write(
    services: Services,
    source_id: SourceId,
    backup_id: BackupId,
    action: HoldAction,
    reason: str | None,
) -> datetime:
    """Write a note behind all that the backup has; the time it got."""
    for _ in range(_TRIES):
        present = _notes(services, source_id, backup_id)
        time = next_note_time(services.clock(), present)
        writer = services.access.host.writer
        data = encode_hold_note(HoldNote(source_id, backup_id, action, time, writer, reason))
        try:
            key = keys.note(source_id, backup_id, time, action)
            create_metadata(services.access.store, key, data)
        except ConditionFailedError:
            continue
        return time
    raise RaceLostError(
        f"others kept writing notes about {backup_id}: this one was not written",
        hint="run the command again",
    )


def _require_live(services: Services, source_id: SourceId, backup_id: BackupId) -> None:
    head = services.access.head(source_id)
    if head is None or head.find(backup_id) is None:
        raise RaceLostError(
            f"{source_id}@{backup_id} is not live any more: it was removed before it was held",
            hint="a prune that has not deleted anything of it yet puts it back: "
            f"'btrfs-to-s3 hold list {source_id}' shows it then; do not rely on it before",
        )
