"""Guarantee 5: what a journal says is reused only after the raw bytes were compared with it."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from btrfs_to_s3.model.backup import StreamIdentity
from btrfs_to_s3.model.identity import BackupId, Kind
from btrfs_to_s3.model.subvolume import SendOptions
from btrfs_to_s3.operations.backup.transfer import SendAgainError
from btrfs_to_s3.operations.backup.upload import Upload, UploadTarget
from btrfs_to_s3.operations.backup.upload_journal import UploadBegin
from tests.operations.repositories import CHUNK_SIZE_BYTES, SETTINGS
from tests.operations.streams import BytesSend, stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from btrfs_to_s3.operations.backup.upload_journal import KnownChunk
    from btrfs_to_s3.stream.commands import StreamFacts
    from tests.operations.repositories import SyntheticRepository

IDENTITY = StreamIdentity(UUID("11111111-2222-4333-8444-555555555555"), 7)
CONTENT = os.urandom(4 * CHUNK_SIZE_BYTES)
CHANGED = CONTENT[: CHUNK_SIZE_BYTES + 5000] + b"!" + CONTENT[CHUNK_SIZE_BYTES + 5001 :]


def send(
    repository: SyntheticRepository, content: bytes, known: Mapping[int, KnownChunk]
) -> tuple[StreamFacts, int]:
    """One pass of a stream with this content; its facts and the raw bytes that were reused."""
    backup_id = BackupId.of(repository.clock(), Kind.FULL, IDENTITY.uuid)
    attempt = secrets.token_hex(4)
    upload = Upload(
        UploadTarget(repository.access.repository_id, repository.source_id, backup_id, attempt),
        SETTINGS,
        repository.store,
        repository.journal,
        known,
        repository.listener,
        repository.cancel,
    )
    facts = upload.run(BytesSend(stream(IDENTITY, "snap", content)))
    return facts, upload.reused_bytes


def known_chunks(repository: SyntheticRepository) -> dict[int, KnownChunk]:
    found = repository.journal.read()
    assert found is not None
    return found.chunks


@pytest.fixture
def begun(repository: SyntheticRepository) -> SyntheticRepository:
    """A repository with all chunks of ``CONTENT`` stored, and nothing committed."""
    repository.journal.begin(
        UploadBegin(
            backup_id=BackupId.of(repository.clock(), Kind.FULL, IDENTITY.uuid),
            parent=None,
            snapshot_uuid=IDENTITY.uuid,
            snapshot_ctransid=IDENTITY.transid,
            parent_uuid=None,
            chunk_size_bytes=CHUNK_SIZE_BYTES,
            options=SendOptions(protocol=1, compressed_data=False),
            started=repository.clock(),
        )
    )
    send(repository, CONTENT, {})
    return repository


def test_the_same_stream_is_reused_whole(begun: SyntheticRepository) -> None:
    before = known_chunks(begun)

    facts, reused = send(begun, CONTENT, before)

    assert reused == facts.size_bytes
    assert known_chunks(begun) == before


def test_a_stream_that_differs_stops_the_reuse_at_the_first_chunk_that_does(
    begun: SyntheticRepository,
) -> None:
    before = known_chunks(begun)

    with pytest.raises(SendAgainError, match="chunk 1"):
        send(begun, CHANGED, before)
    left = known_chunks(begun)
    facts, reused = send(begun, CHANGED, left)

    assert list(left) == [0]
    assert reused == CHUNK_SIZE_BYTES
    records = list(begun.journal.records_in_order())
    assert sum(record.raw_size_bytes for record in records) == facts.size_bytes
    assert records[0].key == before[0].key
    assert records[1].key != before[1].key


def test_chunks_behind_the_end_of_a_shorter_stream_are_forgotten(
    begun: SyntheticRepository,
) -> None:
    shorter = CONTENT[: 2 * CHUNK_SIZE_BYTES]
    known = {number: known_chunks(begun)[number] for number in (0, 3)}

    facts, _ = send(begun, shorter, known)

    records = list(begun.journal.records_in_order())
    assert sum(record.raw_size_bytes for record in records) == facts.size_bytes


def test_a_chunk_of_another_size_is_not_reused(begun: SyntheticRepository) -> None:
    known = known_chunks(begun)
    known[1] = replace(known[1], raw_size_bytes=known[1].raw_size_bytes - 1)

    with pytest.raises(SendAgainError, match="chunk 1"):
        send(begun, CONTENT, known)
