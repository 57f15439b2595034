"""``prune`` of an archive class: what it leaves, and what it removes for a charge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.program import Program


@pytest.mark.btrfs
def test_what_is_billed_anyway_is_left_until_somebody_pays(program: Program, data: Path) -> None:
    program = program.with_environment(BTRFS_TO_S3_STORAGE_CLASS="DEEP_ARCHIVE")
    for text in ("first\n", "second\n"):
        (data / "note").write_text(text)
        assert program.run("backup", "--full", data).code == 0
    prune = ("prune", data.name, "--keep", "last=1")

    left = program.run(*prune, "--json").document
    (source,) = left["sources"]
    assert source["result"]["removed"] == []
    early = source["backups"][0]["early_deletion"]
    assert early["left"]
    assert early["charge_amount"] > 0
    assert source["early_deletion_amount"] == 0
    assert source["early_deletion_all_amount"] == early["charge_amount"]
    assert left["prices"]["currency"] == "USD"
    told = program.run(*prune)
    assert told.code == 0
    assert "DEEP_ARCHIVE bills it until" in told.out
    assert "with --pay-early-deletion" in told.out
    (data / "note").write_text("third\n")
    both = program.run("plan", data, "--keep", "last=1").out
    assert "DEEP_ARCHIVE bills it until" in both
    assert "what that costs" in both
    assert both.count("prices  ") == 1
    planned = program.run("plan", data, "--keep", "last=1", "--json").document["prune"]
    assert planned["sources"][0]["backups"][0]["early_deletion"]["left"]

    shown = program.run(*prune, "--pay-early-deletion", "--dry-run").out
    assert "which is to be paid" in shown
    assert "for deleting 1 backup early" in shown
    paid = program.run(*prune, "--pay-early-deletion", "--json").document["sources"][0]
    assert len(paid["result"]["removed"]) == 1
    assert paid["early_deletion_amount"] == pytest.approx(early["charge_amount"], rel=0.01)
