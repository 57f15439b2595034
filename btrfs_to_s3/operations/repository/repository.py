"""One repository: its record, its sources' heads, and the one write that commits."""

from __future__ import annotations

import secrets
from copy import copy
from dataclasses import dataclass, replace
from hashlib import sha256
from operator import itemgetter
from typing import TYPE_CHECKING

from btrfs_to_s3 import __version__
from btrfs_to_s3.errors import (
    ConditionFailedError,
    IntegrityError,
    MissingObjectError,
    RaceLostError,
    UsageError,
)
from btrfs_to_s3.format import keys
from btrfs_to_s3.format.manifest import (
    HEAD_LIMIT_BYTES,
    decode_head,
    decode_manifest,
    encode_head,
)
from btrfs_to_s3.format.records import (
    RECORD_LIMIT_BYTES,
    decode_repository,
    decode_source,
    encode_repository,
    encode_source,
)
from btrfs_to_s3.model.backup import Repository
from btrfs_to_s3.model.objects import Create, Replace, Role
from btrfs_to_s3.operations.repository.head_cache import HeadCache
from btrfs_to_s3.operations.repository.intact import read_intact
from btrfs_to_s3.operations.repository.metadata import create_metadata, read_metadata
from btrfs_to_s3.plan.rebuild import rebuild_head

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from btrfs_to_s3.model.backup import Head, HeadEntry, Manifest, SourceRecord
    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.ports import LocalState, ObjectStore, Reporter

PROGRAM = f"btrfs-to-s3 {__version__}"
_COMMIT_TRIES = 10
_MANIFEST_CACHE = "manifest"


@dataclass(frozen=True, slots=True)
class Host:
    """Who writes: the machine, and the process for messages about races."""

    host_id: str
    host_name: str
    process: str

    @property
    def writer(self) -> str:
        """How a head names its writer."""
        return f"{self.host_name} {self.process}"


@dataclass(frozen=True, slots=True)
class _LoadedHead:
    """A head and the ETag to replace it by; ``etag`` is None when it must be created."""

    head: Head | None
    etag: str | None


@dataclass(frozen=True, slots=True)
class ListedSource:
    """A source as listings show it; ``head_etag`` is None where its head is lost."""

    source_id: SourceId
    head_etag: str | None


@dataclass(slots=True)
class _Opened:
    """What ``open`` or ``create`` read; one for all views of a repository."""

    repository: Repository | None = None


class RepositoryAccess:
    """Reads and commits the records of one repository. Local caches may vanish at any time."""

    def __init__(
        self,
        store: ObjectStore,
        state: LocalState,
        host: Host,
        reporter: Reporter,
        clock: Callable[[], datetime],
    ) -> None:
        self.store = store
        self.host = host
        self.clock = clock
        self._state = state
        self._reporter = reporter
        self._opened = _Opened()
        self._lost: set[SourceId] = set()
        self._decoded: dict[SourceId, tuple[bytes, Head]] = {}

    def using(self, store: ObjectStore) -> RepositoryAccess:
        """The same repository, opened once for all, through another view of its store."""
        view = copy(self)
        view.store = store
        return view

    @property
    def repository_id(self) -> str:
        """The repository's id; only after ``open`` or ``create``."""
        if self._opened.repository is None:
            raise AssertionError("the repository was not opened")
        return self._opened.repository.repository_id

    @property
    def _cache(self) -> HeadCache:
        return HeadCache(self._state, self.repository_id)

    def open(self) -> bytes:
        """Read ``repository.json`` and return its bytes.

        ``UsageError`` when there is none, or it needs what this program cannot do.
        """
        data = self._read_repository()
        if data is None:
            raise UsageError(
                f"there is no repository at {self.store.url}",
                hint="the first backup creates it; otherwise check bucket and prefix",
                absent=True,
            )
        return data

    def create(self) -> bytes:
        """Read ``repository.json``, creating it when there is none; its bytes."""
        data = self._read_repository()
        if data is None:
            fresh = encode_repository(Repository(secrets.token_hex(16), self.clock(), PROGRAM))
            try:
                create_metadata(self.store, keys.REPOSITORY, fresh)
            except ConditionFailedError:
                self._reporter.note("another host created the repository at the same moment")
            data = self.open()
        return data

    def _read_repository(self) -> bytes | None:
        try:
            data, _ = read_metadata(self.store, keys.REPOSITORY, limit_bytes=RECORD_LIMIT_BYTES)
        except MissingObjectError:
            return None
        repository = decode_repository(data)
        if repository.encryption != "none":
            raise UsageError(
                f"the repository at {self.store.url} is encrypted ({repository.encryption}), "
                "which this version cannot read",
                hint="update btrfs-to-s3",
            )
        self._opened.repository = repository
        return data

    # Sources and heads

    def source_ids(self) -> list[SourceId]:
        """Every source that has a head or, its head being lost, a record."""
        return [listed.source_id for listed in self.listed_sources()]

    def listed_sources(self) -> list[ListedSource]:
        """The same, each with what the listing tells of its head."""
        found: dict[SourceId, str | None] = {}
        for listed in self.store.list(keys.SOURCES):
            source_id = keys.source_of_record(listed.key)
            if source_id is not None:
                found[source_id] = None
        for listed in self.store.list(keys.HEADS):
            source_id = keys.source_of_head(listed.key)
            if source_id is not None:
                found[source_id] = listed.etag
        return [ListedSource(*each) for each in sorted(found.items(), key=itemgetter(0))]

    def heads(self) -> list[Head]:
        """The heads of all sources that have at least one backup."""
        loaded = (self.listed_head(listed) for listed in self.listed_sources())
        return [head for head in loaded if head is not None]

    def head(self, source_id: SourceId) -> Head | None:
        """The source's head, rebuilt from the manifests (with a warning) when it is lost.

        None when the source has never committed a backup. ``IntegrityError`` when it is older
        than one this machine has seen, or damaged.
        """
        return self._load(source_id).head

    def listed_head(self, listed: ListedSource) -> Head | None:
        """``head``, without asking for one that this machine has as it was just listed."""
        if listed.head_etag is not None:
            cached = self._cache.recall(listed.source_id, listed.head_etag)
            if cached is not None:
                return cached
        return self.head(listed.source_id)

    def source_record(self, source_id: SourceId) -> SourceRecord:
        """The source's record."""
        key = keys.source(source_id)
        data, _ = read_metadata(self.store, key, limit_bytes=RECORD_LIMIT_BYTES)
        return decode_source(data, key)

    def create_source(self, record: SourceRecord) -> None:
        """Write a new source's record."""
        create_metadata(self.store, keys.source(record.source_id), encode_source(record))

    def commit(
        self,
        source_id: SourceId,
        change: Callable[[Head | None], Head | None],
        adding: BackupId | None = None,
    ) -> Head | None:
        """Replace the head by what ``change`` makes of the present one; the commit itself.

        ``change`` gets the newest head (None for the first), may raise ``RaceLostError``, and
        returns None when there is nothing to write. It is called again with a fresh head each time
        another writer was first. The sequence, writer and time are filled in here. ``adding`` is
        the backup whose manifest was just written and which no head can list yet.
        """
        winner = ""
        for _ in range(_COMMIT_TRIES):
            loaded = self._load(source_id, without=adding)
            wanted = change(loaded.head)
            if wanted is None:
                return loaded.head
            sequence = 1 if loaded.head is None else loaded.head.sequence + 1
            head = replace(wanted, sequence=sequence, writer=self.host.writer, written=self.clock())
            condition = Create.ONLY_NEW if loaded.etag is None else Replace(loaded.etag)
            data = encode_head(head)
            try:
                stored = self.store.put(
                    keys.head(source_id),
                    data,
                    sha256=sha256(data).digest(),
                    role=Role.METADATA,
                    condition=condition,
                )
            except ConditionFailedError:
                present = self._load(source_id).head
                winner = "another writer" if present is None else present.writer
                self._reporter.note(f"{winner} changed the head of {source_id} first: trying again")
                continue
            self._cache.remember(stored.etag, head)
            return head
        raise RaceLostError(
            f"{winner} kept changing the head of {source_id}: this change was not committed",
            hint="let one host at a time write to a source",
        )

    def keep_rebuilt_heads(self) -> None:
        """Write the heads that were found lost and rebuilt in this run."""
        for source_id in sorted(self._lost):
            self.commit(source_id, lambda head: head)
        self._lost.clear()

    def rebuild(self, source_id: SourceId) -> Head:
        """Replace the head by one rebuilt from the manifests, on a person's demand."""
        rebuilt = self._rebuilt(source_id)
        if rebuilt is None:
            raise MissingObjectError(f"no manifest of {source_id} is left to rebuild a head from")
        key = keys.head(source_id)
        state = self.store.head(key)
        data = encode_head(rebuilt)
        stored = self.store.put(
            key,
            data,
            sha256=sha256(data).digest(),
            role=Role.METADATA,
            condition=Create.ONLY_NEW if state is None else Replace(state.etag),
        )
        self._cache.remember(stored.etag, rebuilt)
        return rebuilt

    # Manifests

    def manifest(self, source_id: SourceId, entry: HeadEntry) -> Manifest:
        """A live backup's manifest, checked against the digest in the head."""
        key = keys.manifest(source_id, entry.backup_id)
        return decode_manifest(read_intact(lambda: self._manifest(key, entry)), key)

    def known_manifest(self, source_id: SourceId, entry: HeadEntry) -> Manifest:
        """The same out of the local cache, if it is there: not proof that it is still stored."""
        key = keys.manifest(source_id, entry.backup_id)
        data = self._state.recall(_MANIFEST_CACHE, entry.manifest_sha256_hex)
        if data is None or sha256(data).hexdigest() != entry.manifest_sha256_hex:
            data = read_intact(lambda: self._manifest(key, entry))
            self._state.remember(_MANIFEST_CACHE, entry.manifest_sha256_hex, data)
        return decode_manifest(data, key)

    def _manifest(self, key: str, entry: HeadEntry) -> bytes:
        try:
            data, _ = read_metadata(self.store, key, limit_bytes=RECORD_LIMIT_BYTES)
        except MissingObjectError as error:
            raise MissingObjectError(
                f"the manifest of {entry.backup_id} is missing ({key})",
                hint="this backup and those built on it cannot be restored; restore an older one",
                key=key,
            ) from error
        if sha256(data).hexdigest() != entry.manifest_sha256_hex:
            raise IntegrityError(
                f"{key} is not the manifest that was committed (the head has another SHA-256)",
                hint="someone changed it; on a versioned bucket restore its older version",
                key=key,
            )
        return data

    # Inside

    def _load(self, source_id: SourceId, without: BackupId | None = None) -> _LoadedHead:
        key = keys.head(source_id)
        # Before the head is read: another process here may see a newer one meanwhile.
        seen = self._cache.seen_sequence(source_id)
        try:
            data, etag = read_metadata(self.store, key, limit_bytes=HEAD_LIMIT_BYTES)
        except MissingObjectError:
            rebuilt = self._rebuilt(source_id, without)
            if rebuilt is None and seen:
                raise IntegrityError(
                    f"the head of {source_id} and all its manifests are gone, although this "
                    "machine has seen backups of it",
                    hint="on a versioned bucket restore the deleted objects; "
                    "'btrfs-to-s3 backup --new' starts over as a new source",
                    key=key,
                ) from None
            if rebuilt is not None and source_id not in self._lost:
                self._lost.add(source_id)
                self._reporter.warn(
                    f"the head of {source_id} is lost: "
                    f"rebuilt from {len(rebuilt.backups)} manifests"
                )
            return _LoadedHead(rebuilt, None)
        head = self._decode(source_id, data)
        if head.source_id != source_id or head.repository_id != self.repository_id:
            raise IntegrityError(
                f"{key} is the head of {head.source_id} in repository {head.repository_id}",
                hint="it was copied from elsewhere; put the right object back or delete it, "
                "so that it is rebuilt from the manifests",
                key=key,
            )
        if head.sequence < seen:
            raise IntegrityError(
                f"the head of {source_id} was rolled back: it has sequence {head.sequence}, this "
                f"machine has seen {seen}",
                hint=f"find out who did it; 'btrfs-to-s3 verify {source_id} --rebuild-head' lists "
                "again every backup whose manifests are still there",
                key=key,
            )
        self._cache.remember(etag, head)
        return _LoadedHead(head, etag)

    def _decode(self, source_id: SourceId, data: bytes) -> Head:
        """A head's bytes as a value, made once for as long as they stay the same."""
        digest = sha256(data).digest()
        known = self._decoded.get(source_id)
        if known is None or known[0] != digest:
            known = digest, decode_head(data, keys.head(source_id))
            self._decoded[source_id] = known
        return known[1]

    def _rebuilt(self, source_id: SourceId, without: BackupId | None = None) -> Head | None:
        manifests: list[tuple[Manifest, str]] = []
        for listed in self.store.list(f"{keys.MANIFESTS}{source_id}/"):
            data, _ = read_metadata(self.store, listed.key, limit_bytes=RECORD_LIMIT_BYTES)
            try:
                manifest = decode_manifest(data, listed.key)
            except IntegrityError as error:
                self._reporter.warn(f"left out of the rebuilt head: {error}")
                continue
            if manifest.backup_id == without:
                continue
            manifests.append((manifest, sha256(data).hexdigest()))
        if not manifests:
            return None
        result = rebuild_head(
            manifests,
            self.source_record(source_id),
            repository_id=self.repository_id,
            writer=self.host.writer,
            written=self.clock(),
            after_sequence=self._cache.seen_sequence(source_id),
        )
        for line in result.left_out:
            self._reporter.warn(f"left out of the rebuilt head: {line.backup_id}: {line.reason}")
        return result.head
