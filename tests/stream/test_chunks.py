"""Chunks: what is cut is put together again, and every flipped bit is noticed."""

from __future__ import annotations

import hashlib
import tracemalloc
from itertools import pairwise

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from btrfs_to_s3.errors import IntegrityError, UsageError
from btrfs_to_s3.model.backup import FRAME_SIZE_BYTES
from btrfs_to_s3.stream.buffers import BufferPool
from btrfs_to_s3.stream.cancel import LinkedCancellation
from btrfs_to_s3.stream.chunks import (
    MAX_PARTS,
    ChunkDecoder,
    ChunkEncoder,
    ChunkShape,
    part_size_for,
)
from btrfs_to_s3.stream.frames import FrameCompressor, decompress_frame, worst_frame_size

MIB = 1024 * 1024
TRAILER = b"\x5b\x2a\x4d\x18\x05\x00\x00\x00hello"


def encode(raw: bytes, part_size: int) -> tuple[list[bytes], list[bytes], bool, ChunkShape]:
    """The parts' bytes and digests, whether the chunk is a single part, and its shape."""
    encoder = ChunkEncoder(BufferPool(10_000, part_size, LinkedCancellation()))
    compressor = FrameCompressor(1)
    parts = []
    for start in range(0, len(raw), FRAME_SIZE_BYTES):
        block = memoryview(raw)[start : start + FRAME_SIZE_BYTES]
        parts += encoder.update(compressor.compress(block))
    parts += encoder.finish(TRAILER)
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    stored = [bytes(part.buffer.view) for part in parts]
    return stored, [part.sha256 for part in parts], parts[-1].alone, encoder.result()


def decode(stored: bytes, shape: ChunkShape, raw: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    """The raw bytes and the trailer."""
    digest = hashlib.sha256(raw).hexdigest()
    decoder = ChunkDecoder(shape.frame_sizes_bytes, len(raw), digest, "chunk")
    places = sorted({0, len(stored), *(cut % (len(stored) + 1) for cut in cuts)})
    found = [
        frame for begin, end in pairwise(places) for frame in decoder.update(stored[begin:end])
    ]
    decoder.finish()
    return b"".join(found), decoder.result()


raws = st.builds(
    lambda seed, size: (seed * (size // len(seed) + 1))[:size],
    st.binary(min_size=1, max_size=50),
    st.integers(1, 2 * FRAME_SIZE_BYTES + 5),
)


@settings(max_examples=30)
@given(raws, st.integers(40, 4000), st.lists(st.integers(0, 2**30), max_size=4))
def test_a_chunk_comes_back_whatever_the_part_size_and_the_split_of_the_reads(
    raw: bytes, part_size: int, cuts: list[int]
) -> None:
    stored, digests, alone, shape = encode(raw, part_size)
    whole = b"".join(stored)

    assert decode(whole, shape, raw, cuts) == (raw, TRAILER)
    assert {len(part) for part in stored[:-1]} <= {part_size}
    assert alone == (len(stored) == 1)
    assert digests == [hashlib.sha256(part).digest() for part in stored]
    assert shape.part_sha256_hex == tuple(digest.hex() for digest in digests)
    assert shape.stored_sha256_hex == hashlib.sha256(whole).hexdigest()
    assert shape.stored_size_bytes == len(whole)


@settings(max_examples=150)
@given(st.binary(min_size=1, max_size=300), st.data())
def test_any_flipped_bit_of_the_frames_is_noticed(raw: bytes, data: st.DataObject) -> None:
    stored, _, _, shape = encode(raw, 1000)
    damaged = bytearray(b"".join(stored))
    bit = data.draw(st.integers(0, 8 * (len(damaged) - len(TRAILER)) - 1))
    damaged[bit // 8] ^= 1 << (bit % 8)

    try:
        found, _ = decode(bytes(damaged), shape, raw, [])
    except IntegrityError:
        return
    # Frame headers have spare bits that mean nothing; the raw bytes must then be the same.
    assert found == raw


@given(st.binary(min_size=1, max_size=300), st.data())
def test_every_truncation_is_refused(raw: bytes, data: st.DataObject) -> None:
    stored, _, _, shape = encode(raw, 1000)
    whole = b"".join(stored)
    cut = data.draw(st.integers(0, len(whole) - len(TRAILER) - 1))

    with pytest.raises(IntegrityError):
        decode(whole[:cut], shape, raw, [])


def test_raw_bytes_with_another_digest_are_refused() -> None:
    stored, _, _, shape = encode(b"what was sent", 1000)
    decoder = ChunkDecoder(shape.frame_sizes_bytes, 13, "0" * 64, "chunk")
    assert list(decoder.update(b"".join(stored))) == [b"what was sent"]

    with pytest.raises(IntegrityError, match="SHA-256"):
        decoder.finish()


def test_a_frame_that_announces_more_than_a_frame_may_hold_costs_no_memory() -> None:
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(64 * MIB))

    with pytest.raises(IntegrityError, match="wrong size"):
        decompress_frame(bomb, 64 * MIB, "chunk")


def test_a_frame_that_holds_less_than_it_should_is_refused() -> None:
    frame = FrameCompressor(1).compress(memoryview(b"short"))

    with pytest.raises(IntegrityError, match="wrong size"):
        decompress_frame(frame, 6, "chunk")


def test_frames_carry_their_size_and_a_checksum_and_stay_within_the_window() -> None:
    for level in (1, 3, 19):
        frame = FrameCompressor(level).compress(memoryview(bytes(FRAME_SIZE_BYTES)))
        parameters = zstandard.get_frame_parameters(frame)

        assert parameters.content_size == FRAME_SIZE_BYTES
        assert parameters.has_checksum
        assert parameters.window_size <= 8 * MIB


@given(st.binary(max_size=5000))
def test_no_frame_is_larger_than_the_worst_case(raw: bytes) -> None:
    assert len(FrameCompressor(1).compress(memoryview(raw))) <= worst_frame_size(len(raw))


@given(st.integers(1, 1024**2).map(lambda mib: mib * MIB), st.integers(5, 5 * 1024))
def test_ten_thousand_parts_always_suffice_for_the_worst_case(chunk: int, wanted: int) -> None:
    part = part_size_for(chunk, wanted * MIB, 1024)
    frames = -(-chunk // FRAME_SIZE_BYTES)

    assert part >= wanted * MIB
    assert -(-(frames * worst_frame_size(FRAME_SIZE_BYTES) + 1024) // part) <= MAX_PARTS


def test_the_wanted_part_size_is_kept_where_it_suffices() -> None:
    assert part_size_for(256 * MIB, 16 * MIB, 1024) == 16 * MIB


def test_a_chunk_that_no_part_size_fits_is_refused() -> None:
    with pytest.raises(UsageError):
        part_size_for(100 * 1024**4, 16 * MIB, 1024)


def test_a_chunk_of_zeros_is_decoded_one_frame_at_a_time() -> None:
    stored, _, _, shape = encode(bytes(64 * MIB), 5 * MIB)
    decoder = ChunkDecoder(
        shape.frame_sizes_bytes, 64 * MIB, hashlib.sha256(bytes(64 * MIB)).hexdigest(), "chunk"
    )

    tracemalloc.start()
    count = sum(1 for _ in decoder.update(b"".join(stored)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 16
    assert peak < 10 * MIB
