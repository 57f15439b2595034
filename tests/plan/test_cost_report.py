"""What a repository costs, from its heads: every expected figure is worked out beside it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.model.backup import RequestRecord
from btrfs_to_s3.model.storage_class import Tier
from btrfs_to_s3.plan.cost.report import CostReport, recent, request_cost, source_cost
from btrfs_to_s3.plan.cost.restore import Line, cheapest, days_for, restore_estimates
from tests.plan.build import T0, chain, days, head
from tests.plan.prices import GB, PRICES

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import HeadEntry

LINE = Line(bytes_per_s=GB // 8, part_size_bytes=GB)
HOUR = timedelta(hours=1)


def _money(text: str) -> Decimal:
    return Decimal(text)


FULL, NEXT, NEWEST = (
    replace(each, data_class=name, stored_size_bytes=size * GB, chunk_count=size)
    for each, name, size in zip(
        chain(3), ("DEEP_ARCHIVE", "DEEP_ARCHIVE", "GLACIER"), (110, 8, 2), strict=True
    )
)
HEAD = head(FULL, NEXT, NEWEST)


def _with(entry: HeadEntry, counts: dict[str, int]) -> HeadEntry:
    return replace(entry, requests=RequestRecord(counts, "STANDARD", 1))


def test_a_source_is_paid_by_class() -> None:
    found = source_cost(PRICES, HEAD, LINE, T0 + days(400))
    cold, warm = found.classes
    assert (cold.class_name, cold.backup_count, cold.stored.object_count) == (
        "DEEP_ARCHIVE",
        2,
        118,
    )
    assert (warm.class_name, warm.backup_count, warm.stored.size_bytes) == ("GLACIER", 1, 2 * GB)
    # 118 x 0.001 = 0.118, and 2 x 0.006 = 0.012
    assert (cold.storage.data, warm.storage.data) == (_money("0.118"), _money("0.012"))
    assert found.storage == cold.storage + warm.storage
    assert CostReport((found, found)).storage.data == _money("0.26")


def test_early_deletion_counts_each_backup_from_its_own_time() -> None:
    # At day 100: the full one, finished 5 minutes into day 1, has 81 days and 5 minutes of its 180
    # left; the second a day more; of GLACIER's 90 days of day 3 nothing is left.
    now = T0 + days(100)
    found = source_cost(PRICES, HEAD, LINE, now)
    left = _money("81") + _money("5") / 1440
    overhead = _money("32") / (1024 * 1024)
    expected = (110 + 110 * overhead) * _money("0.001") * left / 30 + (8 + 8 * overhead) * _money(
        "0.001"
    ) * (left + 1) / 30
    assert abs(found.early.charge - expected) < _money("1e-20")
    assert found.classes[1].early.charge == 0


def test_a_restore_is_estimated_for_the_whole_chain_and_each_common_tier() -> None:
    found = source_cost(PRICES, HEAD, LINE, T0)
    assert (found.newest, found.links) == (NEWEST.backup_id, 3)
    standard, bulk = found.restores
    assert (standard.tier, bulk.tier) == (Tier.STANDARD, Tier.BULK)
    # 120 GB at 1/8 GB a second take 960 s; copies stay a day for that and a day more.
    assert standard.download == timedelta(seconds=960)
    assert standard.copy_kept == days(2)
    assert (standard.thaw.latest, bulk.thaw.latest) == (12 * HOUR, 48 * HOUR)
    assert bulk.latest == 48 * HOUR + timedelta(seconds=960)
    # retrieval 118 x 0.02 + 2 x 0.01 = 2.38; requests (118 x 0.1 + 2 x 0.05) / 1000 = 0.0119
    # copy 120 x 0.03 x 2 / 30 = 0.24; GETs (118 + 118 + 2 + 2) x 0.4 / 1000 = 0.096
    # egress (120 - 100) x 0.09 = 1.8
    assert standard.cost.retrieval == _money("2.38")
    assert standard.cost.thaw_requests == _money("0.0119")
    assert standard.cost.copy == _money("0.24")
    assert standard.cost.get_requests == _money("0.096")
    assert standard.cost.egress == _money("1.8")
    assert cheapest(found.restores) is bulk


def test_what_reads_at_once_has_one_estimate_without_a_thaw() -> None:
    (only,) = restore_estimates(PRICES, chain(2), LINE)
    assert only.tier is None
    assert (only.thaw.latest, only.copy_kept) == (timedelta(0), timedelta(0))
    assert only.cost.copy == only.cost.thaw_requests == 0


@pytest.mark.parametrize(
    ("download", "latest", "kept"),
    [(timedelta(0), timedelta(0), 1), (8 * HOUR, 12 * HOUR, 2), (8.01 * HOUR, 12 * HOUR, 3)],
)
def test_days_cover_the_thaw_the_download_and_a_margin(
    download: timedelta, latest: timedelta, kept: int
) -> None:
    assert days_for(download, latest) == kept


def test_requests_of_the_last_month_are_those_of_backups_finished_in_it() -> None:
    now = FULL.finished + days(30)
    assert recent(HEAD, now) == (NEXT, NEWEST)
    assert recent(HEAD, now - timedelta(seconds=1)) == (FULL, NEXT, NEWEST)


def test_requests_cost_what_their_class_asks() -> None:
    made = _with(NEXT, {"put": 30, "get": 4, "list": 3, "head": 1, "delete": 9})
    # 30 counted PUTs and the manifest's and head's own: 32. The index, manifest and head are
    # STANDARD's: 3 x 5 = 15. Eight chunks are DEEP_ARCHIVE's: 8 x 50 = 400. The other 21 sent
    # parts, at STANDARD's price: 21 x 5 = 105. Together 520 / 1000 = 0.52.
    # GET and HEAD: 5 x 0.4 / 1000 = 0.002. LIST: 3 x 5 / 1000 = 0.015. Deleting is free.
    found = request_cost(PRICES, [made])
    assert (found.put, found.get, found.list) == (_money("0.52"), _money("0.002"), _money("0.015"))
    assert found.total == _money("0.537")
    assert found.counts["put"] == 32
    assert request_cost(PRICES, [made, made]).backup_count == 2


def test_backups_whose_requests_are_unknown_are_not_counted() -> None:
    known = _with(NEXT, {"put": 30, "get": 4})
    assert request_cost(PRICES, [FULL, known]) == request_cost(PRICES, [known])
    assert request_cost(PRICES, [FULL]).backup_count == 0


def test_the_requests_of_many_backups_cost_what_each_of_them_does() -> None:
    cold, warm = _with(NEXT, {"put": 30, "get": 4, "list": 1}), _with(NEWEST, {"put": 7, "head": 2})
    both, alone = (
        request_cost(PRICES, [cold, warm]),
        [request_cost(PRICES, [each]) for each in (cold, warm)],
    )
    assert both.total == sum(each.total for each in alone)
    assert both.counts["put"] == 32 + 9


def test_a_resumed_backup_may_have_made_fewer_puts_than_it_has_chunks() -> None:
    # One counted, two after: all of them metadata's. No chunk may be counted as negative.
    found = request_cost(PRICES, [_with(NEXT, {"put": 1})])
    assert found.put == _money("0.015")


def test_classes_without_a_price_are_named_in_every_sum() -> None:
    odd = replace(FULL, data_class="FROSTY")
    found = source_cost(PRICES, head(odd), LINE, T0)
    report = CostReport((source_cost(PRICES, HEAD, LINE, T0), found))
    assert found.storage.unpriced == report.storage.unpriced == {"FROSTY"}
    assert report.unpriced == {"FROSTY"}
    assert request_cost(PRICES, [_with(odd, {"put": 9})]).unpriced == {"FROSTY"}


def test_a_chain_that_lost_a_backup_has_no_price() -> None:
    with pytest.raises(IntegrityError):
        source_cost(PRICES, head(NEXT, NEWEST), LINE, T0)
