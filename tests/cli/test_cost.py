"""``cost`` against a real service, from a repository of real backups."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.cli.rendering import money
from btrfs_to_s3.model.prices import BUILT_IN
from tests.cli.shapes import golden_document, shape
from tests.plan.prices import PRICES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.program import Program

OWN_LIST = """
service = "Elsewhere"
region = "north"
currency = "EUR"
date = 2026-01-02
egress_gb = 0
egress_free_gb = 0
[classes.STANDARD]
storage_gb_month = 1024
put_1000 = 1
get_1000 = 1
"""


@pytest.mark.btrfs
def test_an_archived_repository_is_reckoned_with_its_prices(program: Program, data: Path) -> None:
    assert program.run("backup", data, "--storage-class", "GLACIER").code == 0
    ran = program.run("cost", "--json")
    assert ran.code == 0
    document = ran.document
    expected = golden_document("cost")
    assert set(expected) - set(document) == {"error"}
    assert shape(document["sources"]) == shape(expected["sources"])
    assert document["prices"]["service"] == "Amazon S3"
    # The service of the tests is not Amazon's.
    assert "which may ask other prices" in document["prices"]["doubts"][0]
    (source,) = document["sources"]
    assert source["classes"][0]["storage_class"] == "GLACIER"
    assert source["early_deletion_amount"] > 0
    assert source["requests_last_month"]["backup_count"] == 1
    assert source["requests_last_month"]["total_amount"] > 0
    assert [each["tier"] for each in source["restore"]["tiers"]] == [
        "expedited", "standard", "bulk",
    ]  # fmt: skip

    text = program.run("cost", data.name)
    assert text.code == 0
    assert f"nas/{source['source_id']}: " in text.out
    assert "prices  Amazon S3 us-east-1, " in text.out


@pytest.mark.btrfs
def test_a_list_of_ones_own_names_what_it_has_no_price_for(program: Program, data: Path) -> None:
    file = program.file.with_name("prices.toml")
    file.write_text(OWN_LIST)
    assert program.run("backup", data, "--storage-class", "STANDARD_IA").code == 0
    ran = program.run("cost", "--json", "--prices", file)
    assert ran.code == 0
    assert ran.document["unpriced"] == ["STANDARD_IA"]
    assert ran.document["prices"]["origin"] == str(file)
    assert "no price for STANDARD_IA" in program.run("cost", "--prices", file).out


@pytest.mark.btrfs
def test_the_bandwidth_limit_is_the_download_that_is_expected(program: Program, data: Path) -> None:
    assert program.run("backup", data).code == 0
    ran = program.run("cost", "--json", "--bandwidth-limit", "2MiB")
    assert ran.document["download_bytes_per_s"] == 2 * 1024**2
    (restore,) = ran.document["sources"][0]["restore"]["tiers"]
    assert restore["tier"] is None
    assert restore["download_s"] == pytest.approx(
        restore["download_size_bytes"] / 2 / 1024**2, 0.01
    )


def test_no_repository_is_said(program: Program) -> None:
    ran = program.run("cost", "--json")
    assert ran.code == 2
    assert "there is no repository" in ran.document["error"]["message"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0 USD"),
        ("0.00001", "less than 0.0001 USD"),
        ("0.00415", "0.0042 USD"),
        ("0.99999", "1.0000 USD"),
        ("12.345", "12.35 USD"),
        ("-3", "-3.00 USD"),
    ],
)
def test_amounts_are_rounded_only_when_shown(value: str, text: str) -> None:
    assert money.shown(Decimal(value), "USD") == text


def test_only_known_differences_are_doubts() -> None:
    assert PRICES.doubts("here", None) == PRICES.doubts(None, None) == ()
    assert PRICES.doubts("there", None) == (
        "the repository's region is there, which may ask other prices",
    )
    assert PRICES.origin != BUILT_IN
    assert PRICES.doubts("there", "http://minio") == ()
