"""What a plan costs: every expected figure is worked out beside it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from btrfs_to_s3.plan.cost.of_plan import Form, backup_cost, prune_cost
from tests.plan.build import T0, days, entry
from tests.plan.prices import GB, PRICES

MIB = 1024**2
COLD = Form("DEEP_ARCHIVE", chunk_size_bytes=256 * MIB, part_size_bytes=16 * MIB)


def test_a_backup_costs_its_puts_once_and_its_chunks_every_month() -> None:
    # 1 GB raw in chunks of 256 MiB: 4; stored 512 MiB: 128 MiB each, 8 parts and so 10 requests.
    # 4 completed at 50 and 36 others at STANDARD's 5, per 1000: 0.2 + 0.18; index, manifest and
    # head: 3 x 5 = 0.015. Together 0.395 for 43 requests.
    cost = backup_cost(PRICES, COLD, GB, GB // 2)
    assert (cost.stored.object_count, cost.put_count) == (4, 43)
    assert cost.puts.total == Decimal("0.395")
    # 0.5 x 0.001 + 4 x 32 KiB x 0.001 + 4 x 8 KiB x 0.03, per GB
    overhead = 4 * (32 * Decimal("0.001") + 8 * Decimal("0.03")) / 1024**2
    assert cost.storage.total == Decimal("0.0005") + overhead


def test_a_backup_of_nothing_costs_its_metadata() -> None:
    cost = backup_cost(PRICES, COLD, 0, 0)
    assert cost.put_count == 3
    assert cost.storage.total == 0


def test_a_prune_saves_every_month_and_is_charged_once() -> None:
    # 30 GB in 30 chunks of DEEP_ARCHIVE, 100 days before the minimum of 180 is over:
    # 30 x 0.001 x 100 / 30 = 0.1, and the overhead of 30 x 32 KiB likewise.
    gone = replace(
        entry(1), data_class="DEEP_ARCHIVE", stored_size_bytes=30 * GB, chunk_count=30, finished=T0
    )
    cost = prune_cost(PRICES, [gone], T0 + days(80))
    own = 30 * Decimal(32) / 1024**2 * Decimal("0.001")
    assert abs(cost.early.charge - (Decimal("0.1") + own * 100 / 30)) < Decimal("1e-20")
    assert cost.saved.data == Decimal("0.03")
    assert cost.removals == 1
    assert prune_cost(PRICES, [gone], T0 + days(180)).early.charge == 0


def test_a_class_without_a_price_is_named() -> None:
    odd = backup_cost(PRICES, replace(COLD, data_class="FROSTY"), GB, GB)
    assert odd.puts.unpriced == odd.storage.unpriced == {"FROSTY"}
    assert prune_cost(PRICES, [replace(entry(1), data_class="FROSTY")], T0).saved.unpriced == {
        "FROSTY"
    }
