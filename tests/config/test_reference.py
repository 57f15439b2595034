"""The documents say what the program says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from btrfs_to_s3.config.load import load
from btrfs_to_s3.config.reference import as_markdown
from btrfs_to_s3.config.settings import SETTINGS
from btrfs_to_s3.errors import ExitCode

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_reference_is_what_the_table_of_settings_gives() -> None:
    assert (ROOT / "docs/configuration.md").read_text("utf-8") == as_markdown()


def test_the_readme_examples_are_a_configuration_that_loads(tmp_path: Path) -> None:
    example, told = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "config.toml"
    # As the text has it: above the first [[sources]].
    file.write_text(example.replace("[[sources]]", f"{told}\n[[sources]]", 1))

    config = load(file, environ={}, command_line={})

    assert [source.label for source in config.sources] == ["data", "system"]
    assert config.policy.keep.weekly == tomllib.loads(example)["keep"]["weekly"]
    assert config.told.ping_url is not None
    assert config.told.notify_urls
    assert config.told.metrics_file is not None


def test_the_readme_lists_every_exit_code() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}

    assert listed == {int(code) for code in ExitCode}


def test_every_variable_the_readme_names_is_a_setting() -> None:
    known = {name for setting in SETTINGS for name in setting.environment}

    assert set(re.findall(r"BTRFS_TO_S3_[A-Z_]+", README)) <= known
