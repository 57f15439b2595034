"""Reading the configuration: file, environment and command line into one ``Config``."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from btrfs_to_s3.config import settings as s
from btrfs_to_s3.config.choices import ServerSideEncryption
from btrfs_to_s3.config.effective import Config, SourcePolicy
from btrfs_to_s3.config.layers import (
    Layers,
    command_line_layer,
    environment_layer,
    file_layer,
    system_layer,
    unknown_variables,
)
from btrfs_to_s3.config.sources import read_sources
from btrfs_to_s3.errors import ConfigError
from btrfs_to_s3.model.policy import ChainPolicy
from btrfs_to_s3.model.storage_class import AWS_CLASSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from btrfs_to_s3.config.layers import Effective, Layer

DEFAULT_FILE = Path("/etc/btrfs-to-s3/config.toml")
_TOML_ERROR = re.compile(
    r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)",
    re.DOTALL,
)
"""What tomllib says; before Python 3.14 the place stands in the text only."""


def load(
    file: Path | None,
    *,
    environ: Mapping[str, str],
    command_line: Mapping[str, str | None],
    default_file: Path = DEFAULT_FILE,
) -> Config:
    """The effective configuration.

    ``file`` is ``-c FILE`` and must exist; None reads ``default_file`` when there is one.
    ``command_line`` has options by ``Setting.parameter``, as text. ``ConfigError`` names the
    place of the first thing that cannot be used, what was found and what is allowed.
    """
    read_file = file or (default_file if _exists(default_file) else None)
    table = _read_toml(read_file) if read_file else {}
    command = command_line_layer(command_line)
    environment = environment_layer(environ)
    globals_ = {key: value for key, value in table.items() if key != "sources"}
    from_file = file_layer(globals_, lambda key: f"{read_file}: {key}", of="file")
    below = (from_file, system_layer(environ))
    layers = Layers(command, environment, *below)
    _check_together(layers)

    def policy_of(own: Layer) -> tuple[SourcePolicy, tuple[Effective, ...]]:
        own_layers = Layers(command, environment, own, *below)
        _check_class(own_layers, s.STORAGE_CLASS)
        counting = (own_layers.effective(found.setting) for found in own.values())
        return _policy(own_layers), tuple(c for c in counting if c in own.values())

    sources = read_sources(table.get("sources", []), read_file or default_file, policy_of)
    return Config(
        file=read_file,
        repository=layers.get(s.REPOSITORY),
        endpoint_url=layers.get(s.ENDPOINT_URL),
        region=layers.get(s.REGION),
        profile=layers.get(s.PROFILE),
        addressing=layers.get(s.ADDRESSING),
        ca_bundle=layers.get(s.CA_BUNDLE),
        sse=layers.get(s.SSE),
        sse_kms_key_id=layers.get(s.SSE_KMS_KEY_ID),
        metadata_class=layers.get(s.METADATA_CLASS),
        part_size_bytes=layers.get(s.PART_SIZE),
        concurrency=layers.get(s.CONCURRENCY),
        compression_threads=layers.get(s.COMPRESSION_THREADS),
        bandwidth_bytes_per_s=layers.get(s.BANDWIDTH_LIMIT),
        outage_patience=layers.get(s.OUTAGE_PATIENCE),
        retry_attempts=layers.get(s.RETRY_ATTEMPTS),
        connect_timeout=layers.get(s.CONNECT_TIMEOUT),
        read_timeout=layers.get(s.READ_TIMEOUT),
        orphan_age=layers.get(s.ORPHAN_AGE),
        prices=layers.get(s.PRICES),
        thaw_poll=layers.get(s.THAW_POLL),
        host=layers.get(s.HOST),
        state_dir=layers.get(s.STATE_DIR),
        policy=_policy(layers),
        sources=sources,
        effective=tuple(layers.effective(setting) for setting in s.SETTINGS),
        warnings=unknown_variables(environ),
    )


def _policy(layers: Layers) -> SourcePolicy:
    return SourcePolicy(
        storage_class=layers.get(s.STORAGE_CLASS),
        chunk_size_bytes=layers.get(s.CHUNK_SIZE),
        compression_level=layers.get(s.COMPRESSION_LEVEL),
        send_protocol=layers.get(s.SEND_PROTOCOL),
        chain=ChainPolicy(
            layers.get(s.FULL_EVERY),
            layers.get(s.MAX_CHAIN),
            layers.get(s.STRATEGY),
            layers.get(s.FULL),
        ),
        keep=layers.get(s.KEEP),
        keep_local=layers.get(s.KEEP_LOCAL),
        snapshot_directory=layers.get(s.SNAPSHOT_DIRECTORY),
    )


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        # Unlike Path.exists: a file we may not see is one we may not ignore.
        return True
    return True


def _read_toml(file: Path) -> dict[str, object]:
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{file}: no such file", hint="-c names the configuration") from error
    except PermissionError as error:
        raise ConfigError(
            f"{file}: cannot be read: {error.strerror}",
            hint="run it as a user who may read it (sudo -E), or name another file with -c",
        ) from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8 text (byte {error.start})") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(file, text, error) from error


def _not_toml(file: Path, text: str, error: tomllib.TOMLDecodeError) -> ConfigError:
    """Where reading stopped, counted from 1, and why."""
    found = _TOML_ERROR.fullmatch(str(error))
    what = found["what"] if found else str(error)
    lines = text.split("\n")
    line = int(found["line"]) if found and found["line"] else len(lines)
    column = int(found["column"]) if found and found["column"] else len(lines[-1]) + 1
    return ConfigError(
        f"{file}: line {line}, column {column}: is not TOML: {what}",
        hint='a line is name = value, text in quotes: region = "eu-central-1"; '
        "docs/configuration.md has every setting",
    )


def _check_together(layers: Layers) -> None:
    """Refuse values that are each possible, but not together."""
    key = layers.effective(s.SSE_KMS_KEY_ID)
    sse = layers.effective(s.SSE)
    if key.value is not None and sse.value is not ServerSideEncryption.KMS:
        raise ConfigError(
            f"{key.origin}: a key needs sse = aws:kms, but sse is {sse.value} ({sse.origin})"
        )
    bundle = layers.effective(s.CA_BUNDLE)
    path = layers.get(s.CA_BUNDLE)
    if path is not None and not path.is_file():
        raise ConfigError(f"{bundle.origin}: found {path}; allowed: a file that exists")
    prices = layers.effective(s.PRICES)
    file = layers.get(s.PRICES)
    if file is not None and not file.is_file():
        raise ConfigError(f"{prices.origin}: found {file}; allowed: a file that exists")
    _check_class(layers, s.STORAGE_CLASS)
    _check_class(layers, s.METADATA_CLASS)


def _check_class(layers: Layers, setting: s.Setting[str]) -> None:
    """Amazon's storage classes are known; another service may have its own."""
    found = layers.effective(setting)
    if layers.get(s.ENDPOINT_URL) is None and found.value not in AWS_CLASSES:
        raise ConfigError(
            f'{found.origin}: found "{found.value}"; allowed: {", ".join(sorted(AWS_CLASSES))}',
            hint="another service's own classes need its endpoint_url",
        )
