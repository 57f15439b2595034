"""How many parts run at a time depends on the memory that is free, as psutil and cgroups tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from btrfs_to_s3.config.load import load
from btrfs_to_s3.wiring.machine import affordable_here

if TYPE_CHECKING:
    from btrfs_to_s3.config.effective import Config

MIB = 1024**2
NO_FILE = Path("/nonexistent/config.toml")


def configured(**given: str) -> Config:
    return load(None, environ={}, command_line=given, default_file=NO_FILE)


def test_a_part_that_is_larger_than_the_memory_goes_alone() -> None:
    free_mib = psutil.virtual_memory().available // MIB
    half_mib = min(free_mib // 2, 5 * 1024)
    found = affordable_here(configured(part_size=f"{half_mib}MiB", concurrency="4"))
    assert found.concurrency == 1
    assert found.reason is not None
    told_mib = int(found.reason.split()[0])
    assert told_mib <= free_mib * 1.5


@pytest.mark.parametrize(
    ("given", "beside_mib"),
    [
        ({"compression_threads": "2"}, 96 + 2 * 16 + 5 * 8),
        ({"compression_threads": "8"}, 96 + 2 * 16 + 11 * 8),
        ({"compression_threads": "8", "compression_level": "19"}, 96 + 2 * 16 + 11 * 8 + 8 * 49),
        ({"compression_threads": "2", "part_size": "128MiB"}, 96 + 2 * 128 + 5 * 8),
    ],
)
def test_what_a_backup_needs_beside_the_parts_in_flight_counts(
    given: dict[str, str], beside_mib: int
) -> None:
    config = configured(**given)
    part_mib = config.part_size_bytes // MIB
    enough_mib = 2 * (beside_mib + 4 * part_mib + 16)
    assert affordable_here(config, available=lambda: enough_mib * MIB).concurrency == 4
    short_mib = 2 * (beside_mib + 4 * part_mib - 1)
    assert affordable_here(config, available=lambda: short_mib * MIB).concurrency == 3


def test_repositories_side_by_side_share_the_memory() -> None:
    config = configured(compression_threads="2")
    enough_mib = 2 * (96 + 2 * 16 + 5 * 8 + 4 * 16 + 16)
    assert affordable_here(config, 1, lambda: enough_mib * MIB).concurrency == 4
    assert affordable_here(config, 2, lambda: enough_mib * MIB).concurrency == 1
    assert affordable_here(config, 2, lambda: 2 * enough_mib * MIB).concurrency == 4
