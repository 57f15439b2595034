"""Unit files: what is ours, what may be replaced, what is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.plan.units import (
    FileState,
    UnitFile,
    calendar_drop_in,
    marked,
    require_ours,
    state_of,
    unit_files,
    writable_drop_in,
)

SHIPPED = {"a.service": "[Service]\nExecStart=/usr/local/bin/btrfs-to-s3 -c /x verify\n"}


@given(content=st.text(), other=st.text())
def test_what_we_wrote_is_known_again_and_renewed_when_it_should_differ(
    content: str, other: str
) -> None:
    text = marked(content)
    assert state_of(text, text) is FileState.CURRENT
    assert state_of(text, marked(other)).ours
    assert (state_of(text, marked(other)) is FileState.CURRENT) == (content == other)
    assert state_of(text, None) is FileState.OUTDATED


@given(content=st.text(min_size=1), at=st.integers(0), char=st.characters())
def test_any_change_by_hand_makes_it_no_longer_ours(content: str, at: int, char: str) -> None:
    text = marked(content)
    place = at % len(text)
    changed = text[:place] + char + text[place + 1 :]
    assert state_of(changed, text).ours == (changed == text)
    assert not state_of(text + char, text).ours


def test_a_file_without_our_line_is_foreign_and_an_absent_one_absent() -> None:
    assert state_of("[Service]\n", marked("[Service]\n")) is FileState.FOREIGN
    assert state_of(None, marked("")) is FileState.ABSENT


def test_the_program_that_runs_is_the_one_that_is_started() -> None:
    files = unit_files(SHIPPED, "/opt/venv/bin/btrfs-to-s3")
    assert "\nExecStart=/opt/venv/bin/btrfs-to-s3 -c /x verify\n" in files["a.service"]
    assert "/usr/local" not in files["a.service"]


@pytest.mark.parametrize(
    "path", ["btrfs-to-s3", "/my bin/btrfs-to-s3", "/a%b/x", "/a$b/x", "/a'/x"]
)
def test_a_path_that_systemd_would_read_as_something_else_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="cannot stand in a unit"):
        unit_files(SHIPPED, path)


def test_drop_ins_replace_the_time_and_open_directories() -> None:
    assert calendar_drop_in("hourly").endswith("[Timer]\nOnCalendar=\nOnCalendar=hourly\n")
    assert writable_drop_in([]) is None
    quoted = writable_drop_in(['/srv/"a\\b"'])
    assert quoted is not None
    assert quoted.endswith(r'ReadWritePaths="-/srv/\"a\\b\""' "\n")
    opened = writable_drop_in(["/srv/b", "/srv/a 100%", "/srv/b"])
    assert opened is not None
    assert opened.endswith('[Service]\nReadWritePaths="-/srv/a 100%%"\nReadWritePaths="-/srv/b"\n')


@pytest.mark.parametrize("found", ["by hand", marked("x") + "by hand"])
def test_what_is_not_ours_is_refused_unless_it_may_stay_as_it_is(found: str) -> None:
    with pytest.raises(UsageError, match="/units/a") as caught:
        require_ours([UnitFile.of("a", found, marked("y"))], "/units")
    assert "drop-in" in str(caught.value.hint)
    require_ours([UnitFile.of("a", found, found), UnitFile.of("b", None, marked("y"))], "/units")
    require_ours([UnitFile.of("a", marked("x"), marked("y"))], "/units")
