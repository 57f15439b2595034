"""Compressed lines: the form of indexes."""

from __future__ import annotations

import hashlib
import io
import subprocess
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.stream.lines import compress_lines, decompress_lines

if TYPE_CHECKING:
    from pathlib import Path

lines = st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=50)


@given(lines, st.integers(1, 100))
def test_lines_come_back_as_they_were_written(some: list[bytes], times: int) -> None:
    written = some * times
    out = io.BytesIO()

    made = compress_lines((line + b"\n" for line in written), out)

    stored = out.getvalue()
    assert (made.size_bytes, made.sha256) == (len(stored), hashlib.sha256(stored).digest())
    assert list(decompress_lines(io.BytesIO(stored), 1000, "index")) == written


@settings(max_examples=50)
@given(st.binary(min_size=1, max_size=200))
def test_what_is_not_compressed_lines_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        list(decompress_lines(io.BytesIO(data), 1000, "index"))


@given(lines, st.data())
def test_every_truncation_is_refused(some: list[bytes], data: st.DataObject) -> None:
    out = io.BytesIO()
    compress_lines((line + b"\n" for line in some), out)
    cut = data.draw(st.integers(1, len(out.getvalue()) - 1))

    with pytest.raises(IntegrityError):
        list(decompress_lines(io.BytesIO(out.getvalue()[:cut]), 1000, "index"))


def test_an_object_that_ends_within_a_line_is_refused() -> None:
    stored = zstandard.ZstdCompressor().compress(b"whole\nhal")

    with pytest.raises(IntegrityError, match="within a line"):
        list(decompress_lines(io.BytesIO(stored), 1000, "index"))


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    stored = zstandard.ZstdCompressor().compress(bytes(64 * 1024 * 1024))

    with pytest.raises(IntegrityError, match="longer than"):
        list(decompress_lines(io.BytesIO(stored), 1024 * 1024, "index"))


def test_the_usual_tool_reads_it_and_skips_skippable_frames(tmp_path: Path) -> None:
    out = io.BytesIO()
    compress_lines((b"%d\n" % number for number in range(3000)), out)
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    stored = tmp_path / "index.zst"
    stored.write_bytes(out.getvalue() + skippable)

    shown = subprocess.run(["zstd", "-dcq", stored], check=True, capture_output=True).stdout

    assert shown == b"".join(b"%d\n" % number for number in range(3000))
    assert len(list(decompress_lines(io.BytesIO(stored.read_bytes()), 99, "index"))) == 3000
