"""The inspector knows whose stream it is and whether it is whole, however it is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.errors import SendError
from btrfs_to_s3.model.backup import StreamIdentity
from btrfs_to_s3.stream.commands import StreamFacts, StreamInspector
from tests.stream import streams

payloads = st.lists(st.binary(max_size=60), max_size=6)


def inspect(data: bytes, cuts: list[int]) -> StreamFacts:
    inspector = StreamInspector(SendError)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for begin, end in pairwise(places):
        inspector.update(memoryview(data)[begin:end])
    inspector.finish()
    return inspector.result()


@given(payloads, st.booleans(), st.lists(st.integers(0, 2**16)))
def test_any_split_of_the_reads_tells_the_same(
    writes: list[bytes],
    parent: bool,
    cuts: list[int],
) -> None:
    data = streams.stream(writes, parent=parent, protocol=2)

    facts = inspect(data, cuts)

    assert facts == StreamFacts(
        protocol=2,
        identity=StreamIdentity(
            streams.UUID_OF_STREAM,
            7,
            streams.UUID_OF_PARENT if parent else None,
            5 if parent else None,
        ),
        name="snap",
        commands=len(writes) + 2,
        size_bytes=len(data),
    )


@given(payloads, st.data())
def test_every_truncation_is_refused(writes: list[bytes], data: st.DataObject) -> None:
    whole = streams.stream(writes)
    cut = data.draw(st.integers(0, len(whole) - 1))

    with pytest.raises(SendError):
        inspect(whole[:cut], [cut // 2])


def test_a_stream_that_ends_exactly_between_two_commands_is_refused() -> None:
    with pytest.raises(SendError, match="END"):
        inspect(streams.stream([b"data"], end=False), [])


@given(st.binary(min_size=1, max_size=40), st.lists(st.integers(0, 2**16)))
def test_bytes_after_the_end_command_are_refused(more: bytes, cuts: list[int]) -> None:
    with pytest.raises(SendError, match="END"):
        inspect(streams.stream() + more, cuts)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_arbitrary_bytes_are_refused_and_nothing_else_happens(data: bytes, cuts: list[int]) -> None:
    with pytest.raises(SendError):
        inspect(data, cuts)


def test_the_identity_is_known_as_soon_as_the_first_command_is_through() -> None:
    inspector = StreamInspector(SendError)
    start = streams.stream(end=False)

    inspector.update(start[:-1])
    assert inspector.identity is None
    inspector.update(start[-1:])

    assert inspector.identity == StreamIdentity(streams.UUID_OF_STREAM, 7)


def test_a_first_command_without_a_uuid_is_refused() -> None:
    header = b"btrfs-stream\0" + (1).to_bytes(4, "little")
    nameless = streams.command(streams.SUBVOL, streams.attribute(15, b"snap"))

    with pytest.raises(SendError, match="identity"):
        inspect(header + nameless + streams.command(streams.END), [])
