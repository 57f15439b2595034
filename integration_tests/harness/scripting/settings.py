"""The harness's settings: `config/*.toml`, then `test.env`, then the environment, which wins."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tomllib
from collections.abc import Collection, Mapping  # noqa: TC003 - get_type_hints looks it up
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - the same
from typing import Any, Final, TypeVar, get_type_hints

from btrfs_to_s3.config.units import parse_duration, parse_size
from btrfs_to_s3.errors import UsageError
from integration_tests.harness.services.paths import INTEGRATION_TESTS, run_directory

EMBEDDED: Final = "embedded"
COMMAND_VARIABLE: Final = "BTRFS_TO_S3_CMD"
CONFIG_DIRECTORY: Final = INTEGRATION_TESTS / "config"
DEFAULT_CONFIG: Final = CONFIG_DIRECTORY / "test.toml"
DEFAULT_ENV: Final = CONFIG_DIRECTORY / "test.env"
PLACEHOLDER: Final = "CHANGE_ME"
_EXAMPLE_COMMAND: Final = '["python3", "-m", "btrfs_to_s3"]'
T = TypeVar("T")


class SettingsError(Exception):
    """A setting cannot be used; the message names the file or variable, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes, written as `256MiB`."""

    bytes: int


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds, written as `90s`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things lie; relative ones below the run directory."""

    run_dir: str = "."
    logs_dir: str = "logs"
    results_dir: str = "results"


@dataclass(frozen=True, slots=True)
class S3:
    """The service. `embedded` is moto, started by set-up; any other endpoint is used as it is.

    An empty endpoint is AWS. Nothing but `prefix` is ever touched in a bucket that is given.
    """

    endpoint: str = EMBEDDED
    bucket: str = ""
    prefix: str = "btrfs-to-s3-test"
    region: str = "us-east-1"


@dataclass(frozen=True, slots=True)
class Filesystem:
    """The two loopback filesystems."""

    size: Size = Size(1024**3)
    mount_options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Data:
    """The tree that is seeded, and how often it is changed."""

    seed: int = 1
    files: int = 400
    size: Size = Size(24 * 1024**2)
    large_files: int = 4
    mutations: int = 40


@dataclass(frozen=True, slots=True)
class Archive:
    """How long a thaw takes on the embedded service, and how long a script waits for one."""

    storage_class: str = "DEEP_ARCHIVE"
    tier: str = "Standard"
    days: int = 1
    thaw: Duration = Duration(6)
    poll: Duration = Duration(1)
    timeout: Duration = Duration(120)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a script may want to know.

    `backup` holds settings of the program under test by their names in its own configuration;
    `variables` are what `test.env` and the environment say together.
    """

    name: str = "test"
    paths: Paths = field(default_factory=Paths)
    s3: S3 = field(default_factory=S3)
    filesystem: Filesystem = field(default_factory=Filesystem)
    data: Data = field(default_factory=Data)
    archive: Archive = field(default_factory=Archive)
    backup: Mapping[str, str] = field(default_factory=dict)
    file: Path = DEFAULT_CONFIG
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def run_dir(self) -> Path:
        """The folder of this configuration's runs: `run/NAME` unless the file says otherwise."""
        return run_directory() / self.name / self.paths.run_dir

    @property
    def logs_dir(self) -> Path:
        """One folder of logs for each script's run."""
        return self.run_dir / self.paths.logs_dir

    @property
    def results_dir(self) -> Path:
        """One JSON document for each script's run."""
        return self.run_dir / self.paths.results_dir

    @property
    def is_embedded(self) -> bool:
        """Whether the service is the harness's own."""
        return self.s3.endpoint == EMBEDDED

    @property
    def command(self) -> list[str]:
        """The program under test: BTRFS_TO_S3_CMD, a JSON array of strings."""
        text = self.variables.get(COMMAND_VARIABLE)
        if text is None:
            return [sys.executable, "-m", "btrfs_to_s3"]
        try:
            command = json.loads(text)
        except ValueError:
            command = None
        if (
            not isinstance(command, list)
            or not command
            or not all(isinstance(part, str) for part in command)
        ):
            raise SettingsError(
                f"{COMMAND_VARIABLE}={text!r} is not a JSON array of strings such as "
                f"{_EXAMPLE_COMMAND}; a shell command line is not taken apart"
            )
        return command

    def variable(self, name: str, default: str = "") -> str:
        """What `test.env` or the environment says; SettingsError while it is CHANGE_ME."""
        value = self.variables.get(name, default)
        if value == PLACEHOLDER:
            raise SettingsError(f"{name} is still {PLACEHOLDER}: give it a value in test.env")
        return value


def load(config: Path = DEFAULT_CONFIG, env: Path = DEFAULT_ENV) -> Settings:
    """Read both files; SettingsError names what is wrong in which."""
    variables = {**_read_env(env), **os.environ}
    try:
        document = tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{config}: {error}") from error
    backup = document.pop("backup", {})
    if not isinstance(backup, dict) or not all(isinstance(value, str) for value in backup.values()):
        raise SettingsError(f"{config}: [backup] holds strings, as in BTRFS_TO_S3_CHUNK_SIZE")
    settings = _filled(Settings, document, str(config), but={"backup", "file", "variables"})
    return dataclasses.replace(
        settings,
        s3=_overridden(settings.s3, variables),
        backup=backup,
        file=config.absolute(),
        variables=variables,
    )


def _overridden(s3: S3, variables: Mapping[str, str]) -> S3:
    """The service, with what HARNESS_ENDPOINT, _BUCKET, _PREFIX and _REGION say instead."""
    given = {
        entry.name: variables[f"HARNESS_{entry.name.upper()}"]
        for entry in dataclasses.fields(S3)
        if f"HARNESS_{entry.name.upper()}" in variables
    }
    for name, value in given.items():
        if value == PLACEHOLDER:
            raise SettingsError(f"HARNESS_{name.upper()} is still {PLACEHOLDER}")
    return dataclasses.replace(s3, **given)


def _read_env(path: Path) -> dict[str, str]:
    """`NAME=VALUE` lines; comments and empty lines are skipped, nothing is expanded."""
    variables: dict[str, str] = {}
    if not path.exists():
        return variables
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        if not equals or not name.isidentifier():
            raise SettingsError(f"{path}:{number}: {line!r} is not NAME=VALUE")
        variables[name] = value.strip().strip("'\"")
    return variables


def _filled(kind: type[T], document: Mapping[str, Any], where: str, but: Collection[str] = ()) -> T:
    """A dataclass from a TOML table; unknown keys and wrong types are refused by name."""
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name not in but}
    unknown = sorted(set(document) - set(hints))
    if unknown:
        raise SettingsError(f"{where}: {unknown[0]!r} is unknown; there are {', '.join(hints)}")
    values = {
        name: _value(hints[name], value, f"{where}: {name}") for name, value in document.items()
    }
    return kind(**values)


def _value(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - TOML has any type
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        return _filled(kind, value, where)
    try:
        if kind is Size and isinstance(value, str):
            return Size(parse_size(value))
        if kind is Duration and isinstance(value, str):
            return Duration(parse_duration(value).total_seconds())
    except UsageError as error:
        raise SettingsError(f"{where}: {error}") from error
    if kind == tuple[str, ...] and isinstance(value, list):
        if all(isinstance(entry, str) for entry in value):
            return tuple(value)
    elif isinstance(kind, type) and type(value) is kind:
        return value
    raise SettingsError(f"{where}: {value!r} is not what belongs there ({kind})")
