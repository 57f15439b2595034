"""``plan --simulate``: with given sizes, and with those of a real repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.shapes import golden_document, shape

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.program import Program

SIZES = ("--full-size", "100GiB", "--daily-change", "1GiB")


def test_given_sizes_need_no_repository(alone: Program) -> None:
    ran = alone.run("plan", "/srv", "--simulate", "90d", *SIZES, "--runs-per-day", "2", "--json")
    assert ran.code == 0, ran.err
    assert shape(ran.document) == shape({**golden_document("plan-simulate"), "prices": {
        **golden_document("plan-simulate")["prices"], "doubts": [],
    }})  # fmt: skip
    (source,) = ran.document["sources"]
    assert (source["label"], source["every_s"]) == ("srv", 43200)
    chain, tree = source["strategies"]
    assert (chain["strategy"], chain["configured"]) == ("chain", True)
    assert (tree["strategy"], tree["configured"]) == ("tree", False)
    assert chain["backup_count"] == 180
    text = alone.run("plan", "/srv", "--simulate", "90d", *SIZES)
    assert "srv in STANDARD after 90 d 0 h: 100.0 GiB, 1.0 GiB of it changed a day" in text.out
    assert "chain (now)" in text.out


def test_given_sizes_need_no_source_either(alone: Program) -> None:
    ran = alone.run("plan", "--simulate", "90d", *SIZES, "--storage-class", "DEEP_ARCHIVE")
    assert ran.code == 0, ran.err
    assert "source in DEEP_ARCHIVE after 90 d 0 h: 100.0 GiB" in ran.out
    assert "in a class with a minimum duration once a week" in ran.out
    assert "(assumed: no bandwidth_limit is set)" in ran.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--simulate", "1h", *SIZES), "allowed: 1 day to 20 years"),
        (("--simulate", "30y", *SIZES), "allowed: 1 day to 20 years"),
        (("--simulate", "soon", *SIZES), "--simulate: 'soon' is not"),
        (
            ("--simulate", "2y", "--full-size", "much", "--daily-change", "1"),
            "--full-size: 'much' is not",
        ),
        (("--full-size", "1GiB"), "--full-size is for a simulation"),
        (("--daily-change", "1GiB"), "--daily-change is for a simulation"),
        (("--runs-per-day", "2"), "--runs-per-day is for a simulation"),
        (("--simulate", "2y", "--runs-per-day", "0", *SIZES), "0 is not in the range"),
        (("--simulate", "2y"), "no repository is named"),
    ],
)
def test_what_makes_no_sense_is_refused(
    alone: Program, arguments: tuple[str, ...], told: str
) -> None:
    ran = alone.run("plan", "/srv", *arguments)
    assert ran.code == 2
    assert told in ran.err


@pytest.mark.btrfs
def test_what_is_not_given_is_measured_and_never_guessed(program: Program, data: Path) -> None:
    unknown = program.run("plan", data, "--simulate", "30d")
    assert unknown.code == 2
    assert "give --full-size and --daily-change" in unknown.err

    assert program.run("backup", data).code == 0
    half = program.run("plan", data, "--simulate", "30d")
    assert half.code == 2
    assert "hint: give --daily-change" in half.err

    (data / "note").write_text("second\n")
    assert program.run("backup", data).code == 0
    known = program.run("plan", data, "--simulate", "30d", "--runs-per-day", "1", "--json")
    assert known.code == 0, known.err
    (source,) = known.document["sources"]
    assert source["full_size_bytes"] > 3_000_000
    # Zeros were among it.
    assert source["stored_ratio"] < 0.7
