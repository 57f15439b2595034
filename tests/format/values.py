"""Arbitrary values of the remote format, for property tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from btrfs_to_s3.model.backup import (
    FRAME_SIZE_BYTES,
    ChunkRecord,
    Head,
    HeadEntry,
    Manifest,
    ObjectRef,
    RequestRecord,
    SnapshotFacts,
    StreamIdentity,
)
from btrfs_to_s3.model.identity import BackupId, Kind, SourceId

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

digests: SearchStrategy[str] = st.binary(min_size=32, max_size=32).map(bytes.hex)
sizes = st.integers(1, 2**50)
times = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)).map(  # noqa: DTZ001 - naive bounds, the zone is added below
    lambda moment: moment.replace(tzinfo=UTC)
)
labels = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=40)
names = words.filter(lambda name: name not in {"", ".", ".."} and "/" not in name)
source_ids = st.builds(SourceId, labels, st.from_regex(r"[0-9a-f]{8}", fullmatch=True))


def backup_ids(kind: Kind) -> SearchStrategy[BackupId]:
    """Ids of one kind."""
    return st.builds(BackupId.of, times, st.just(kind), st.uuids())


@st.composite
def streams(draw: DrawFn, kind: Kind) -> StreamIdentity:
    """What the first command of a stream of this kind says."""
    if kind is Kind.FULL:
        return StreamIdentity(draw(st.uuids()), draw(sizes))
    return StreamIdentity(draw(st.uuids()), draw(sizes), draw(st.uuids()), draw(sizes))


object_refs = st.builds(ObjectRef, words, sizes, digests)


@st.composite
def manifests(draw: DrawFn) -> Manifest:
    """Any manifest."""
    kind = draw(st.sampled_from(Kind))
    incremental = kind is Kind.INCREMENTAL
    return Manifest(
        program=draw(words),
        source_id=draw(source_ids),
        backup_id=draw(backup_ids(kind)),
        kind=kind,
        parent=draw(backup_ids(draw(st.sampled_from(Kind)))) if incremental else None,
        parent_manifest_sha256_hex=draw(digests) if incremental else None,
        snapshot=SnapshotFacts(
            draw(st.none() | names),
            draw(st.uuids()),
            draw(st.none() | st.uuids()),
            draw(st.none() | st.uuids()),
            draw(sizes),
            draw(times),
        ),
        stream=draw(streams(kind)),
        protocol=draw(st.integers(1, 3)),
        compressed_data=draw(st.booleans()),
        kernel=draw(words),
        progs=draw(words),
        raw_size_bytes=draw(sizes),
        stored_size_bytes=draw(sizes),
        chunk_count=draw(sizes),
        chunk_size_bytes=draw(sizes),
        index=draw(object_refs),
        catalog=draw(st.none() | object_refs),
        requests=draw(st.dictionaries(words, sizes, max_size=5)),
        started=draw(times),
        finished=draw(times),
        data_class=draw(words),
        metadata_class=draw(words),
        lock=draw(st.none() | st.dictionaries(words, words, max_size=3)),
        origin_repository_id=draw(st.none() | words),
    )


request_records = st.builds(RequestRecord, st.dictionaries(words, sizes, max_size=5), words, sizes)


@st.composite
def heads(draw: DrawFn) -> Head:
    """Any head whose sequence numbers grow and whose ids differ."""
    count = draw(st.integers(0, 4))
    sequences = sorted(draw(st.sets(st.integers(1, 10**6), min_size=count, max_size=count)))
    entries = [draw(head_entries(sequence)) for sequence in sequences]
    distinct = {entry.backup_id: entry for entry in entries}
    return Head(
        source_id=draw(source_ids),
        repository_id=draw(words),
        sequence=draw(st.integers(10**6, 10**9)),
        host_id=draw(words),
        host_name=draw(words),
        subvolume_uuid=draw(st.uuids()),
        writer=draw(words),
        written=draw(times),
        backups=tuple(sorted(distinct.values(), key=lambda entry: entry.sequence)),
    )


@st.composite
def head_entries(draw: DrawFn, sequence: int) -> HeadEntry:
    """Any live backup with this sequence number."""
    kind = draw(st.sampled_from(Kind))
    return HeadEntry(
        backup_id=draw(backup_ids(kind)),
        parent=draw(backup_ids(Kind.FULL)) if kind is Kind.INCREMENTAL else None,
        sequence=sequence,
        kind=kind,
        manifest_sha256_hex=draw(digests),
        stream=draw(streams(kind)),
        snapshot_uuid=draw(st.uuids()),
        snapshot_ctransid=draw(sizes),
        snapshot_time=draw(times),
        finished=draw(times),
        raw_size_bytes=draw(sizes),
        stored_size_bytes=draw(sizes),
        chunk_count=draw(sizes),
        data_class=draw(words),
        requests=draw(st.none() | request_records),
    )


@st.composite
def chunk_records(draw: DrawFn) -> ChunkRecord:
    """Any line of an index whose sizes fit together."""
    frame_sizes = draw(st.lists(st.integers(1, 2**22), min_size=1, max_size=5))
    last_frame = draw(st.integers(1, FRAME_SIZE_BYTES))
    stored = sum(frame_sizes) + draw(st.integers(1, 1024))
    part_size = draw(st.integers(max(1, stored // 4), stored + 10))
    parts = -(-stored // part_size)
    return ChunkRecord(
        number=draw(st.integers(0, 99_999_999)),
        key=draw(words),
        raw_offset=draw(sizes),
        raw_size_bytes=(len(frame_sizes) - 1) * FRAME_SIZE_BYTES + last_frame,
        raw_sha256_hex=draw(digests),
        stored_size_bytes=stored,
        stored_sha256_hex=draw(digests),
        etag=draw(words),
        version_id=draw(st.none() | words),
        part_size_bytes=part_size,
        part_sha256_hex=tuple(draw(st.lists(digests, min_size=parts, max_size=parts))),
        frame_sizes_bytes=tuple(frame_sizes),
    )
