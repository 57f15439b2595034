"""Sizes, times and names as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from btrfs_to_s3.cli.rendering import human


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (5 * 1024**4, "5.0 TiB"),
        (1024**7, "1024.0 EiB"),
    ],
)
def test_sizes_have_one_decimal_and_the_unit_that_fits(size_bytes: int, text: str) -> None:
    assert human.size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (245, "4 min 05 s"),
        (3600, "1 h 00 min"),
        (12_000, "3 h 20 min"),
        (93_600, "1 d 2 h"),
    ],
)
def test_spans_have_their_two_largest_units(seconds: float, text: str) -> None:
    assert human.span(timedelta(seconds=seconds)) == text


def test_a_rate_without_time_is_not_a_division_by_zero() -> None:
    assert human.rate(1000, 0) == "-"
    assert human.ratio(1000, 0) == "-"
    assert human.rate(2048, 2) == "1.0 KiB/s"


def test_a_moment_can_be_typed_after_the_at_sign() -> None:
    assert human.moment(datetime(2026, 11, 20, 2, 0, 7, 123, tzinfo=UTC)) == "2026-11-20T02:00:07Z"


def test_nothing_in_a_name_can_act_on_a_terminal() -> None:
    assert human.printable("a\x1b[31mb\nc\udcff") == "a\\x1b[31mb\\nc\\udcff"
    assert human.printable("Größe 日本") == "Größe 日本"


def test_words_follow_their_number() -> None:
    assert [human.count(number, "chunk") for number in (0, 1, 2)] == [
        "0 chunks",
        "1 chunk",
        "2 chunks",
    ]


@pytest.mark.parametrize(
    ("expected_bytes", "text"),
    [
        (None, "3.0 KiB"),
        (0, "3.0 KiB"),
        (1024, "3.0 KiB"),
        (6144, "3.0 KiB of about 6.0 KiB (50%)"),
    ],
)
def test_a_part_is_that_of_its_estimate_while_that_holds(
    expected_bytes: int | None, text: str
) -> None:
    assert human.part(3072, expected_bytes) == text
