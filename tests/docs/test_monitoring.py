"""What docs/monitoring.md shows is what the program takes and gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from btrfs_to_s3.cli.rendering.metrics import Series, text
from btrfs_to_s3.config.load import load
from tests.cli.test_metrics import HISTORY

DOCUMENT = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()


@pytest.mark.parametrize("block", re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL))
def test_every_example_is_a_configuration(block: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(block)
    told = load(file, environ={}, command_line={}).told
    assert told.ping_url or told.notify_urls or told.metrics_file


def test_every_metric_is_described_and_no_other() -> None:
    names = set(re.findall(r"# TYPE btrfs_to_s3_(\w+)", text([Series("nas", "s3://b", HISTORY)])))
    table = "".join(line for line in DOCUMENT.splitlines() if line.startswith("| `la"))
    table += next(line for line in DOCUMENT.splitlines() if line.startswith("| `chain"))
    assert {name for name in re.findall(r"`(\w+)`", table) if "_" in name} == names
    for rule in re.findall(r"btrfs_to_s3_(\w+)", DOCUMENT):
        assert not rule or rule in names
