"""Options: every one is known, documented, passed on and exercised."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from btrfs_to_s3.cli.options import RUNS, Command, SettingOption
from btrfs_to_s3.cli.root import root
from btrfs_to_s3.config.settings import NOTIFY_URLS, PING_URL, PRIORITY, SETTINGS

if TYPE_CHECKING:
    from tests.cli.program import Program

REQUIRED = {
    "copy": ["data", "--to", "s3://other"],
    "hold": ["list"],
    "show": ["data"],
    "restore": ["data", "--target", "/nowhere"],
    "systemd": ["status"],
    "thaw": ["data", "plan"],
}
SETTING_OPTIONS = [
    (name, option.opts[0])
    for name, command in sorted(root.commands.items())
    for option in command.params
    if isinstance(option, SettingOption)
]
OWN_OPTIONS = sorted(
    {
        name
        for command in [root, *root.commands.values()]
        for option in command.params
        if isinstance(option, click.Option) and not isinstance(option, SettingOption)
        for name in option.opts
    }
)


@pytest.mark.parametrize(("command", "option"), SETTING_OPTIONS)
def test_a_settings_option_reaches_the_configuration(
    alone: Program, command: str, option: str
) -> None:
    ran = alone.run(command, *REQUIRED.get(command, []), option, "")
    assert ran.code == 2
    assert ran.lines[0].startswith(f"error: {option}: found ")


def test_every_setting_can_be_given_on_some_command_line() -> None:
    assert {option for _, option in SETTING_OPTIONS} == {setting.option for setting in SETTINGS}


def test_the_commands_that_are_told_of_are_those_whose_runs_are_followed_and_the_restore() -> None:
    """Who is told of a command is whom it takes the setting of."""
    told = {name for name, option in SETTING_OPTIONS if option == NOTIFY_URLS.option}
    assert told | {"restore"} == RUNS
    assert {name for name, option in SETTING_OPTIONS if option == PRIORITY.option} == told
    assert [name for name, option in SETTING_OPTIONS if option == PING_URL.option] == ["backup"]


@pytest.mark.parametrize("option", OWN_OPTIONS)
def test_every_option_is_exercised_by_a_test(option: str) -> None:
    tests = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    assert any(f'"{option}"' in each for each in tests)


@pytest.mark.parametrize("name", sorted(root.commands))
def test_help_names_the_default_of_every_option(name: str) -> None:
    command = root.commands[name]
    for option in command.params:
        if not isinstance(option, click.Option) or option.hidden:
            continue
        assert option.help is not None
        assert "[default: " in option.help or option.required, option.opts


@pytest.mark.parametrize("name", sorted(root.commands))
def test_help_fits_a_terminal_and_shows_every_option(alone: Program, name: str) -> None:
    shown = alone.run(name, "--help").out
    for option in root.commands[name].params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.opts[0] in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_the_environment_has_the_same_names(alone: Program) -> None:
    for setting in SETTINGS:
        program = alone.with_environment(**{setting.environment[-1]: "\x7f"})
        ran = program.run("list")
        assert ran.code == 2
        assert ran.lines[0].startswith(f"error: environment {setting.environment[-1]}: found ")


@pytest.mark.parametrize("name", sorted(root.commands))
def test_global_options_stand_before_or_after_the_command(name: str) -> None:
    command = root.commands[name]
    assert isinstance(command, Command)
    hidden = {
        opt
        for option in command.params
        if isinstance(option, click.Option) and option.hidden
        for opt in option.opts
    }
    assert hidden == {
        "-c", "--config", "-v", "--verbose", "-q", "--quiet", "--json", "--no-progress",
    }  # fmt: skip


def test_json_after_the_command_is_json(alone: Program) -> None:
    assert alone.run("list", "--json").document["error"]["code"] == 2
    # After "--" it is an argument.
    assert alone.run("list", "--", "--json").out == ""


def test_long_names_of_global_options_work(alone: Program, tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text("chunk_size = 3\n")
    ran = alone.run("list", "--config", file, "--verbose", "--no-progress")
    assert ran.lines[0] == "Traceback (most recent call last):" or str(file) in ran.err
    assert str(file) in ran.err
    assert alone.run("list", "--quiet", "--verbose").code == 2
