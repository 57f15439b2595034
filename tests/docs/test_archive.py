"""The figures of docs/archive.md are what the program says of the backups it describes."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.cli.output import write_text
from btrfs_to_s3.cli.rendering import thaw as thaw_rendering
from btrfs_to_s3.cli.rendering.thaw import ShownThaw
from btrfs_to_s3.config.prices import load_prices
from btrfs_to_s3.model.storage_class import Tier, storage_class
from btrfs_to_s3.plan.cost.cost import Stored, storage_cost
from btrfs_to_s3.plan.restore.thaw import Asked, ThawTerms, download_rate, expected_end, plan_thaw
from btrfs_to_s3.plan.restore.thaw_state import Group, LinkThaw, ThawState
from tests.plan.build import chain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.plan.restore.thaw import ThawPlan

TEXT = (Path(__file__).parents[2] / "docs" / "archive.md").read_text("utf-8")
PRICES = load_prices(None)
COLD = storage_class("DEEP_ARCHIVE")
GIB = 1024**3
CHUNKS = {"256 MiB": 4000, "1 GiB": 1000}
"""The full backup's objects by chunk size: 1000 GiB raw, of which 800 GiB are stored."""


def links(count: int, state: ThawState, full_objects: int = 4000) -> list[LinkThaw]:
    """A full backup of 1000 GiB and increments of 2 GiB, each in chunks of 256 MiB."""
    first, *others = chain(count)
    full = Group("DEEP_ARCHIVE", COLD, state, full_objects, 800 * GIB, None)
    increment = Group("DEEP_ARCHIVE", COLD, state, 8, 3 * GIB // 2, None)
    return [
        LinkThaw(first.backup_id, 1000 * GIB, (full,)),
        *(LinkThaw(each.backup_id, 2 * GIB, (increment,)) for each in others),
    ]


def terms(tier: Tier = Tier.STANDARD) -> ThawTerms:
    return ThawTerms(tier, None, download_rate(None, None), PRICES, 16 * 1024**2)


def shown(plan: ThawPlan, asked: Mapping[BackupId, Asked] | None = None) -> str:
    out = io.StringIO()
    write_text(out, thaw_rendering.text(ShownThaw(plan, asked or {}, PRICES, ())))
    return out.getvalue()


def block(name: str) -> str:
    """The output that the document shows under this name."""
    found = re.search(rf"```text {name}\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_plan_is_what_thaw_plan_says() -> None:
    assert block("plan") == shown(plan_thaw(links(3, ThawState.FROZEN), terms()))


def test_the_status_is_what_thaw_status_says() -> None:
    waiting = links(3, ThawState.THAWING)
    asked_at = datetime(2026, 11, 24, 3, 2, tzinfo=UTC)
    asked = {link.backup_id: Asked(asked_at, Tier.STANDARD, 3) for link in waiting}
    expected = expected_end(waiting, asked, asked_at)
    said = shown(plan_thaw(waiting, terms(), expected), asked)
    assert block("status") == "".join(said.splitlines(keepends=True)[:7])


@pytest.mark.parametrize(
    ("row", "count", "objects"),
    [
        ("3 backups, chunks of 256 MiB", 3, CHUNKS["256 MiB"]),
        ("30 backups, chunks of 256 MiB", 30, CHUNKS["256 MiB"]),
        ("3 backups, chunks of 1 GiB", 3, CHUNKS["1 GiB"]),
    ],
)
def test_the_table_of_restores_is_what_the_plan_reckons(row: str, count: int, objects: int) -> None:
    plan = plan_thaw(links(count, ThawState.FROZEN, objects), terms())
    cells = [f"{plan.object_count}", f"{plan.stored_size_bytes / GIB:.0f} GiB"]
    for each in plan.tiers:
        assert each.cost is not None
        inside = each.cost.total - each.cost.egress
        cells += [f"{inside:.2f}", f"{each.cost.total:.2f}"]
    assert f"| {row} | {' | '.join(cells)} |" in TEXT


def test_a_month_costs_what_the_text_says() -> None:
    month = storage_cost(PRICES, Stored("DEEP_ARCHIVE", 4016, 803 * GIB)).total
    standard = storage_cost(PRICES, Stored("STANDARD", 4016, 803 * GIB)).total
    assert f"{month:.2f} USD a month instead of {standard:.2f}" in TEXT
    assert standard > 20 * month > Decimal(0)
