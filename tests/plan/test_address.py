"""Naming sources, backups and paths."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.model.identity import SourceId
from btrfs_to_s3.plan.address import Address, parse_address, resolve_source, select
from tests.plan.build import T0, chain, days, entry, head
from tests.plan.strategies import heads, quickly

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import Head


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("data", Address("data")),
        ("nas/data", Address("data", host="nas")),
        ("data@latest", Address("data")),
        ("data@2026-11-20", Address("data", when="2026-11-20")),
        ("data@20261120T0200Z:/etc/a:b", Address("data", None, "20261120T0200Z", "/etc/a:b")),
        ("nas/data@latest:etc/x@y", Address("data", "nas", "latest", "etc/x@y")),
        ("data@20261120T0200+0100:x", Address("data", None, "20261120T0200+0100", "x")),
        ("data-1f2e3d4c@20261120T", Address("data-1f2e3d4c", when="20261120T")),
    ],
)
def test_an_address_is_taken_apart(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no source"),
        ("@latest", "names no source"),
        ("data:etc", "names no source"),
        ("/data", "names no host"),
        ("a/b/c", "names no host"),
        ("data@", "not a point in time"),
        ("data@yesterday", "not a point in time"),
        ("data@latest:", "names no path"),
    ],
)
def test_what_is_no_address_is_refused_with_its_form(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_address(text)
    assert caught.value.hint


def test_a_path_without_a_when_is_explained() -> None:
    with pytest.raises(UsageError) as caught:
        parse_address("data:etc")
    assert "SOURCE@latest:PATH" in str(caught.value.hint)


@quickly
@given(
    st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
    st.none() | st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True),
    st.none() | st.text(min_size=1),
)
def test_an_address_written_out_reads_back(source: str, host: str | None, path: str | None) -> None:
    address = Address(source, host, "2026-11-20", path)
    assert parse_address(str(address)) == address


@quickly
@given(
    st.text()
    | st.from_regex(r"[a-z/@:0-9TZ-]*", fullmatch=True)
    | st.from_regex(r"data@[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{4}[+][0-9]{4})?", fullmatch=True),
    heads(),
)
def test_any_text_is_an_address_or_a_usage_error(text: str, forest: Head) -> None:
    with suppress(UsageError):
        address = parse_address(text)
        select(resolve_source([forest], address, "nas"), address.when)


def sources() -> list[Head]:
    return [
        head(source_id=SourceId("data", "00000001"), host_name="nas"),
        head(source_id=SourceId("data", "00000002"), host_name="laptop"),
        head(source_id=SourceId("root", "00000003"), host_name="laptop"),
    ]


@pytest.mark.parametrize(
    ("text", "this_host", "suffix"),
    [
        ("data", "nas", "00000001"),
        ("data", "laptop", "00000002"),
        ("laptop/data", "nas", "00000002"),
        ("data-00000002", "nas", "00000002"),
        ("root", "nas", "00000003"),
        ("laptop/root-00000003", "x", "00000003"),
    ],
)
def test_a_source_is_found_by_label_host_or_id(text: str, this_host: str, suffix: str) -> None:
    found = resolve_source(sources(), parse_address(text), this_host)
    assert found.source_id.suffix == suffix


def test_an_ambiguous_label_lists_the_candidates() -> None:
    with pytest.raises(UsageError, match="more than one source") as caught:
        resolve_source(sources(), Address("data"), "desktop")
    assert "nas/data (data-00000001)" in str(caught.value.hint)
    assert "laptop/data (data-00000002)" in str(caught.value.hint)
    assert "root" not in str(caught.value.hint)


def test_two_sources_of_one_host_and_label_need_the_id() -> None:
    twice = [*sources(), head(source_id=SourceId("data", "00000009"), host_name="nas")]
    with pytest.raises(UsageError) as caught:
        resolve_source(twice, Address("data", host="nas"), "nas")
    assert "data-00000009" in str(caught.value.hint)


@pytest.mark.parametrize("address", [Address("home"), Address("root", host="nas")])
def test_an_unknown_source_lists_what_exists(address: Address) -> None:
    with pytest.raises(UsageError, match="has no source") as caught:
        resolve_source(sources(), address, "nas")
    assert "laptop/root" in str(caught.value.hint)


def test_an_empty_repository_says_so() -> None:
    with pytest.raises(UsageError) as caught:
        resolve_source([], Address("data"), "nas")
    assert "no backups yet" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("when", "number"),
    [
        ("latest", 4),
        ("20261122T020000Z-incr-00000002", 2),
        ("20261122T02", 2),
        ("2026-11-22", 2),
        ("20261122", 2),
        ("2026-11-22T0159Z", 1),
        ("2026-11-22T0200Z", 2),
        ("20261122T020000Z", 2),
        ("2026-11-22T03:00:00+01:00", 2),
        ("2026-11-22T0300+0100", 2),
        ("2026-11-22T0200", 2),
        ("2027-01-01", 4),
        ("9999-12-31", 4),
    ],
)
def test_when_names_a_backup(when: str, number: int) -> None:
    assert select(head(*chain(4)), when).sequence == number


def test_a_date_means_the_end_of_its_day() -> None:
    late = entry(1, time=T0.replace(hour=23, minute=59, second=59, microsecond=900_000))
    next_day = entry(2, late, time=T0.replace(hour=0) + days(1))
    assert select(head(late, next_day), "2026-11-20") == late


def test_a_second_and_a_minute_are_whole_ones() -> None:
    taken = entry(1, time=T0 + timedelta(seconds=7, microseconds=250_000))
    assert select(head(taken), "20261120T020007Z") == taken
    assert select(head(taken), "20261120T0200Z") == taken
    with pytest.raises(UsageError):
        select(head(taken), "20261120T020006Z")


def test_latest_follows_the_sequence_when_a_clock_went_back() -> None:
    first = entry(1, time=T0 + days(100))
    second = entry(2, first, time=T0)
    assert select(head(first, second), "latest") == second
    assert select(head(first, second), "2027-12-31") == first


def test_a_time_before_the_first_backup_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match="2020-01-01 or earlier") as caught:
        select(head(*chain(2)), "2020-01-01")
    assert "20261121T020000Z-full-00000001" in str(caught.value.hint)


def test_the_beginning_of_several_ids_lists_them() -> None:
    with pytest.raises(UsageError, match="more than one") as caught:
        select(head(*chain(3)), "2026112")
    assert str(caught.value.hint).count("20261") >= 3


@pytest.mark.parametrize("when", ["20300101T000000Z-full", "", "nonsense"])
def test_an_unknown_backup_lists_what_there_is(when: str) -> None:
    with pytest.raises(UsageError, match="is no backup"):
        select(head(*chain(2)), when)


@pytest.mark.parametrize("when", ["2026-13-01", "2026-02-30", "20261120T2500Z"])
def test_an_impossible_date_is_refused(when: str) -> None:
    with pytest.raises(UsageError, match="not a date or time"):
        select(head(*chain(2)), when)


def test_long_lists_are_cut() -> None:
    with pytest.raises(UsageError) as caught:
        select(head(*chain(30)), "2020-01-01")
    assert "and 20 more" in str(caught.value.hint)


def test_a_source_without_backups_has_nothing_to_select() -> None:
    with pytest.raises(UsageError, match="no live backup"):
        select(head(), "latest")


@quickly
@given(heads(min_size=1))
def test_every_backup_is_found_by_its_id(forest: Head) -> None:
    for item in forest.backups:
        assert select(forest, str(item.backup_id)) == item
