"""Who is told is known also where the rest of the configuration cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from btrfs_to_s3.config.effective import Told
from btrfs_to_s3.config.load import load
from btrfs_to_s3.config.told import read_told
from btrfs_to_s3.errors import ConfigError

NOBODY = Told((), None, None)
TOLD = (
    'ping_url = "https://h/a"\nnotify_urls = "json://h"\nmetrics_file = "/m.prom"\nhost = "nas"\n'
)


def _file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "c.toml"
    file.write_text(text)
    return file


def test_it_is_what_the_whole_configuration_says(tmp_path: Path) -> None:
    file = _file(tmp_path, TOLD)
    environ = {"BTRFS_TO_S3_PING_URL": "https://h/environment"}
    options = {"metrics_file": "/option.prom"}
    found = read_told(file, environ=environ, command_line=options)
    whole = load(file, environ=environ, command_line=options)
    assert found.told == whole.told
    assert found.host == whole.host == "nas"


@pytest.mark.parametrize("mistake", ["chunk_size = 3", "no_such = 1", "sources = 3", "full = []"])
def test_a_mistake_elsewhere_hides_nothing(tmp_path: Path, mistake: str) -> None:
    found = read_told(_file(tmp_path, f"{TOLD}{mistake}\n"), environ={}, command_line={})
    assert found.told == Told(("json://h",), "https://h/a", Path("/m.prom"))


def test_what_cannot_be_read_counts_as_not_set(tmp_path: Path) -> None:
    broken, absent = _file(tmp_path, "ping_url = "), tmp_path / "absent"
    for file in (broken, absent):
        assert read_told(file, environ={}, command_line={}).told == NOBODY
    environ = {"BTRFS_TO_S3_PING_URL": "https://h/a", "BTRFS_TO_S3_CHUNK_SIZE": "many"}
    assert read_told(broken, environ=environ, command_line={}).told.ping_url == "https://h/a"
    assert read_told(None, environ={}, command_line={}, default_file=absent).told == NOBODY


@pytest.mark.parametrize(
    "mistake",
    [
        'notify_urls = { mail = "mailto://me:5ecre7@h" }',
        'notify_urls = [["mailto://me:5ecre7@h"]]',
        'ping_url = ["https://h/5ecre7"]',
        'ping_url = { at = "https://h/5ecre7" }',
    ],
)
def test_a_secret_of_a_wrong_type_is_not_shown(tmp_path: Path, mistake: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(_file(tmp_path, f"{mistake}\n"), environ={}, command_line={})
    assert "(not shown)" in error.value.message
    assert "5ecre7" not in str(error.value)
