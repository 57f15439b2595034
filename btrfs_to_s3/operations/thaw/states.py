"""The state of every chunk of a backup: from LIST pages, by HEADs only where those do not tell.

Only what the index names counts. A service that freezes nothing although it has a class of that
name (Ceph) is found out by reading one byte; one whose listings say nothing of thaws, by one HEAD.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.errors import AccessDeniedError, MissingObjectError, NotReadableYetError
from btrfs_to_s3.format import keys
from btrfs_to_s3.operations.repository.index import StoredIndex
from btrfs_to_s3.plan.chain import chain_of, check_links
from btrfs_to_s3.plan.restore.thaw_state import (
    ChunkThaw,
    Tally,
    ThawState,
    by_head,
    by_listing,
    joined,
    may_be_archived,
)
from btrfs_to_s3.stream.pump import in_parallel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from btrfs_to_s3.model.backup import ChunkRecord, Head, HeadEntry, Manifest
    from btrfs_to_s3.model.objects import ListedObject, ListedVersion
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.plan.restore.thaw_state import LinkThaw

BATCH: Final = 1000
"""Chunks looked at, or asked for, together: as many as a LIST page has."""


@dataclass(frozen=True, slots=True)
class Needed:
    """A backup whose chunks are needed."""

    entry: HeadEntry
    manifest: Manifest


def needed_of_chain(
    services: Services, head: Head, entry: HeadEntry, concurrency: int, *, proven: bool
) -> list[Needed]:
    """A backup's whole chain, oldest first, its links checked by digest.

    ``proven`` reads the manifests from the service, else those known here will do.
    """
    access = services.access
    read = access.manifest if proven else access.known_manifest

    def needed(link: HeadEntry) -> Needed:
        return Needed(link, read(head.source_id, link))

    links = chain_of(head, entry.backup_id)
    chain_ = in_parallel(links, needed, concurrency, services.cancel)
    check_links([(link.manifest, link.entry.manifest_sha256_hex) for link in chain_])
    return chain_


@dataclass(slots=True)
class Learned:
    """What was found out about the service. ``freezes`` is by storage class."""

    lists_thaws: bool | None = None
    may_list: bool = True
    freezes: dict[str, bool] = field(default_factory=dict)


class ThawStates:
    """Looks at one repository's chunks; memory is one batch."""

    def __init__(
        self, services: Services, concurrency: int, learned: Learned | None = None
    ) -> None:
        self._services = services
        self._store = services.access.store.bound(services.cancel)
        self._concurrency = concurrency
        self._learned = learned or Learned()

    def tallies(self, links: Sequence[Needed]) -> list[LinkThaw]:
        """How far each backup is, several of them at a time."""
        alone = ThawStates(self._services, 1, self._learned)
        each = self if len(links) == 1 else alone
        return in_parallel(links, each.tally, self._concurrency, self._services.cancel)

    def tally(self, link: Needed) -> LinkThaw:
        """How far a backup is; ``MissingObjectError`` when a chunk of it is not there."""
        tally = Tally(link.entry.backup_id, link.manifest.raw_size_bytes)
        for batch in self.batches(link):
            for chunk in batch:
                tally.add(chunk)
        return tally.result()

    def batches(self, link: Needed) -> Iterator[list[ChunkThaw]]:
        """The chunks of a backup in order, at most 1000 at a time."""
        with StoredIndex(self._store, self._services.state, link.manifest) as index:
            pairs = joined(index.chunks(), self._listing(link.manifest, index))
            while batch := list(islice(pairs, BATCH)):
                yield self._judged(batch)

    def of_chunk(self, record: ChunkRecord) -> ChunkThaw:
        """One chunk, by a HEAD."""
        headed = self._store.head(record.key, record.version_id)
        if headed is None:
            raise _missing(record)
        return by_head(record, headed, self._services.clock())

    def _listing(
        self, manifest: Manifest, index: StoredIndex
    ) -> Iterable[ListedObject | ListedVersion]:
        if not self._learned.may_list:
            return ()
        prefix = keys.chunks(manifest.source_id, manifest.backup_id)
        kept = any(record.version_id is not None for record in islice(index.chunks(), 1))
        listing: Iterator[ListedObject | ListedVersion]
        listing = self._store.list_versions(prefix) if kept else self._store.list(prefix)
        try:
            first: list[ListedObject | ListedVersion] = list(islice(listing, 1))
        except AccessDeniedError:
            self._learned.may_list = False
            return ()
        return chain(first, listing)

    def _judged(
        self, batch: list[tuple[ChunkRecord, ListedObject | ListedVersion | None]]
    ) -> list[ChunkThaw]:
        if not self._learned.may_list:
            found = self._headed([record for record, _ in batch])
            return self._really_frozen([found[record.key] for record, _ in batch])
        now = self._services.clock()
        chunks: list[ChunkThaw] = []
        unclear: list[ChunkRecord] = []
        for record, listed in batch:
            if listed is None:
                raise _missing(record)
            told = listed.thawing or listed.thawed_until is not None
            if told:
                self._learned.lists_thaws = True
            chunk = by_listing(record, listed, now)
            chunks.append(chunk)
            if may_be_archived(listed, now):
                unclear.append(record)
        frozen = [chunk.record for chunk in chunks if chunk.state is ThawState.FROZEN]
        if frozen and not self._listing_tells(frozen[0]):
            unclear += frozen
        headed = self._headed(unclear)
        return self._really_frozen([headed.get(chunk.record.key, chunk) for chunk in chunks])

    def _listing_tells(self, frozen: ChunkRecord) -> bool:
        """Whether what a listing shows as frozen is; one HEAD until it is known."""
        learned = self._learned
        if learned.lists_thaws is None and self.of_chunk(frozen).state is not ThawState.FROZEN:
            learned.lists_thaws = False
        return learned.lists_thaws is not False

    def _headed(self, records: list[ChunkRecord]) -> dict[str, ChunkThaw]:
        found = in_parallel(records, self.of_chunk, self._concurrency, self._services.cancel)
        return {chunk.record.key: chunk for chunk in found}

    def _really_frozen(self, chunks: list[ChunkThaw]) -> list[ChunkThaw]:
        """A class that only has the name of an archive is read at once."""
        for chunk in chunks:
            unknown = chunk.class_name not in self._learned.freezes
            # A copy that went away a moment ago by this clock may still be there by the service's.
            if chunk.state is ThawState.FROZEN and chunk.until is None and unknown:
                self._learned.freezes[chunk.class_name] = not self._can_be_read(chunk.record)
        if all(self._learned.freezes.values()):
            return chunks
        return [
            replace(chunk, state=ThawState.READABLE)
            if chunk.state is ThawState.FROZEN
            and not self._learned.freezes.get(chunk.class_name, True)
            else chunk
            for chunk in chunks
        ]

    def _can_be_read(self, record: ChunkRecord) -> bool:
        try:
            self._store.get(record.key, offset=0, size_bytes=1, version_id=record.version_id)
        except NotReadableYetError:
            return False
        return True


def _missing(record: ChunkRecord) -> MissingObjectError:
    return MissingObjectError(
        f"{record.key} does not exist, or not in the version that was stored",
        hint="'btrfs-to-s3 verify' says which backups can be restored",
        key=record.key,
    )
