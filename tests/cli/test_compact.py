"""``compact``, and ``full = "auto"``, against a real Btrfs and a real service."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.cli.shapes import golden_document, shape

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.program import Program

DEAR_RESTORES = """
service = "Elsewhere"
region = "north"
currency = "EUR"
date = 2026-01-02
egress_gb = 1000000
egress_free_gb = 0
[classes.STANDARD]
storage_gb_month = 0
put_1000 = 0
get_1000 = 0
"""
"""Whoever restores a byte too many is ruined; everything else is free."""


def _two_links(program: Program, data: Path) -> None:
    """A full backup, and an increment of a file that soon goes."""
    assert program.run("backup", data).code == 0
    (data / "more").write_bytes(os.urandom(1_000_000))
    assert program.run("backup", data).code == 0


def _kinds(program: Program) -> list[str]:
    (source,) = program.run("list", "--json").document["sources"]
    return [each["kind"] for each in source["backups"]]


def _dear(program: Program) -> tuple[str | Path, ...]:
    file = program.file.with_name("prices.toml")
    file.write_text(DEAR_RESTORES)
    # Two backups within seconds tell of a source that changes all the time: let no full one that
    # max_chain asks for blur what is compared.
    return "--prices", file, "--max-chain", "10000"


@pytest.mark.btrfs
def test_what_does_not_pay_is_not_done_unless_it_is_forced(
    program: Program, data: Path, target: Path
) -> None:
    _two_links(program, data)
    seldom = program.run("compact", data, "--json")
    assert seldom.code == 0, seldom.err
    expected = golden_document("compact")
    assert set(expected) == set(seldom.document)
    assert shape(seldom.document["decisions"]) == shape(expected["decisions"])
    (decision,) = seldom.document["decisions"]
    assert (decision["worthwhile"], decision["full_backup"]) == (False, False)
    assert decision["link_count"] == 2
    assert _kinds(program) == ["full", "incremental"]
    assert "a new full backup does not pay (2 links)" in program.run("compact", data).out

    tried = program.run("compact", data, "--force", "--dry-run")
    assert tried.code == 0
    assert "it would be made: --force" in tried.out
    assert f"{data.name}: full backup would be made" in tried.out
    assert _kinds(program) == ["full", "incremental"]

    # Nothing has changed since: it is made all the same, and restores by itself.
    forced = program.run("compact", data, "--force")
    assert forced.code == 0, forced.err
    assert f"{data.name}: full backup done" in forced.out
    assert _kinds(program) == ["full", "incremental", "full"]
    assert len(program.run("show", data.name, "--json").document["chain"]) == 1
    assert program.run("restore", data.name, "--target", target, "--verify", "full").code == 0
    # The next one is built on it.
    (data / "note").write_text("third\n")
    assert program.run("backup", data).code == 0
    assert len(program.run("show", data.name, "--json").document["chain"]) == 2


@pytest.mark.btrfs
def test_what_pays_is_done_and_only_once(program: Program, data: Path) -> None:
    _two_links(program, data)
    (data / "more").unlink()
    ran = program.run("compact", data, "--json", *_dear(program))
    assert ran.code == 0, ran.err
    (decision,) = ran.document["decisions"]
    assert decision["worthwhile"], decision["reason"]
    assert decision["go_on"]["link_count"] == 3
    assert decision["anew"]["link_count"] == 1
    assert ran.document["sources"][0]["kind"] == "full"
    assert ran.document["prices"]["origin"].endswith("prices.toml")
    assert _kinds(program) == ["full", "incremental", "full"]
    again = program.run("compact", data, *_dear(program))
    assert again.code == 0
    assert "the newest backup is full" in again.out
    assert _kinds(program) == ["full", "incremental", "full"]


@pytest.mark.btrfs
def test_a_backup_is_full_by_the_planner_only_with_auto(program: Program, data: Path) -> None:
    _two_links(program, data)
    (data / "note").write_text("third\n")
    plain = program.run("backup", data, "--json", *_dear(program))
    assert plain.document["sources"][0]["kind"] == "incremental"
    (data / "note").write_text("fourth\n")
    planned = program.run("plan", data, "--full-policy", "auto", "--json", *_dear(program))
    assert planned.document["sources"][0]["decision"] == "full"
    auto = program.run("backup", data, "--json", "--full-policy", "auto", *_dear(program))
    (source,) = auto.document["sources"]
    assert source["kind"] == "full"
    assert source["reasons"][0].startswith("full: full is auto, and a new full backup pays: ")


@pytest.mark.btrfs
def test_a_source_without_a_backup_is_told_when_it_is_named(program: Program, data: Path) -> None:
    assert program.run("backup", data).code == 0
    other = program.run("compact", data.parent / "other", "--json")
    assert other.code == 3
    assert "other has no backup in this repository" in other.document["error"]["message"]
    configured = program.configured(
        f'[[sources]]\npath = "{data}"\n[[sources]]\npath = "/not/stored"\n'
    )
    several = configured.run("compact", "--json")
    assert several.code == 0, several.err
    assert [each["full_backup"] for each in several.document["decisions"]] == [False, False]
    by_label = configured.run("compact", data.name, "--json")
    assert [each["label"] for each in by_label.document["decisions"]] == [data.name]
