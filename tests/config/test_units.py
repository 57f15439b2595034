"""Sizes, rates and durations are read as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.config.units import (
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
)
from btrfs_to_s3.errors import UsageError

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("4096", 4096),
        ("12B", 12),
        ("256MiB", 256 * MIB),
        ("16 MiB", 16 * MIB),
        (" 16mib ", 16 * MIB),
        ("1GB", 10**9),
        ("1kB", 1000),
        ("4G", 4 * 1024**3),
        ("1.5KiB", 1536),
        ("2TiB", 2 * 1024**4),
    ],
)
def test_a_size_is_read(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MiB",
        "-1",
        "1e6",
        "12 apples",
        "1.0001KiB",
        "1,5GB",
        "1 2",
        "\N{ARABIC-INDIC DIGIT ONE}KiB",
        "0x10",
    ],
)
def test_what_is_no_size_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert repr(text) in caught.value.message


@given(st.integers(min_value=0, max_value=2**70))
def test_a_written_size_reads_as_itself(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


@given(st.integers(min_value=1, max_value=999), st.sampled_from("KMGT"), st.sampled_from(["iB"]))
def test_a_binary_size_is_written_as_a_person_would(number: int, letter: str, suffix: str) -> None:
    text = f"{number}{letter}{suffix}"
    assert format_size(parse_size(text)) == text


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [
        ("20MB/s", 20_000_000),
        ("20 MB / s", 20_000_000),
        ("512KiB/s", 512 * 1024),
        ("20MB", 20_000_000),
        ("20MBps", 20_000_000),
        ("100Mbit/s", 12_500_000),
        ("1gbit/s", 125_000_000),
        ("unlimited", None),
        ("none", None),
        ("0", None),
        ("0MB/s", None),
    ],
)
def test_a_rate_is_read(text: str, bytes_per_s: int | None) -> None:
    assert parse_rate(text) == bytes_per_s


@pytest.mark.parametrize("text", ["", "fast", "20MB/h", "-1MB/s", "20MB/s/s", "3bit/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_rate(text)


def test_a_rate_that_could_mean_bits_is_refused_with_both_ways_to_write_it() -> None:
    with pytest.raises(UsageError, match=r"20MB/s.*20Mbit/s"):
        parse_rate("20Mb/s")


@given(st.none() | st.integers(min_value=1, max_value=2**50))
def test_a_written_rate_reads_as_itself(bytes_per_s: int | None) -> None:
    assert parse_rate(format_rate(bytes_per_s)) == bytes_per_s


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0", timedelta(0)),
        ("90s", timedelta(seconds=90)),
        ("1h30m", timedelta(minutes=90)),
        ("1h 30min", timedelta(minutes=90)),
        ("26h", timedelta(hours=26)),
        ("7d", timedelta(days=7)),
        ("7D", timedelta(days=7)),
        ("2w", timedelta(days=14)),
        ("1y", timedelta(days=365)),
        ("1.5h", timedelta(minutes=90)),
        ("0.25s", timedelta(milliseconds=250)),
    ],
)
def test_a_duration_is_read(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1h-", "3 apples", "1.s", "99999999999y"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_duration(text)


@given(st.timedeltas(min_value=timedelta(0)))
def test_a_written_duration_reads_as_itself(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize("text", ["7d", "1h30m", "90s", "26h", "0.5s", "0s", "1d1s"])
def test_a_duration_is_written_in_its_largest_units(text: str) -> None:
    expected = {"90s": "1m30s", "26h": "1d2h"}.get(text, text)
    assert format_duration(parse_duration(text)) == expected


@given(st.text())
def test_any_text_is_read_or_refused_as_a_usage_error(text: str) -> None:
    for parse in (parse_size, parse_rate, parse_duration):
        try:
            parse(text)
        except UsageError as error:
            assert error.message  # noqa: PT017 - both outcomes are right
