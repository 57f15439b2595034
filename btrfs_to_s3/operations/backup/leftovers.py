"""What an unfinished upload left: its chunks, its multipart uploads, its snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.format import keys
from btrfs_to_s3.operations.backup.snapshot_names import is_named_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from uuid import UUID

    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.operations.backup.upload_journal import (
        KnownChunk,
        OpenUpload,
        UploadJournal,
    )
    from btrfs_to_s3.plan.backup.facts import BackupFacts
    from btrfs_to_s3.ports import ObjectStore, Volume


def present_chunks(
    store: ObjectStore, source_id: SourceId, backup_id: BackupId
) -> dict[str, tuple[int, str]]:
    """Size in bytes and ETag of each of a backup's chunk objects, by key."""
    return {
        listed.key: (listed.size_bytes, listed.etag)
        for listed in store.list(keys.chunks(source_id, backup_id))
    }


def surviving(
    store: ObjectStore, source_id: SourceId, upload: OpenUpload
) -> tuple[dict[int, KnownChunk], bytes | None]:
    """What an unfinished upload stored and is there unchanged, by chunk number.

    And the manifest that was about to be written, if none of its chunks is missing.
    """
    if not upload.chunks:
        return {}, upload.sealed
    present = present_chunks(store, source_id, upload.begin.backup_id)
    known = {
        number: chunk
        for number, chunk in upload.chunks.items()
        if present.get(chunk.key) == (chunk.stored_size_bytes, chunk.etag)
    }
    return known, upload.sealed if len(known) == len(upload.chunks) else None


def abort_uploads(store: ObjectStore, uploads: Iterable[tuple[str, str]]) -> None:
    """Abort multipart uploads named by a journal; those that are finished or gone are no error."""
    for key, upload_id in uploads:
        store.abort_upload(key, upload_id)


def give_up_upload(
    store: ObjectStore,
    volume: Volume,
    journal: UploadJournal,
    source_id: SourceId,
    facts: BackupFacts,
    *,
    needed: Callable[[UUID], bool] = lambda _: False,
) -> None:
    """Forget an open upload: its multipart uploads, its snapshot if only it needed it, its journal.

    Chunks it stored stay behind as orphans for prune: they are removed when they are old enough.
    ``needed`` tells of a snapshot whether another repository needs it.
    """
    upload = journal.read()
    if upload is None:
        return
    abort_uploads(store, upload.uploads)
    backups = () if facts.head is None else facts.head.backups
    snapshot_uuid = upload.begin.snapshot_uuid
    stored = any(entry.snapshot_uuid == snapshot_uuid for entry in backups)
    if not stored and not needed(snapshot_uuid):
        for local in facts.subvolumes:
            ours = is_named_for(source_id, local) and volume.in_snapshot_directory(local)
            if local.uuid == snapshot_uuid and ours:
                volume.delete(local)
    journal.remove()
