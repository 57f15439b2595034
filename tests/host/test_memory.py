"""Concurrency goes down when memory is short, and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.host.memory import (
    affordable_concurrency,
    available_memory_bytes,
    cgroup_room_bytes,
)
from btrfs_to_s3.host.resources import peak_memory_bytes

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024


def test_with_enough_memory_what_was_wanted_is_given_without_a_word() -> None:
    given_ = affordable_concurrency(4, 16 * MIB, 100 * MIB, 2 * (100 + 4 * 16) * MIB)
    assert (given_.concurrency, given_.reason) == (4, None)


def test_with_less_it_is_lowered_and_the_reason_has_the_figures() -> None:
    lowered = affordable_concurrency(4, 16 * MIB, 100 * MIB, 2 * (100 + 4 * 16) * MIB - 1)
    assert lowered.concurrency == 3
    assert lowered.reason is not None
    for figure in ("327 MiB", "is 3", "not 4", "16 MiB"):
        assert figure in lowered.reason


@given(
    wanted=st.integers(1, 256),
    part=st.integers(1, 2**33),
    constant=st.integers(0, 2**33),
    available=st.integers(0, 2**40),
)
def test_it_is_never_below_one_or_above_what_was_wanted_and_fits_half_of_what_is_free(
    wanted: int, part: int, constant: int, available: int
) -> None:
    found = affordable_concurrency(wanted, part, constant, available)
    assert 1 <= found.concurrency <= wanted
    assert (found.reason is None) == (found.concurrency == wanted)
    if found.concurrency > 1:
        assert constant + found.concurrency * part <= available // 2


def test_this_machine_has_memory() -> None:
    assert available_memory_bytes() >= 0


def cgroup(path: Path, limit: str, current: int, inactive: int) -> Path:
    path.mkdir(parents=True)
    (path / "memory.max").write_text(f"{limit}\n")
    (path / "memory.current").write_text(f"{current}\n")
    (path / "memory.stat").write_text(f"anon 1\ninactive_file {inactive}\nactive_file 5\n")
    return path


def test_a_cgroups_limit_counts_without_the_cache_the_kernel_can_drop(tmp_path: Path) -> None:
    own = cgroup(tmp_path / "unit", "1000", 900, 300)
    assert cgroup_room_bytes(own, tmp_path) == 400


def test_the_tightest_limit_on_the_way_up_counts(tmp_path: Path) -> None:
    cgroup(tmp_path / "slice", "500", 450, 0)
    own = cgroup(tmp_path / "slice" / "unit", "1000", 100, 0)
    assert cgroup_room_bytes(own, tmp_path) == 50


def test_a_cgroup_over_its_limit_has_no_room(tmp_path: Path) -> None:
    assert cgroup_room_bytes(cgroup(tmp_path / "unit", "10", 20, 0), tmp_path) == 0


@pytest.mark.parametrize("limit", ["max", "nonsense"])
def test_without_a_limit_the_machine_decides(tmp_path: Path, limit: str) -> None:
    assert cgroup_room_bytes(cgroup(tmp_path / "unit", limit, 20, 0), tmp_path) is None
    assert cgroup_room_bytes(tmp_path / "gone", tmp_path) is None
    assert cgroup_room_bytes(tmp_path, tmp_path) is None
    assert cgroup_room_bytes(None, tmp_path) is None


def test_the_peak_of_memory_grows_with_use() -> None:
    before = peak_memory_bytes()
    block = bytearray(b"x" * 64 * MIB)
    after = peak_memory_bytes()
    assert before is not None
    assert after is not None
    assert after >= len(block)
    assert after >= before
