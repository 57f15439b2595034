"""Looking at one source: the facts that the planner decides on. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.model.identity import SourceId
from btrfs_to_s3.operations.backup.upload_journal import OpenUpload, UploadJournal
from btrfs_to_s3.operations.restore.received import ReceivedJournal
from btrfs_to_s3.plan.backup.facts import BackupFacts, OpenJournal
from btrfs_to_s3.plan.backup.source import KnownSource, NewSource, SourceQuery, match_source
from btrfs_to_s3.plan.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.ports import Volume

UPLOADS = "upload"


@dataclass(frozen=True, slots=True)
class Observed:
    """A source as it is now. ``source_id`` is None for one that was never begun.

    ``nested`` are paths, relative to it, of subvolumes inside it that no backup holds.
    """

    facts: BackupFacts
    source_id: SourceId | None
    why: str
    open_upload: OpenUpload | None
    nested: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceWishes:
    """How the person addressed the source."""

    path: Path
    label: str
    adopt: SourceId | None = None
    new: bool = False


def open_upload_journal(services: Services, source_id: SourceId) -> UploadJournal:
    """The journal of a source's upload, which may not exist yet."""
    return UploadJournal(services.state.journal(UPLOADS, str(source_id)), services.clock)


def observe(
    services: Services, volume: Volume, wishes: SourceWishes, heads: Sequence[Head]
) -> Observed:
    """Gather everything about one source; a ``SourceError`` when a person must decide first."""
    host = services.access.host
    # Data still in the page cache shows in no ctransid.
    volume.sync()
    source = volume.subvolume_at(wishes.path)
    subvolumes = tuple(volume.subvolumes())
    match = match_source(
        SourceQuery(
            source=source,
            subvolumes=subvolumes,
            heads=tuple(heads),
            label=wishes.label,
            host_id=host.host_id,
            host_name=host.host_name,
            adopt=wishes.adopt,
            new=wishes.new,
        )
    )
    if isinstance(match, Refusal):
        raise match.as_error()
    known = match.head if isinstance(match, KnownSource) else None
    source_id = known.source_id if known else _begun(services, match, source, subvolumes)
    upload = None if source_id is None else open_upload_journal(services, source_id).read()
    facts = BackupFacts(
        source=source,
        subvolumes=subvolumes,
        head=known,
        received=ReceivedJournal(services.state, volume.fsid).ctransids(),
        journal=_open_journal(source_id, upload),
    )
    return Observed(facts, source_id, match.reason, upload, _unstored(volume, source, heads))


def _unstored(volume: Volume, source: Subvolume, heads: Sequence[Head]) -> tuple[str, ...]:
    """Subvolumes inside the source that are in nobody's backup, by their paths below it."""
    stored = {head.subvolume_uuid for head in heads if head.backups}
    above = f"{source.path}/" if source.path else ""
    return tuple(
        each.path.removeprefix(above) for each in volume.nested(source) if each.uuid not in stored
    )


def _begun(
    services: Services,
    match: KnownSource | NewSource,
    source: Subvolume,
    subvolumes: Sequence[Subvolume],
) -> SourceId | None:
    """The id of a first backup of this source that was begun and never committed."""
    if isinstance(match, KnownSource):
        return match.head.source_id
    ours = {local.uuid for local in subvolumes if local.parent_uuid == source.uuid} | {source.uuid}
    for name in services.state.journals(UPLOADS):
        source_id = SourceId.parse(name)
        upload = open_upload_journal(services, source_id).read()
        if upload is None or upload.begin.snapshot_uuid not in ours:
            continue
        if source_id.label == match.label and upload.begin.parent is None:
            return source_id
    return None


def _open_journal(source_id: SourceId | None, upload: OpenUpload | None) -> OpenJournal | None:
    if source_id is None or upload is None:
        return None
    begin = upload.begin
    return OpenJournal(
        source_id=source_id,
        backup_id=begin.backup_id,
        kind=begin.backup_id.kind,
        parent=begin.parent,
        snapshot_uuid=begin.snapshot_uuid,
        snapshot_ctransid=begin.snapshot_ctransid,
        touched=upload.touched,
    )
