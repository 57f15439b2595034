"""Copies of a chain: stored bytes, a manifest of their own, and whole chains at every moment."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import (
    AccessDeniedError,
    IntegrityError,
    MissingObjectError,
    RaceLostError,
    UnreachableError,
    UsageError,
)
from btrfs_to_s3.format import keys
from btrfs_to_s3.model.objects import DeleteTarget
from btrfs_to_s3.operations.backup.upload import UploadTarget
from btrfs_to_s3.operations.backup.upload_journal import UploadJournal
from btrfs_to_s3.operations.copy.chunks import ChunkCopies
from btrfs_to_s3.operations.copy.copy import Copy
from btrfs_to_s3.operations.repository.index import StoredIndex
from btrfs_to_s3.operations.restore.download import Download
from tests.operations.repositories import SETTINGS, SyntheticRepository
from tests.operations.stores import ActsOnce, Delegate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from btrfs_to_s3.model.backup import HeadEntry, Manifest
    from btrfs_to_s3.model.objects import (
        Condition,
        CopySource,
        ObjectState,
        Role,
        StoredObject,
        UploadedPart,
    )
    from btrfs_to_s3.operations.copy.copy import CopyResult
    from btrfs_to_s3.ports import Body, ObjectStore
    from tests.operations.conftest import Bucket

MIB = 1024 * 1024


@pytest.fixture
def target_store(bucket: Bucket) -> Iterator[ObjectStore]:
    with bucket.store(prefix="other") as store:
        yield store


@pytest.fixture
def target(target_store: ObjectStore, state_directory: Path) -> SyntheticRepository:
    """An empty repository on the same service, seen from another machine."""
    return SyntheticRepository(target_store, state_directory / "target", host="copier")


def copied(
    origin: SyntheticRepository, target: SyntheticRepository, entry: HeadEntry
) -> CopyResult:
    head = origin.head()
    return Copy(origin.services, target.services, head, entry, 2).run()


def live(target: SyntheticRepository, origin: SyntheticRepository) -> tuple[HeadEntry, ...]:
    head = target.access.head(origin.source_id)
    return () if head is None else head.backups


def download(target: SyntheticRepository, manifest: Manifest, origin: SyntheticRepository) -> bytes:
    """The verified stream of a backup that the target has of the origin's source."""
    found = bytearray()
    with StoredIndex(target.store, target.state, manifest) as index:
        Download(
            manifest,
            index.chunks(),
            target.store,
            target.access.repository_id,
            2,
            target.listener,
            target.cancel,
        ).run(found.extend, lambda: None)
    assert manifest.source_id == origin.source_id
    return bytes(found)


class Outside(Delegate):
    """A service that others may not copy from."""

    def copies_from(self, source: CopySource) -> bool:  # noqa: ARG002 - as the port
        return False


class Refusing(Delegate):
    """A service that refuses to copy, and counts how often it is asked."""

    asked = 0

    def copy(self, key: str, source: CopySource, role: Role) -> ObjectState:  # noqa: ARG002 - as the port
        self.asked += 1
        raise AccessDeniedError("no right to read there")


class Stopping(Delegate):
    """Every write after the first ``writes`` fails, as if the process had been killed."""

    def __init__(self, inner: ObjectStore, writes: int) -> None:
        super().__init__(inner)
        self._left = writes

    def _write(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise UnreachableError("gone")

    def put(
        self, key: str, body: Body, *, sha256: bytes, role: Role, condition: Condition
    ) -> StoredObject:
        self._write()
        return super().put(key, body, sha256=sha256, role=role, condition=condition)

    def copy(self, key: str, source: CopySource, role: Role) -> ObjectState:
        self._write()
        return super().copy(key, source, role)

    def complete_upload(
        self, key: str, upload_id: str, parts: Sequence[UploadedPart], size_bytes: int
    ) -> StoredObject:
        self._write()
        return super().complete_upload(key, upload_id, parts, size_bytes)


@pytest.mark.parametrize("inside", [True, False])
def test_a_copy_is_checked_against_the_repository_it_was_first_made_in(
    repository: SyntheticRepository, target: SyntheticRepository, *, inside: bool
) -> None:
    entry = repository.backup()
    used = target if inside else target.through(Outside(target.store))
    assert copied(repository, used, entry).inside is inside
    [there] = live(target, repository)
    manifest = target.access.manifest(repository.source_id, there)
    assert manifest.origin_repository_id == repository.access.repository_id
    assert there.stream == entry.stream
    original = repository.access.manifest(repository.source_id, entry)
    assert download(target, manifest, repository) == download(repository, original, repository)
    for wrong in (None, "0" * 32):
        with pytest.raises(IntegrityError, match="belongs to another place"):
            download(target, replace(manifest, origin_repository_id=wrong), repository)


def test_a_copy_of_a_copy_names_the_first_repository(
    repository: SyntheticRepository, target: SyntheticRepository, bucket: Bucket, tmp_path: Path
) -> None:
    entry = repository.backup()
    copied(repository, target, entry)
    view = SyntheticRepository(
        target.store, tmp_path, source_id=repository.source_id, host="copier"
    )
    with bucket.store(prefix="third") as store:
        third = SyntheticRepository(store, tmp_path / "third")
        copied(view, third, live(target, repository)[0])
        manifest = third.access.manifest(repository.source_id, live(third, repository)[0])
        assert manifest.origin_repository_id == repository.access.repository_id
        assert download(third, manifest, repository)


@pytest.mark.parametrize("inside", [True, False])
def test_stopped_after_any_write_whole_chains_are_there_and_the_next_run_goes_on(
    repository: SyntheticRepository, bucket: Bucket, state_directory: Path, *, inside: bool
) -> None:
    full = repository.backup(size=100_000)
    newest = repository.backup(full, size=1000)
    for writes in range(100):
        prefix = f"stop-{writes}-{inside}"
        with bucket.store(prefix=prefix) as store:
            target = SyntheticRepository(store, state_directory / prefix, host="copier")
            reached: ObjectStore = target.store if inside else Outside(target.store)
            stopping = target.through(Stopping(reached, writes))
            try:
                copied(repository, stopping, newest)
            except UnreachableError:
                done = False
            else:
                done = True
            for entry in live(target, repository):
                manifest = target.access.manifest(repository.source_id, entry)
                assert download(target, manifest, repository)
            copied(repository, target.through(reached), newest)
            assert [each.stream for each in live(target, repository)] == [
                full.stream,
                newest.stream,
            ]
            for entry in live(target, repository):
                manifest = target.access.manifest(repository.source_id, entry)
                assert download(target, manifest, repository)
            assert not target.state.journals("copy")
        if done:
            break
    assert writes > 7


def test_a_large_chunk_is_copied_in_the_parts_its_index_records(
    repository: SyntheticRepository, target: SyntheticRepository
) -> None:
    settings = replace(SETTINGS, chunk_size_bytes=16 * MIB)
    entry = repository.backup(size=12 * MIB, settings=settings)
    manifest = repository.access.manifest(repository.source_id, entry)
    journal = UploadJournal(target.state.journal("copy", "test"), target.clock)
    place = UploadTarget(
        target.access.repository_id, repository.source_id, entry.backup_id, "0" * 8
    )
    copies = ChunkCopies(
        repository.store,
        target.store,
        place,
        journal,
        2,
        target.listener,
        target.cancel,
        single_copy_limit_bytes=MIB,
    )
    with StoredIndex(repository.store, target.state, manifest) as index:
        [record] = index.chunks()
        copies.run([record], {})
    [stored] = journal.records_in_order()
    assert copies.inside
    assert len(record.part_sha256_hex) == 3
    assert stored.etag.endswith("-3")
    size = record.stored_size_bytes
    assert target.store.get(stored.key, offset=0, size_bytes=size) == repository.store.get(
        record.key, offset=0, size_bytes=size
    )


def test_a_service_that_refuses_is_asked_only_until_it_said_so(
    repository: SyntheticRepository, target: SyntheticRepository
) -> None:
    entry = repository.backup(size=600_000)
    refusing = Refusing(target.store)
    result = copied(repository, target.through(refusing), entry)
    assert result.inside is False
    assert 1 <= refusing.asked <= 2
    assert len(live(target, repository)) == 1


def test_damaged_chunks_are_not_copied_through_this_machine(
    repository: SyntheticRepository, target: SyntheticRepository, bucket: Bucket
) -> None:
    entry = repository.backup()
    key = next(key for key in bucket.listing() if key.startswith("chunks/"))
    data = bucket.read(key)
    bucket.write(key, data[:100] + bytes([data[100] ^ 1]) + data[101:])
    for used in (target, target.through(Outside(target.store))):
        with pytest.raises(IntegrityError, match=r"damaged|not the same"):
            copied(repository, used, entry)
    assert live(target, repository) == ()


def test_a_source_that_went_on_elsewhere_is_not_mixed(
    repository: SyntheticRepository, target: SyntheticRepository, state_directory: Path
) -> None:
    full = repository.backup()
    copied(repository, target, full)
    own = SyntheticRepository(target.store, state_directory / "own", source_id=repository.source_id)
    own.backup(live(target, repository)[0], taken=full.snapshot_time.replace(year=2027))
    newer = repository.backup(full)
    with pytest.raises(RaceLostError, match="diverged"):
        copied(repository, target, newer)
    assert copied(repository, target, full).copied == ()


def test_a_target_that_knows_the_subvolume_by_another_id_keeps_it(
    repository: SyntheticRepository, target: SyntheticRepository
) -> None:
    target.subvolume_uuid = repository.subvolume_uuid
    earlier = target.backup(taken=repository.clock().replace(year=2020))
    entry = repository.backup()
    result = copied(repository, target, entry)
    assert result.source_id == target.source_id
    assert [each.stream for each in target.head().backups] == [earlier.stream, entry.stream]
    assert target.head().subvolume_uuid == repository.subvolume_uuid


def test_a_repository_is_not_copied_to_itself(repository: SyntheticRepository) -> None:
    entry = repository.backup()
    with pytest.raises(UsageError, match="is the one to copy from"):
        copied(repository, repository, entry)


def stopped(
    origin: SyntheticRepository, target: SyntheticRepository, entry: HeadEntry, writes: int
) -> None:
    """A copy that is killed after so many writes."""
    with pytest.raises(UnreachableError):
        copied(origin, target.through(Stopping(target.store, writes)), entry)


@pytest.mark.parametrize("chunk_size_bytes", [SETTINGS.chunk_size_bytes, MIB // 2])
def test_a_copy_that_goes_on_from_another_origin_does_not_mix_the_chunks_of_both(
    repository: SyntheticRepository,
    target: SyntheticRepository,
    bucket: Bucket,
    state_directory: Path,
    chunk_size_bytes: int,
) -> None:
    content = secrets.token_bytes(MIB)
    entry = repository.backup(content=content)
    with bucket.store(prefix="twin") as store:
        twin = SyntheticRepository(store, state_directory / "twin", source_id=repository.source_id)
        other = replace(SETTINGS, chunk_size_bytes=chunk_size_bytes)
        sent = twin.backup(content=content, stream_of=entry, settings=other)
        assert (sent.backup_id, sent.stream) == (entry.backup_id, entry.stream)
        # Repository and source record, then chunks.
        stopped(repository, target, entry, 3)
        assert target.state.journals("copy")

        copied(twin, target, sent)

        [there] = live(target, repository)
        manifest = target.access.manifest(repository.source_id, there)
        stored = twin.access.manifest(repository.source_id, sent)
        assert download(target, manifest, repository) == download(twin, stored, repository)


def chunk_keys(
    target: SyntheticRepository, entry: HeadEntry, source: SyntheticRepository
) -> list[str]:
    """The chunk objects that the target has of a backup."""
    listing = target.store.list(keys.chunks(source.source_id, entry.backup_id))
    return [listed.key for listed in listing]


def test_a_copy_that_lay_idle_does_not_rely_on_what_a_prune_takes_for_orphans(
    repository: SyntheticRepository, target: SyntheticRepository
) -> None:
    entry = repository.backup()
    stopped(repository, target, entry, 3)
    orphans = [DeleteTarget(key) for key in chunk_keys(target, entry, repository)]
    assert orphans
    target.clock.advance(days=8)
    # Another host's prune listed them before this copy went on, and deletes them at its end.
    pruning = ActsOnce(target.store, "indexes/", lambda: target.store.delete(orphans))
    copied(repository, target.through(pruning), entry)
    [there] = live(target, repository)
    manifest = target.access.manifest(repository.source_id, there)
    assert download(target, manifest, repository)


def test_nothing_is_copied_onto_a_chain_that_lost_data_there(
    repository: SyntheticRepository, target: SyntheticRepository
) -> None:
    full = repository.backup()
    newest = repository.backup(full)
    copied(repository, target, full)
    before = live(target, repository)
    target.store.delete([DeleteTarget(chunk_keys(target, full, repository)[0])])
    for entry in (newest, full):
        with pytest.raises(MissingObjectError, match="has lost data"):
            copied(repository, target, entry)
    assert live(target, repository) == before


def test_a_copy_that_loses_data_while_it_is_committed_says_so(
    repository: SyntheticRepository, target: SyntheticRepository
) -> None:
    entry = repository.backup()

    def lose() -> None:
        target.store.delete([DeleteTarget(chunk_keys(target, entry, repository)[0])])

    losing = ActsOnce(target.store, keys.head(repository.source_id), lose)
    with pytest.raises(MissingObjectError, match="has lost data"):
        copied(repository, target.through(losing), entry)
