"""The table of settings is consistent, and what it promises about each of them holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from btrfs_to_s3.config.load import load
from btrfs_to_s3.config.settings import CHUNK_SIZE, FULL, REPOSITORY, SEND_PROTOCOL, SETTINGS
from btrfs_to_s3.errors import ConfigError

if TYPE_CHECKING:
    from btrfs_to_s3.config.setting import Setting

ABSENT = Path("/nonexistent/config.toml")

SAMPLES = {
    "repository": "s3://bucket/prefix",
    "endpoint_url": "https://s3.example.org:9000",
    "region": "eu-central-1",
    "profile": "backup",
    "addressing": "path",
    "ca_bundle": "/dev/null/ca.pem",
    "sse": "aws:kms",
    "sse_kms_key_id": "alias/backup",
    "storage_class": "DEEP_ARCHIVE",
    "metadata_class": "STANDARD_IA",
    "prices": "/dev/null/prices.toml",
    "thaw_poll": "30s",
    "part_size": "32MiB",
    "concurrency": "7",
    "bandwidth_limit": "20MB/s",
    "outage_patience": "2h",
    "retry_attempts": "3",
    "connect_timeout": "5s",
    "read_timeout": "2m",
    "chunk_size": "1GiB",
    "compression_level": "19",
    "compression_threads": "3",
    "send.protocol": "1",
    "strategy": "tree",
    "full": "auto",
    "full_every": "30d",
    "max_chain": "10",
    "keep": "last=3,daily=7",
    "keep_local": "2",
    "orphan_age": "2w",
    "host": "web1",
    "snapshot_directory": "our-snapshots",
    "state_dir": "/srv/state",
    "priority": "idle",
    "on_battery": "wait",
    "network_interfaces": "eth0 wlan*",
    "network_exclude": "wwan*",
    "network_wait": "1m",
    "notify_urls": "ntfy://127.0.0.1/backups json://127.0.0.1/?a=1,2",
    "ping_url": "http://127.0.0.1:8000/ping/1234",
    "metrics_file": "/var/lib/metrics/backup.prom",
}


def each_setting() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)


def test_names_options_and_variables_are_unique() -> None:
    variables = [variable for setting in SETTINGS for variable in setting.environment]
    assert len(set(variables)) == len(variables)
    assert len({setting.parameter for setting in SETTINGS}) == len(SETTINGS)


def test_every_setting_has_one_name_in_its_three_spellings() -> None:
    assert CHUNK_SIZE.option == "--chunk-size"
    assert CHUNK_SIZE.environment == ("BTRFS_TO_S3_CHUNK_SIZE",)
    assert SEND_PROTOCOL.option == "--send-protocol"
    assert SEND_PROTOCOL.environment == ("BTRFS_TO_S3_SEND_PROTOCOL",)
    assert FULL.option == "--full-policy"
    assert FULL.environment == ("BTRFS_TO_S3_FULL_POLICY",)
    assert REPOSITORY.environment == ("BTRFS_TO_S3_URL", "BTRFS_TO_S3_REPOSITORY")


def test_every_setting_has_a_sample_here() -> None:
    assert SAMPLES.keys() == {setting.name for setting in SETTINGS}


@each_setting()
def test_a_default_reads_as_itself(setting: Setting[Any]) -> None:
    assert setting.type.from_toml(setting.type.to_toml(setting.default)) == setting.default


@each_setting()
def test_text_and_its_written_form_mean_the_same(setting: Setting[Any]) -> None:
    value = setting.type.from_text(SAMPLES[setting.name])
    assert value != setting.default
    assert setting.type.from_toml(setting.type.to_toml(value)) == value


@each_setting()
def test_a_setting_can_be_shown_in_help(setting: Setting[Any]) -> None:
    assert re.fullmatch("[A-Z]+", setting.type.metavar)
    assert setting.type.allowed
    assert setting.default_text
    assert setting.help.endswith(".")


@each_setting()
@pytest.mark.parametrize("found", [True, 1.5, [[]], [1], {"a": 1}, -1, "", "\x00", "no good\n"])
def test_a_wrong_value_is_refused_with_its_place_and_what_is_allowed(
    setting: Setting[Any], found: object, tmp_path: Path
) -> None:
    file = tmp_path / "config.toml"
    group, _, name = setting.name.rpartition(".")
    header = f"[{group}]\n" if group else ""
    file.write_text(f"{header}{name} = {_toml(found)}\n")
    with pytest.raises(ConfigError) as caught:
        load(file, environ={}, command_line={})
    assert caught.value.message.startswith(f"{file}: {setting.name}: found ")
    assert "allowed: " in caught.value.message or caught.value.hint


@each_setting()
def test_a_wrong_variable_or_option_is_refused_with_its_name(setting: Setting[Any]) -> None:
    wrong = "\x07"
    for variable in setting.environment:
        with pytest.raises(ConfigError, match=f"^environment {variable}: found "):
            load(None, environ={variable: wrong}, command_line={}, default_file=ABSENT)
    with pytest.raises(ConfigError, match=f"^{setting.option}: found "):
        load(None, environ={}, command_line={setting.parameter: wrong}, default_file=ABSENT)


def _toml(found: object) -> str:
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, str):
        return '"' + "".join(f"\\u{ord(character):04x}" for character in found) + '"'
    if isinstance(found, dict):
        return "{a = 1}"
    return str(found).replace("'", '"')
