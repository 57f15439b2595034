"""Price lists: what comes with the program, and what a file may say."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from btrfs_to_s3.config.prices import load_prices, read_prices
from btrfs_to_s3.errors import ConfigError
from btrfs_to_s3.model.storage_class import Tier, storage_class

SMALL = """
service = "Elsewhere"
region = "north"
currency = "EUR"
date = 2026-01-02
egress_gb = 0.01
egress_free_gb = 0
[classes.COLD]
storage_gb_month = 0.001
put_1000 = 1
get_1000 = 0.5
"""


def test_the_packaged_list_prices_a_tib_in_deep_archive_at_about_a_dollar() -> None:
    prices = load_prices(None)
    cold = prices.of_class("DEEP_ARCHIVE")
    assert cold is not None
    assert cold.storage_gb_month * 1024 == Decimal("1.01376")
    assert prices.name.startswith("Amazon S3 us-east-1, ")
    assert prices.name.endswith(", USD")


def test_the_packaged_list_has_a_price_for_every_tier_that_a_class_has() -> None:
    for name, price in load_prices(None).classes.items():
        assert set(price.thaw) == set(storage_class(name).thaw), name


def test_a_file_replaces_the_packaged_list_and_keeps_every_digit(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(SMALL)
    prices = load_prices(file)
    cold = prices.of_class("COLD")
    assert cold is not None
    assert (cold.storage_gb_month, cold.put_1000) == (Decimal("0.001"), Decimal(1))
    assert (prices.name, prices.origin) == ("Elsewhere north, 2026-01-02, EUR", str(file))
    assert prices.of_class("STANDARD") is None


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("egress_gb = 0.01", "egress_gb = -1", "egress_gb: found"),
        ("egress_gb = 0.01", "", "egress_gb: found nothing"),
        ("put_1000 = 1", "put_1000 = true", "classes.COLD.put_1000"),
        ("put_1000 = 1", "put_1000 = nan", "classes.COLD.put_1000"),
        ("put_1000 = 1", "put_1000 = 1\nputt_1000 = 1", "putt_1000: no such entry"),
        ("put_1000 = 1", "put_1000 = 1\nthaw.slow = {}", "classes.COLD.thaw.slow"),
        ("put_1000 = 1", "put_1000 = 1\nthaw.bulk = {}", "thaw.bulk.retrieval_gb"),
        ("date = 2026-01-02", 'date = "2026"', "date: found"),
        ('currency = "EUR"', 'currency = " "', "currency: found"),
        ("[classes.COLD]", "[classes]\nCOLD = 1\n[rest]", "no such entry"),
        ("egress_gb", "= egress_gb", "is not TOML"),
    ],
)
def test_a_price_that_cannot_be_used_is_named(before: str, after: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_prices(SMALL.replace(before, after, 1), "FILE")
    assert str(caught.value).startswith("FILE: ")
    assert told in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path / "none")):
        load_prices(tmp_path / "none")


def test_what_can_be_read_at_once_needs_no_thaw() -> None:
    archived = {
        name
        for name in ("STANDARD", "GLACIER_IR", "INTELLIGENT_TIERING", "GLACIER", "ANY")
        if storage_class(name).archived
    }
    assert archived == {"GLACIER"}
    assert Tier.EXPEDITED not in storage_class("DEEP_ARCHIVE").thaw


def test_the_documented_example_is_a_price_list() -> None:
    document = (Path(__file__).parents[2] / "docs" / "cost.md").read_text("utf-8")
    example = document.partition("```toml\n")[2].partition("```")[0]
    prices = read_prices(example, "docs/cost.md")
    assert set(prices.classes["DEEP_ARCHIVE"].thaw) == {Tier.STANDARD, Tier.BULK}
