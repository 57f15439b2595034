"""What cannot be done at all: usage and configuration (2) and bugs (1), as text and as JSON."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.program import Program, Ran

TOLD: dict[tuple[str, ...], str] = {
    ("hold",): "error: missing argument 'add|remove|list'. Choose from: add, remove, list\n",
    ("thaw", "data", "requst"): "hint: 'btrfs-to-s3 thaw data request'\n",
    ("thaw", "requst", "data"): "hint: 'btrfs-to-s3 thaw data request'\n",
    ("thaw", "data", "melt"): "hint: 'btrfs-to-s3 thaw data plan|request|status|wait'\n",
    ("copy", "data", "--to", "of"): 'error: --to: found "of"; allowed: s3://',
}
WRONG: dict[str, tuple[str, ...]] = {
    "no command": (),
    "an unknown command": ("bakcup",),
    "an unknown option": ("list", "--fulll"),
    "no repository": ("list",),
    "no repository for a backup": ("backup", "/"),
    "no repository for a plan": ("plan", "/"),
    "an impossible value": ("list", "--retry-attempts", "0"),
    "an impossible age": ("status", "--max-age", "soon"),
    "a missing argument": ("show",),
    "a missing target": ("restore", "data"),
    "an unknown shell": ("completion", "cmd"),
    "opposites": ("-v", "-q", "list"),
    "no such file": ("-c", "/nonexistent.toml", "list"),
    "adopt and new": ("backup", "/a", "--adopt", "a-01234567", "--new"),
    "no source id": ("backup", "/a", "--adopt", "what"),
    "checksums of data": ("verify", "--level", "data", "--checksums"),
    "rebuild without a source": ("verify", "--rebuild-head"),
}
NEEDING_A_REPOSITORY = ("adopt and new", "no source id", "opposites", "an impossible age")


def _run(program: Program, name: str, *extra: str) -> Ran:
    if name in NEEDING_A_REPOSITORY:
        program = program.with_environment(BTRFS_TO_S3_URL="s3://bucket/prefix")
    return program.run(*extra, *WRONG[name])


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_done_ends_with_2_an_error_and_a_hint(alone: Program, name: str) -> None:
    ran = _run(alone, name)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.lines[0].startswith("error: ")
    assert len(ran.lines[0]) > len("error: ") + 5


@pytest.mark.parametrize("name", WRONG)
def test_json_says_the_same_and_ends_with_the_same_code(alone: Program, name: str) -> None:
    ran = _run(alone, name, "--json")
    assert ran.code == 2
    assert set(ran.document) == {"error"}
    error = ran.document["error"]
    assert set(error) == {"code", "kind", "message", "hint", "context"}
    assert error["code"] == 2
    assert error["kind"] in ("usage", "config")
    assert ran.lines[0] == f"error: {error['message']}"


def test_no_source_given_and_none_configured_is_never_success(alone: Program) -> None:
    program = alone.with_environment(BTRFS_TO_S3_URL="s3://bucket/prefix")
    for command in ("backup", "plan"):
        ran = program.run(command)
        assert ran.code == 2
        assert ran.lines == [
            "error: no source is named",
            "hint: give the path of a subvolume, or add [[sources]] to the configuration file",
        ]


def test_options_for_one_source_are_refused_for_several(alone: Program) -> None:
    program = alone.with_environment(BTRFS_TO_S3_URL="s3://bucket/prefix")
    for option in (["--new"], ["--adopt", "a-01234567"], ["--snapshot", "/s"]):
        ran = program.run("backup", "/a", "/b", *option)
        assert ran.code == 2
        assert ran.lines[0] == f"error: {option[0]} is for one source, but 2 are to be backed up"


def test_two_sources_of_one_label_are_refused_with_the_lines_to_add(alone: Program) -> None:
    program = alone.with_environment(BTRFS_TO_S3_URL="s3://bucket/prefix")
    ran = program.run("backup", "/mnt/a/data", "/mnt/b/data")
    assert ran.code == 2
    assert "  [[sources]]" in ran.lines


def test_an_unknown_variable_is_told_and_does_not_stop_anything(alone: Program) -> None:
    ran = alone.with_environment(BTRFS_TO_S3_CHUNKSIZE="1MiB").run("list")
    assert "BTRFS_TO_S3_CHUNKSIZE is no setting" in ran.lines[0]
    assert ran.lines[0].startswith("warning: ")


def test_help_and_version_end_with_0(alone: Program) -> None:
    for arguments, said in (
        (["--help"], "Usage: btrfs-to-s3"),
        (["-h"], "Usage: btrfs-to-s3"),
        (["backup", "--help"], "Usage: btrfs-to-s3 backup"),
        (["--version"], "btrfs-to-s3 0."),
    ):
        ran = alone.run(*arguments)
        assert ran.code == 0
        assert ran.out.startswith(said)
        assert list(alone.run("--json", *arguments).document) in (["help"], ["version"])


def test_help_shows_the_settings_by_topic_in_the_order_of_the_reference(alone: Program) -> None:
    said = alone.run("prune", "--help").out
    titles = [line for line in said.splitlines() if line.endswith("(settings):")]
    assert titles[0] == "The repository and its service (settings):"
    assert titles[-2:] == ["The way to the service (settings):", "Being told (settings):"]
    _, _, network = said.partition(titles[-2])
    assert network.index("--network-wait") < network.index(titles[-1])


class Broken(dict[str, str]):
    """An environment in which no setting can be read: something no code here expects."""

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as dict's
        if name.startswith("BTRFS_TO_S3_"):
            raise ZeroDivisionError("division by zero")
        return super().get(name, default)


def test_a_bug_ends_with_1_in_one_line(alone: Program) -> None:
    broken = replace(alone, environ=Broken())
    ran = broken.run("list")
    assert ran.code == 1
    assert ran.lines == [
        "error: this is a bug in btrfs-to-s3: ZeroDivisionError: division by zero",
        "hint: please report it with the output of the same command with -v",
    ]
    assert "Traceback" in broken.run("-v", "list").err
    assert broken.run("--json", "list").document["error"]["kind"] == "bug"


def test_completion_prints_what_the_shell_needs(alone: Program) -> None:
    for shell in ("bash", "zsh", "fish"):
        ran = alone.spawn("completion", shell)
        assert ran.code == 0
        assert "_BTRFS_TO_S3_COMPLETE" in ran.out
        assert alone.run("--json", "completion", shell).document == {
            "shell": shell,
            "script": ran.out,
        }
    asked = alone.with_environment(
        _BTRFS_TO_S3_COMPLETE="bash_complete", COMP_WORDS="btrfs-to-s3 ba", COMP_CWORD="1"
    ).spawn()
    assert asked.out.splitlines() == ["plain,backup"]


def test_an_option_of_a_command_before_it_is_refused_with_where_it_belongs(alone: Program) -> None:
    for arguments, command in (
        (["--repository", "s3://bucket/pre", "list"], "list"),
        (["--repository=s3://bucket/pre", "status"], "status"),
        (["--target", "/mnt", "list"], "restore"),
    ):
        ran = alone.run(*arguments)
        option = arguments[0].partition("=")[0]
        assert ran.code == 2
        assert ran.lines == [
            f"error: {option} is an option of a command and stands before it",
            f"hint: put it after the command: btrfs-to-s3 {command} {option} …",
        ]
    assert alone.run("--fulll", "backup").lines[0].startswith("error: no such option")


def test_an_endpoint_without_a_scheme_is_refused_with_how_to_write_it(alone: Program) -> None:
    program = alone.with_environment(BTRFS_TO_S3_URL="s3://bucket/prefix")
    hint = "hint: add http:// or https:// in front: https://localhost:9000"
    by_option = program.run("list", "--endpoint-url", "localhost:9000")
    by_variable = program.with_environment(AWS_ENDPOINT_URL="localhost:9000").run("list")
    for ran, place in (
        (by_option, "--endpoint-url"),
        (by_variable, "environment AWS_ENDPOINT_URL"),
    ):
        assert ran.code == 2
        assert ran.lines[0].startswith(f'error: {place}: found "localhost:9000"')
        assert ran.lines[1] == hint


@pytest.mark.parametrize("arguments", TOLD, ids=" ".join)
def test_a_mistake_is_named_with_what_is_possible(
    alone: Program, arguments: tuple[str, ...]
) -> None:
    ran = alone.run(*arguments)
    assert ran.code == 2
    assert TOLD[arguments] in ran.err
