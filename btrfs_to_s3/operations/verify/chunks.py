"""Whether every chunk that an index names is there, from LIST pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError, NotReadableYetError
from btrfs_to_s3.format import keys
from btrfs_to_s3.operations.repository.index import StoredIndex
from btrfs_to_s3.operations.verify.records import problem_of
from btrfs_to_s3.operations.verify.report import Problem, Raw

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import ChunkRecord, Manifest
    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.model.objects import ListedObject
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.operations.verify.report import Counts, Findings


class ChunkPresence:
    """Walks one listing of a source's chunks beside the indexes of its backups.

    Both are in key order, so nothing is held but a page and a line: ``check`` must be called in
    the order of the backups' ids as text, then ``finish`` once. A chunk that the listing does not
    show as recorded is asked for by a HEAD before it becomes a finding.
    """

    def __init__(
        self, services: Services, source_id: SourceId, found: Findings, counts: Counts
    ) -> None:
        self._store = services.access.store.bound(services.cancel)
        self._state = services.state
        self._source_id = source_id
        self._found = found
        self._counts = counts
        self._listing = iter(self._store.list(f"{keys.CHUNKS}{source_id}/"))
        self._next = next(self._listing, None)

    def check(self, backup_id: BackupId, manifest: Manifest | None) -> None:
        """Compare one backup's chunks; without its manifest they can only be passed over."""
        prefix = keys.chunks(self._source_id, backup_id)
        self._pass(prefix)
        if manifest is not None and self._check_index(manifest):
            return
        while self._next is not None and self._next.key.startswith(prefix):
            self._advance()

    def finish(self) -> None:
        """Count what lies behind the last chunk that an index names."""
        while self._next is not None:
            self._counts.surplus(self._next.size_bytes)
            self._advance()

    def _check_index(self, manifest: Manifest) -> bool:
        try:
            with StoredIndex(self._store, self._state, manifest) as index:
                self._counts.objects += 1
                for record in index.chunks():
                    self._compare(manifest.backup_id, record)
        except (IntegrityError, NotReadableYetError) as error:
            key = manifest.index.key
            problem = problem_of(error, Problem.INDEX)
            self._found.add(Raw(problem, manifest.backup_id, key, error.message))
            return False
        return True

    def _compare(self, backup_id: BackupId, record: ChunkRecord) -> None:
        self._counts.objects += 1
        listed = self._take(record.key)
        recorded = (record.stored_size_bytes, record.etag)
        if listed is not None and (listed.size_bytes, listed.etag) == recorded:
            return
        if self._found.full(backup_id):
            message = f"{record.key} is not listed as recorded"
            self._found.add(Raw(Problem.CHUNK_MISSING, backup_id, record.key, message))
            return
        state = self._store.head(record.key, record.version_id)
        if state is None:
            message = f"{record.key} is missing"
            self._found.add(Raw(Problem.CHUNK_MISSING, backup_id, record.key, message))
        elif (state.size_bytes, state.etag) != recorded:
            message = (
                f"{record.key} was replaced: it has {state.size_bytes} bytes and ETag "
                f"{state.etag}, recorded are {record.stored_size_bytes} and {record.etag}"
            )
            self._found.add(Raw(Problem.CHUNK_REPLACED, backup_id, record.key, message))
        elif record.version_id is not None:
            self._hidden(backup_id, record)

    def _hidden(self, backup_id: BackupId, record: ChunkRecord) -> None:
        self._found.add(
            Raw(
                Problem.CHUNK_HIDDEN,
                backup_id,
                record.key,
                f"{record.key} was deleted or replaced; its recorded version is still there",
                "delete the newer version or delete marker before a lifecycle rule removes "
                f"version {record.version_id}; this backup can still be restored",
            )
        )

    def _take(self, key: str) -> ListedObject | None:
        self._pass(key)
        if self._next is None or self._next.key != key:
            return None
        found = self._next
        self._advance()
        return found

    def _pass(self, key: str) -> None:
        """Skip, and count as surplus, what no index names."""
        while self._next is not None and self._next.key < key:
            self._counts.surplus(self._next.size_bytes)
            self._advance()

    def _advance(self) -> None:
        self._next = next(self._listing, None)
