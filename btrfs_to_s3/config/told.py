"""Who is told how runs went, read also where the rest of the configuration cannot be.

A mistake in another setting ends every unattended run, and is just what somebody should hear of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.config import settings as s
from btrfs_to_s3.config.effective import Told
from btrfs_to_s3.config.layers import Layers, command_line_layer, environment_layer, file_layer
from btrfs_to_s3.config.load import DEFAULT_FILE, read_table
from btrfs_to_s3.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from btrfs_to_s3.config.layers import Layer
    from btrfs_to_s3.config.load import TableReader

_SETTINGS = (s.NOTIFY_URLS, s.PING_URL, s.METRICS_FILE, s.HOST)


@dataclass(frozen=True, slots=True)
class ToldSettings:
    """Who is told, and this host's name as configured."""

    told: Told
    host: str | None


def read_told(
    file: Path | None,
    *,
    environ: Mapping[str, str],
    command_line: Mapping[str, str | None],
    default_file: Path = DEFAULT_FILE,
    read: TableReader = read_table,
) -> ToldSettings:
    """As ``load`` gives them; what cannot be read counts as not set, which ``load`` says."""
    parameters = {setting.parameter for setting in _SETTINGS}
    variables = {name for setting in _SETTINGS for name in setting.environment}
    given = {name: text for name, text in command_line.items() if name in parameters}
    seen = {name: text for name, text in environ.items() if name in variables}

    def of_file() -> Layer:
        table = read(file, default_file)
        names = {setting.name for setting in _SETTINGS}
        ours = {name: found for name, found in table.items() if name in names}
        return file_layer(ours, str, of="file")

    layers = Layers(
        _readable(lambda: command_line_layer(given)),
        _readable(lambda: environment_layer(seen)),
        _readable(of_file),
    )
    told = Told(layers.get(s.NOTIFY_URLS), layers.get(s.PING_URL), layers.get(s.METRICS_FILE))
    return ToldSettings(told, layers.get(s.HOST))


def _readable(read: Callable[[], Layer]) -> Layer:
    try:
        return read()
    except ConfigError:
        return {}
