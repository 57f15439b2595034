"""Names of snapshots: one source's own, and never the same twice in a chain."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from btrfs_to_s3.model.identity import SourceId
from btrfs_to_s3.model.subvolume import Subvolume
from btrfs_to_s3.operations.backup.snapshot_names import is_named_for, new_name

SOURCE = SourceId("data", "1f2e3d4c")
NOW = datetime(2026, 11, 21, 2, 0, 0, tzinfo=UTC)
BASE = "data-1f2e3d4c.20261121T020000Z"
SNAPSHOT = Subvolume(
    id=300,
    path=f".btrfs-to-s3/{BASE}",
    uuid=uuid4(),
    parent_uuid=None,
    received_uuid=None,
    generation=1,
    ctransid=1,
    otransid=1,
    stransid=0,
    rtransid=0,
    otime=NOW,
    readonly=True,
)


def test_the_first_of_a_second_has_no_number() -> None:
    assert new_name(SOURCE, NOW, {"data-1f2e3d4c.20261121T015959Z", "other"}) == BASE


def test_the_name_of_a_snapshot_deleted_within_the_second_is_not_given_again() -> None:
    first = new_name(SOURCE, NOW, set())
    second = new_name(SOURCE, NOW, {first})

    third = new_name(SOURCE, NOW, {second})

    assert [first, second, third] == [BASE, f"{BASE}-2", f"{BASE}-3"]


@pytest.mark.parametrize(
    ("name", "own"),
    [
        (BASE, True),
        (f"{BASE}-12", True),
        (f"{BASE}x", False),
        ("data-1f2e3d4c.x-00000000.20261121T020000Z", False),
        ("snapper-1", False),
    ],
)
def test_only_names_given_to_this_source_are_its_own(name: str, own: bool) -> None:
    assert is_named_for(SOURCE, replace(SNAPSHOT, path=f".btrfs-to-s3/{name}")) == own
