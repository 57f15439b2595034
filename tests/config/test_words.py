"""Settings of several words, and those that are shown nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.config.describe import as_toml
from btrfs_to_s3.config.load import load
from btrfs_to_s3.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_list_in_the_file_and_words_in_the_environment_mean_the_same(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('network_exclude = ["wwan*", "ppp0", "wwan*"]\n')
    assert load(file, environ={}, command_line={}).machine.network_exclude == ("wwan*", "ppp0")
    environ = {"BTRFS_TO_S3_NETWORK_EXCLUDE": "wwan*  ppp0"}
    assert load(file, environ=environ, command_line={}).machine.network_exclude == ("wwan*", "ppp0")


@pytest.mark.parametrize("nothing", ["[]", '"none"'])
def test_an_empty_list_takes_back_what_a_file_set(tmp_path: Path, nothing: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"network_exclude = {nothing}\n")
    assert load(file, environ={}, command_line={}).machine.network_exclude == ()
    file.write_text('network_exclude = ["wwan0"]\n')
    given = load(file, environ={}, command_line={"network_exclude": "none"})
    assert given.machine.network_exclude == ()


@pytest.mark.parametrize("joined", ["wwan*,usb*", "wwan*, usb*"])
def test_names_joined_by_commas_are_refused_and_not_taken_for_one_that_nothing_has(
    tmp_path: Path, joined: str
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'network_exclude = ["{joined}"]\n')
    with pytest.raises(ConfigError, match="separated by spaces"):
        load(file, environ={}, command_line={})
    with pytest.raises(ConfigError, match="separated by spaces"):
        load(None, environ={}, command_line={"network_exclude": joined})


def test_what_may_hold_a_secret_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('notify_urls = ["mailto://me:hunter2@example.org"]\n')
    shown = as_toml(
        load(file, environ={"BTRFS_TO_S3_PING_URL": "https://x/secret"}, command_line={})
    )
    assert "hunter2" not in shown
    assert "https://x" not in shown
    assert f"# notify_urls is set  # {file}: notify_urls" in shown
    assert "# ping_url is set" in shown


def test_an_error_in_a_secret_does_not_repeat_it(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    for wrong in ('notify_urls = ["hunter2"]', 'ping_url = "hunter2"'):
        file.write_text(f"{wrong}\n")
        with pytest.raises(ConfigError) as caught:
            load(file, environ={}, command_line={})
        assert "hunter2" not in str(caught.value)
