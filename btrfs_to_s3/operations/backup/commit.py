"""From stored chunks to a live backup: index, manifest, head (design, guarantee 1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import (
    ConditionFailedError,
    IntegrityError,
    MissingObjectError,
    RaceLostError,
)
from btrfs_to_s3.format import keys
from btrfs_to_s3.format.index import encode_chunk_record
from btrfs_to_s3.format.manifest import decode_manifest, encode_manifest
from btrfs_to_s3.model.backup import Head, ObjectRef
from btrfs_to_s3.model.objects import Create, Role
from btrfs_to_s3.operations.backup.leftovers import present_chunks
from btrfs_to_s3.operations.repository.pieces import pieces
from btrfs_to_s3.plan.rebuild import entry_of
from btrfs_to_s3.stream.lines import Compressed, compress_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO
    from uuid import UUID

    from btrfs_to_s3.model.backup import HeadEntry, Manifest
    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.operations.backup.upload_journal import UploadJournal
    from btrfs_to_s3.operations.repository.repository import Host, RepositoryAccess
    from btrfs_to_s3.ports import LocalState


@dataclass(frozen=True, slots=True)
class IndexTotals:
    """What an index's lines add up to."""

    chunk_count: int
    raw_size_bytes: int
    stored_size_bytes: int


@dataclass(slots=True)
class _Tally:
    """Adds up lines as they pass, and insists that they follow each other."""

    count: int = 0
    raw: int = 0
    stored: int = 0

    def lines(self, journal: UploadJournal) -> Iterator[bytes]:
        """Encode the journal's records in order."""
        for record in journal.records_in_order():
            if record.number != self.count or record.raw_offset != self.raw:
                raise IntegrityError(f"chunk {record.number} does not follow the one before it")
            self.count += 1
            self.raw += record.raw_size_bytes
            self.stored += record.stored_size_bytes
            yield encode_chunk_record(record)

    def totals(self) -> IndexTotals:
        """The sums so far."""
        return IndexTotals(self.count, self.raw, self.stored)


class Commit:
    """The last steps of one backup. Every step may be repeated after a crash.

    ``host`` is whose backup it is, where another host than that one copies it.
    """

    def __init__(
        self,
        access: RepositoryAccess,
        state: LocalState,
        journal: UploadJournal,
        source_id: SourceId,
        backup_id: BackupId,
        host: Host | None = None,
    ) -> None:
        self._access = access
        self._host = host or access.host
        self._state = state
        self._journal = journal
        self._source_id = source_id
        self._backup_id = backup_id
        self._index_key = keys.index(source_id, backup_id)
        self._manifest_key = keys.manifest(source_id, backup_id)

    def index(self, out: BinaryIO) -> tuple[ObjectRef, IndexTotals]:
        """Write the index into ``out``; how the manifest names it, and what it adds up to."""
        tally = _Tally()
        compressed = compress_lines(tally.lines(self._journal), out)
        return self._ref(compressed), tally.totals()

    def publish(self, manifest: Manifest, index: BinaryIO, subvolume_uuid: UUID) -> None:
        """Seal, then write index, manifest and head; the backup is live when this returns.

        ``RaceLostError`` when the parent is not live any more, or another writer committed a
        backup of the same id.
        """
        data = encode_manifest(manifest)
        self._journal.seal(data)
        index.seek(0)
        self._put(manifest.index, index)
        self._publish_manifest(manifest, data, subvolume_uuid)

    def require_chunks(self) -> None:
        """``MissingObjectError`` unless every chunk of the index is there right now.

        From LIST pages; the last look before a manifest vouches for them.
        """
        present = present_chunks(self._access.store, self._source_id, self._backup_id)
        for record in self._journal.records_in_order():
            found = present.get(record.key)
            if found != (record.stored_size_bytes, record.etag):
                what = "is not there any more" if found is None else "is another object now"
                raise MissingObjectError(
                    f"{record.key} was uploaded, but {what}",
                    hint="run the backup again; it sends what is missing",
                    key=record.key,
                )

    def republish(self, sealed: bytes, subvolume_uuid: UUID) -> Manifest:
        """Go on after a crash behind ``seal``: nothing has to be sent again."""
        manifest = decode_manifest(sealed, "the sealed manifest")
        with self._state.temporary() as out:
            index, _ = self.index(out)
            if index != manifest.index and not self._is_stored(manifest.index):
                # Another zstd made other bytes, and the sealed index was never written.
                manifest = replace(manifest, index=index)
                self.publish(manifest, out, subvolume_uuid)
                return manifest
            if index == manifest.index:
                out.seek(0)
                self._put(index, out)
        self._publish_manifest(manifest, sealed, subvolume_uuid)
        return manifest

    def _publish_manifest(self, manifest: Manifest, data: bytes, subvolume_uuid: UUID) -> None:
        digest = hashlib.sha256(data)
        self._put(ObjectRef(self._manifest_key, len(data), digest.hexdigest()), data)
        self._access.commit(
            self._source_id,
            lambda present: self._with_backup(
                present, manifest, digest.hexdigest(), subvolume_uuid
            ),
            adding=self._backup_id,
        )
        self._journal.remove()

    def _with_backup(
        self, present: Head | None, manifest: Manifest, sha256_hex: str, subvolume_uuid: UUID
    ) -> Head | None:
        host = self._host
        head = present or Head(
            source_id=self._source_id,
            repository_id=self._access.repository_id,
            sequence=0,
            host_id=host.host_id,
            host_name=host.host_name,
            subvolume_uuid=subvolume_uuid,
            writer=self._access.host.writer,
            written=self._access.clock(),
            backups=(),
        )
        live = head.find(manifest.backup_id)
        if live is not None:
            if live.manifest_sha256_hex == sha256_hex:
                return None
            raise RaceLostError(f"{head.writer} committed {manifest.backup_id} first")
        if manifest.parent is not None:
            _require_parent(head, manifest, head.find(manifest.parent))
        entry = entry_of(manifest, sha256_hex, head.sequence + 1)
        return replace(
            head,
            host_id=host.host_id,
            host_name=host.host_name,
            subvolume_uuid=subvolume_uuid,
            backups=(*head.backups, entry),
        )

    def _ref(self, compressed: Compressed) -> ObjectRef:
        return ObjectRef(self._index_key, compressed.size_bytes, compressed.sha256.hex())

    def _put(self, ref: ObjectRef, body: bytes | BinaryIO) -> None:
        try:
            self._access.store.put(
                ref.key,
                body,
                sha256=bytes.fromhex(ref.sha256_hex),
                role=Role.METADATA,
                condition=Create.ONLY_NEW,
            )
        except ConditionFailedError as error:
            if self._is_stored(ref):
                return
            raise RaceLostError(
                f"{ref.key} exists already, with other content: an earlier, unfinished backup of "
                "this snapshot left it",
                hint="back up a new snapshot; 'btrfs-to-s3 prune' removes the leftover once it is "
                "older than orphan_age",
                key=ref.key,
            ) from error

    def _is_stored(self, ref: ObjectRef) -> bool:
        """Whether exactly these bytes are there, from an earlier try of ours."""
        state = self._access.store.head(ref.key)
        if state is None or state.size_bytes != ref.size_bytes:
            return False
        if state.sha256_hex is not None:
            return state.sha256_hex == ref.sha256_hex
        digest = hashlib.sha256()
        for piece in pieces(self._access.store, ref):
            digest.update(piece)
        return digest.hexdigest() == ref.sha256_hex


def _require_parent(head: Head, manifest: Manifest, parent: HeadEntry | None) -> None:
    if parent is None:
        raise RaceLostError(
            f"{head.writer} removed {manifest.parent}, the parent of this backup, on "
            f"{head.written:%Y-%m-%d %H:%M:%SZ}",
            hint="run the backup again; it will choose another parent",
        )
    if parent.manifest_sha256_hex != manifest.parent_manifest_sha256_hex:
        raise RaceLostError(f"{head.writer} replaced {manifest.parent}, the parent of this backup")
