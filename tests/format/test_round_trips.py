"""What the format writes, it reads back; what is not of the format, it refuses as such."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.format.index import decode_chunk_record, encode_chunk_record
from btrfs_to_s3.format.manifest import (
    decode_head,
    decode_manifest,
    encode_head,
    encode_manifest,
)
from btrfs_to_s3.format.records import (
    decode_repository,
    decode_source,
    encode_repository,
    encode_source,
)
from btrfs_to_s3.format.trailer import (
    TRAILER_LIMIT_BYTES,
    Trailer,
    decode_trailer,
    encode_trailer,
)
from btrfs_to_s3.model.backup import Repository, SourceRecord
from btrfs_to_s3.model.identity import Kind
from tests.format import values

if TYPE_CHECKING:
    from collections.abc import Callable

    from btrfs_to_s3.model.backup import ChunkRecord, Head, Manifest

DECODERS: dict[str, Callable[[bytes], object]] = {
    "repository": decode_repository,
    "source": lambda data: decode_source(data, "source"),
    "manifest": lambda data: decode_manifest(data, "manifest"),
    "head": lambda data: decode_head(data, "head"),
    "index": lambda data: decode_chunk_record(data, "index"),
    "trailer": lambda data: decode_trailer(data, "trailer"),
}


@given(values.manifests())
def test_a_manifest_comes_back_as_it_was_written(manifest: Manifest) -> None:
    assert decode_manifest(encode_manifest(manifest), "manifest") == manifest


@given(values.heads())
def test_a_head_comes_back_as_it_was_written(head: Head) -> None:
    assert decode_head(encode_head(head), "head") == head


@given(values.chunk_records())
def test_a_line_of_the_index_comes_back_as_it_was_written(record: ChunkRecord) -> None:
    assert decode_chunk_record(encode_chunk_record(record), "index") == record


@given(st.builds(Repository, values.words, values.times, values.words, st.just("none")))
def test_a_repository_record_comes_back_as_it_was_written(repository: Repository) -> None:
    assert decode_repository(encode_repository(repository)) == repository


@given(
    st.builds(
        SourceRecord,
        values.source_ids,
        values.words,
        values.words,
        st.none() | values.words,
        st.uuids(),
        values.times,
    )
)
def test_a_source_record_comes_back_as_it_was_written(record: SourceRecord) -> None:
    assert decode_source(encode_source(record), "source") == record


trailers = st.builds(
    Trailer,
    st.text("0123456789abcdef", min_size=32, max_size=32),
    values.backup_ids(Kind.FULL).map(str),
    values.names,
    st.integers(0, 99_999_999),
    values.sizes,
    values.sizes,
    values.digests,
)


@given(trailers)
def test_a_trailer_comes_back_as_it_was_written_and_is_small(trailer: Trailer) -> None:
    encoded = encode_trailer(trailer)

    assert decode_trailer(encoded, "trailer") == trailer
    assert len(encoded) <= TRAILER_LIMIT_BYTES


@pytest.mark.parametrize("name", DECODERS)
@given(data=st.binary(max_size=300))
def test_arbitrary_bytes_are_an_integrity_error_and_nothing_else(name: str, data: bytes) -> None:
    with pytest.raises(IntegrityError):
        DECODERS[name](data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@given(values.manifests(), st.data())
def test_a_manifest_with_any_member_replaced_is_read_or_refused_cleanly(
    manifest: Manifest, data: st.DataObject
) -> None:
    members = cast("dict[str, object]", json.loads(encode_manifest(manifest)))
    members[data.draw(st.sampled_from(sorted(members)))] = data.draw(json_values)
    with suppress(IntegrityError):
        decode_manifest(json.dumps(members).encode(), "manifest")


@given(values.manifests())
def test_a_newer_format_is_refused_with_the_remedy(manifest: Manifest) -> None:
    members = json.loads(encode_manifest(manifest))
    members["format"] = 2

    with pytest.raises(IntegrityError) as caught:
        decode_manifest(json.dumps(members).encode(), "manifest")

    assert "newer" in str(caught.value)
    assert caught.value.hint == "update btrfs-to-s3"


@given(values.heads(), st.binary(max_size=50))
def test_unknown_members_and_further_lines_are_ignored(head: Head, more: bytes) -> None:
    members = {**json.loads(encode_head(head)), "from_the_future": [1]}

    assert decode_head(json.dumps(members).encode() + b"\n" + more, "head") == head
