"""``thaw`` and what ``restore`` says of archived data, by the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from integration_tests.harness.services.moto import Moto
    from tests.cli.program import Program

pytestmark = pytest.mark.btrfs


@pytest.fixture
def archived(program: Program, data: Path) -> Program:
    """A repository with one backup in DEEP_ARCHIVE; moto thaws at once when asked."""
    ran = program.run("backup", data, "--storage-class", "DEEP_ARCHIVE")
    assert ran.code == 0, ran.err
    return program


def test_a_plan_shows_objects_hours_money_and_disk_and_asks_for_nothing(
    archived: Program, data: Path
) -> None:
    ran = archived.run("--json", "thaw", data.name, "plan")

    plan = ran.document
    assert ran.code == 0
    assert plan["frozen_count"] == plan["object_count"] > 1
    assert plan["peak_disk_bytes"] > plan["stored_size_bytes"]
    assert [each["tier"] for each in plan["tiers"]] == ["standard", "bulk"]
    assert [each["thaw_latest_s"] for each in plan["tiers"]] == [12 * 3600, 48 * 3600]
    assert plan["tiers"][0]["retrieval_amount"] > 0
    assert plan["prices"]["currency"] == "USD"
    assert "thaw" not in plan["requests"]


def test_the_verb_may_stand_first(archived: Program, data: Path) -> None:
    before = archived.run("--json", "thaw", "plan", data.name).document
    after = archived.run("--json", "thaw", data.name, "plan").document
    assert before["tiers"] == after["tiers"]
    ran = archived.run("thaw", data.name, "melt")
    assert ran.code == 2
    assert "plan|request|status|wait" in ran.err


def test_a_thaw_is_asked_for_looked_at_and_waited_for(archived: Program, data: Path) -> None:
    frozen = archived.run("--json", "thaw", data.name, "status")
    assert frozen.code == 6
    assert frozen.document["error"]["kind"] == "not_readable_yet"
    assert frozen.document["error"]["context"]["expected_time"] is None
    assert "request" in frozen.document["error"]["hint"]
    assert archived.run("thaw", data.name, "wait").code == 6

    asked = archived.run("--json", "thaw", data.name, "request", "--tier", "bulk", "--days", "5")
    assert asked.code == 0
    assert asked.document["requests"]["thaw"] == frozen.document["object_count"]
    assert asked.document["links"][0]["requested_tier"] == "bulk"

    again = archived.run("--json", "thaw", data.name, "request")
    assert again.code == 0
    assert "thaw" not in again.document["requests"]
    assert again.document["tier"] == "bulk"
    assert archived.run("thaw", data.name, "status").code == 0
    waited = archived.run("thaw", data.name, "wait")
    assert waited.code == 0
    assert "thawed" in waited.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tier", "expedited"), "DEEP_ARCHIVE has no expedited tier"),
        (("--budget", "0.0000001"), "more than the budget"),
        (("--budget", "much"), "no amount of money"),
        (("--days", "0"), "--days"),
    ],
)
def test_what_cannot_or_may_not_be_asked_for_ends_with_2_and_nothing_is(
    archived: Program, data: Path, options: tuple[str, ...], said: str
) -> None:
    ran = archived.run("thaw", data.name, "request", *options)
    assert ran.code == 2
    assert said in ran.err
    assert archived.run("--json", "thaw", data.name, "plan").document["thawing_count"] == 0


def test_a_restore_that_may_not_wait_ends_with_6_and_a_dry_run_says_what_it_takes(
    archived: Program, data: Path, target: Path
) -> None:
    ran = archived.run("restore", data.name, "--target", target)
    assert ran.code == 6
    assert "restore --wait" in ran.err
    assert list(target.iterdir()) == []

    shown = archived.run("--json", "restore", data.name, "--target", target, "--dry-run")
    assert shown.code == 0
    assert shown.document["thaw"]["frozen_count"] > 0
    as_text = archived.run("restore", data.name, "--target", target, "--dry-run").out
    assert "12 h 00 min" in as_text

    planned = archived.run("--json", "thaw", data.name, "plan", "--target", target).document
    assert planned["object_count"] == shown.document["thaw"]["object_count"]


def test_a_restore_that_waits_needs_no_request_before(
    archived: Program, data: Path, target: Path
) -> None:
    ran = archived.run(
        "--json", "restore", data.name, "--target", target, "--wait", "--thaw-poll", "1s"
    )
    assert ran.code == 0, ran.err
    assert ran.document["requests"]["thaw"] > 0
    # What is there already need not be thawed.
    plan = ("thaw", data.name, "plan", "--target", target)
    assert archived.run("--json", *plan).document["object_count"] == 0
    told = archived.run(*plan).out
    assert "nothing: all of it is on the target's filesystem already" in told
    assert "TIER" not in told


def test_a_restore_keeps_to_its_budget_before_anything_is_asked_for(
    archived: Program, data: Path, target: Path
) -> None:
    ran = archived.run("restore", data.name, "--target", target, "--wait", "--budget", "0.0000001")
    assert ran.code == 2
    assert "more than the budget" in ran.err
    assert list(target.iterdir()) == []
    assert archived.run("--json", "thaw", data.name, "plan").document["thawing_count"] == 0


def test_what_was_thawed_can_be_copied_also_where_listings_do_not_tell(
    archived: Program, moto: Moto, data: Path
) -> None:
    copy = ("copy", data.name, "--to", f"s3://{moto.create_bucket()}/copy")
    for words in (copy, (*copy, "--dry-run")):
        ran = archived.run(*words)
        assert ran.code == 6
        assert "chunks to copy cannot be read yet" in ran.err
        assert " request', then 'btrfs-to-s3 thaw " in ran.err
    assert archived.run("thaw", data.name, "request").code == 0
    assert archived.run(*copy).code == 0
