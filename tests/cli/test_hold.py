"""``hold`` on the command line, and where other commands tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.program import Program


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["add"], "hold add needs a backup"),
        (["remove"], "hold remove needs a backup"),
        (["list", "--reason", "x"], "--reason is for 'hold add'"),
        (["keep", "data"], "'keep' is not one of"),
    ],
)
def test_what_makes_no_sense_is_refused(alone: Program, arguments: list[str], told: str) -> None:
    ran = alone.run("hold", *arguments)
    assert ran.code == 2
    assert told in ran.err


@pytest.mark.btrfs
def test_a_hold_is_shown_everywhere_and_beats_the_rules(program: Program, data: Path) -> None:
    for text in ("first\n", "second\n"):
        (data / "note").write_text(text)
        assert program.run("backup", "--full", data).code == 0
    first, second = (
        each["backup_id"]
        for each in program.run("list", data.name, "--json").document["sources"][0]["backups"]
    )
    named = f"{data.name}@{first}"
    prune = ("prune", data.name, "--keep", "last=1")
    assert program.run("hold", "remove", named).code == 2

    added = program.run("hold", "add", named, "--reason", "before the audit", "--json").document
    assert (added["backup_id"], added["held"], added["changed"]) == (first, True, True)
    assert "already, since" in program.run("hold", "add", named).out

    (hold,) = program.run("hold", "list", "--json").document["holds"]
    assert (hold["backup_id"], hold["reason"]) == (first, "before the audit")
    assert "before the audit" in program.run("hold", "list", data.name).out
    listed = program.run("list", data.name, "--json").document["sources"][0]["backups"]
    assert [each["held"] for each in listed] == [True, False]
    everything = program.run("list", "--json").document["sources"][0]["backups"]
    assert [each["held"] for each in everything] == [None, None]
    assert f"{first} (held)" in program.run("list", data.name).out
    assert program.run("show", named, "--json").document["hold"]["reason"] == "before the audit"
    assert ": before the audit" in program.run("show", named).out
    assert "it is held since" in program.run(*prune, "--dry-run").out
    pruned = program.run("plan", data, "--keep", "last=1", "--json").document["prune"]
    assert "it is held since" in pruned["sources"][0]["backups"][0]["reasons"][0]

    assert program.run(*prune).code == 0
    assert program.run("show", named).code == 0
    assert program.run("hold", "remove", named).out.endswith("is not held any more\n")
    assert program.run("hold", "list").out == "no backup is held\n"
    assert program.run(*prune).code == 0
    assert program.run("show", named).code == 2
    assert program.run("show", f"{data.name}@{second}", "--json").document["hold"] is None
