"""Standard output, and what happens when it does not take the result."""

from __future__ import annotations

import io
import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from rich.text import Text

from btrfs_to_s3.cli.output import write_json, write_text
from btrfs_to_s3.cli.rendering.prune import Priced, plan_text
from btrfs_to_s3.cli.rendering.text import facts, table
from btrfs_to_s3.errors import LocalSpaceError
from btrfs_to_s3.model.policy import KeepPolicy
from btrfs_to_s3.operations.prune.prune import KeepWishes, RepositoryPlan, SourcePlan
from tests.cli.test_messages import Terminal
from tests.plan.build import SOURCE_ID
from tests.plan.prices import PRICES

if TYPE_CHECKING:
    from tests.cli.program import Program

LONG = "word " * 60


def test_a_document_is_json_with_its_keys_in_order() -> None:
    stream = io.StringIO()
    write_json(stream, {"b": 1, "a": ["x\udcff", None]})
    assert json.loads(stream.getvalue()) == {"b": 1, "a": ["x\udcff", None]}
    assert stream.getvalue().index('"b"') < stream.getvalue().index('"a"')
    assert stream.getvalue().isascii()


def test_lines_are_never_folded_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    write_text(stream, [Text("heading"), facts([("name", LONG)]), table(("A", "B"), [("1", LONG)])])
    lines = stream.getvalue().splitlines()
    assert lines[0] == "heading"
    assert lines[1] == f"  name  {LONG.strip()}"
    assert lines[3] == f"1  {LONG.strip()}"


def test_markup_in_names_is_shown_as_it_is() -> None:
    stream = io.StringIO()
    write_text(stream, [table(("NAME",), [("[red]x[/red] :smile:",)])])
    assert "[red]x[/red] :smile:" in stream.getvalue()


def test_a_terminal_folds_long_values_without_losing_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    stream = Terminal()
    write_text(stream, [facts([("name", LONG)])])
    assert stream.getvalue().count("word") == 60
    assert len(stream.getvalue().splitlines()) > 3


def test_a_table_on_a_terminal_keeps_its_ids_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream, backup_id = Terminal(), "20261120T020000Z-full-1a2b3c4d"
    write_text(stream, [table(("A", "B", "C"), [(backup_id, backup_id, backup_id)])])
    assert stream.getvalue().count(backup_id) == 3


def test_a_full_disk_behind_a_text_is_an_error_too() -> None:
    with (
        open("/dev/full", "w", encoding="utf-8") as full,  # noqa: PTH123 - a device
        pytest.raises(LocalSpaceError),
    ):
        write_text(full, ["something"])


def test_a_full_disk_behind_standard_output_is_an_error() -> None:
    with (
        open("/dev/full", "w", encoding="utf-8") as full,  # noqa: PTH123 - a device
        pytest.raises(LocalSpaceError, match="could not be written to standard output"),
    ):
        write_json(full, {"a": 1})


def test_a_reader_that_went_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        write_text(gone, [Text("nobody reads this")])


def test_the_program_does_not_end_in_0_when_its_result_is_lost(alone: Program) -> None:
    with (
        open("/dev/full", "w", encoding="utf-8") as full,  # noqa: PTH123 - a device
        alone.start("completion", "bash", stdout=full) as process,
    ):
        _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert err.startswith("error: the result could not be written to standard output")


@pytest.mark.parametrize("arguments", [["completion", "bash"], ["--help"]])
def test_a_closed_pipe_ends_quietly(alone: Program, arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    with alone.start(*arguments, stdout=write) as process:
        os.close(write)
        _, err = process.communicate(timeout=30)
    assert err == ""
    assert process.returncode == 0


def test_closed_standard_streams_change_no_exit_code(alone: Program) -> None:
    def close_both() -> None:
        os.close(1)
        os.close(2)

    for arguments, code in ((["completion", "bash"], 0), (["list"], 2)):
        with alone.start(*arguments, stdout=None, stderr=None, preexec_fn=close_both) as process:
            assert process.wait(timeout=30) == code


def test_an_error_keeps_its_exit_code_when_nobody_reads_standard_error(alone: Program) -> None:
    read, write = os.pipe()
    os.close(read)
    with alone.start("list", stdout=subprocess.DEVNULL, stderr=write) as process:
        os.close(write)
        assert process.wait(timeout=30) == 2


def test_a_source_without_backups_is_a_sentence_and_no_empty_table() -> None:
    stream = io.StringIO()
    begun = SourcePlan(KeepWishes(SOURCE_ID, KeepPolicy()))
    write_text(stream, plan_text(RepositoryPlan((begun,), None), Priced(PRICES)))
    assert stream.getvalue() == f"{SOURCE_ID}: no backups yet, so none to remove\n"


def test_plain_text_is_written_as_it_is() -> None:
    stream = Terminal()
    write_text(stream, [f"[red] :smile: {LONG}\n\nend"])
    assert stream.getvalue().splitlines() == [f"[red] :smile: {LONG}".rstrip(), "", "end"]
