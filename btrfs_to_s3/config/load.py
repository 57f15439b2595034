"""Reading the configuration: file, environment and command line into one ``Config``."""

from __future__ import annotations

import re
import tomllib
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from btrfs_to_s3.config import settings as s
from btrfs_to_s3.config.choices import ServerSideEncryption
from btrfs_to_s3.config.effective import Config, MachinePolicy, SourcePolicy, Told
from btrfs_to_s3.config.layers import (
    Layers,
    command_line_layer,
    environment_layer,
    file_layer,
    system_layer,
    unknown_variables,
)
from btrfs_to_s3.config.repositories import (
    DEFAULT,
    is_name,
    read_names,
    read_repositories,
    refuse_same_place,
    unknown_name,
)
from btrfs_to_s3.config.sources import read_sources
from btrfs_to_s3.errors import ConfigError, UsageError
from btrfs_to_s3.model.policy import ChainPolicy
from btrfs_to_s3.model.storage_class import AWS_CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from btrfs_to_s3.config.layers import Effective, Layer
    from btrfs_to_s3.config.repositories import RepositoryTable
    from btrfs_to_s3.config.setting import Setting

    TableReader = Callable[[Path | None, Path], dict[str, object]]

DEFAULT_FILE = Path("/etc/btrfs-to-s3/config.toml")
_TABLES = ("sources", "repositories")
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
    read: TableReader | None = None,
) -> Config:
    """The effective configuration.

    ``file`` is ``-c FILE`` and must exist; None reads ``default_file`` when there is one.
    ``command_line`` has options by ``Setting.parameter``, as text. ``ConfigError`` names the
    place of the first thing that cannot be used, what was found and what is allowed. ``read``
    reads the file: one that several readers share where it is to be read once.
    """
    read_file = file or (default_file if _exists(default_file) else None)
    table = (read or read_table)(file, default_file)
    place = read_file or default_file
    tables = read_repositories(table.get("repositories", []), place)
    globals_ = {key: value for key, value in table.items() if key not in _TABLES}
    given = command_line.get(s.REPOSITORY.parameter)
    named = is_name(given)
    rest = {k: v for k, v in command_line.items() if not named or k != s.REPOSITORY.parameter}
    layers = _Given(
        command=command_line_layer(rest),
        environment=environment_layer(environ),
        file=file_layer(globals_, lambda key: f"{read_file}: {key}", of="file"),
        system=system_layer(environ),
        sources=table.get("sources", []),
        place=place,
        read_file=read_file,
    )
    found = _of_several(layers, tables, given) if tables else _of_one(layers, given)
    return replace(found, chosen=given is not None, warnings=unknown_variables(environ))


def read_table(file: Path | None, default_file: Path = DEFAULT_FILE) -> dict[str, object]:
    """The file as it stands; nothing where there is no default one. ``ConfigError``."""
    read_file = file or (default_file if _exists(default_file) else None)
    return _read_toml(read_file) if read_file else {}


class ReadOnce:
    """``read_table``, but each file is read once, whatever came of it.

    All of a run works with one configuration so, also where it comes through a pipe
    (``-c <(…)``, ``-c /dev/stdin``), which is empty for whoever reads it again.
    """

    def __init__(self) -> None:
        self._found: dict[Path | None, dict[str, object] | ConfigError] = {}

    def __call__(self, file: Path | None, default_file: Path) -> dict[str, object]:
        """The file as it stood; ``ConfigError``."""
        if file not in self._found:
            try:
                self._found[file] = read_table(file, default_file)
            except ConfigError as error:
                self._found[file] = error
        found = self._found[file]
        if isinstance(found, ConfigError):
            raise found
        return deepcopy(found)


def _of_one(given: _Given, text: str | None) -> Config:
    """The configuration of a file without ``[[repositories]]``."""
    config = _config(given, None)
    if is_name(text) and text != DEFAULT:
        known = () if config.repository is None else (DEFAULT,)
        raise unknown_name(str(text), known, s.REPOSITORY.option)
    return _with_names(config, _stored_in(given.sources, (DEFAULT,), given.place, needed=False))


def _of_several(given: _Given, tables: Sequence[RepositoryTable], text: str | None) -> Config:
    """The configuration of the repository that is meant by ``text``, which knows the others."""
    if text is None:
        _refuse_unclear(given.command)
    # The command line's URL is another repository than the file's top level.
    top = _config(given if text is None else replace(given, command={}), None)
    others = (_config(given, each) for each in tables)
    every = (*((top,) if top.repository is not None else ()), *others)
    refuse_same_place(every, given.place)
    known = tuple(each.name for each in every)
    stored = _stored_in(given.sources, known, given.place, needed=text is None)
    every = tuple(_with_names(each, stored) for each in every)
    every = tuple(replace(each, repositories=every) for each in every)
    if text is None:
        main = every[0] if len(every) == 1 else _with_names(top, stored)
        return replace(main, repositories=every)
    if not is_name(text) and all(each.repository != _url(given) for each in every):
        return replace(_config(given, None), name=str(_url(given)), repositories=every)
    name = text if is_name(text) else _name_of(_url(given), every)
    if name not in known:
        raise unknown_name(name, known, s.REPOSITORY.option)
    own = next((each for each in tables if each.name == name), None)
    chosen = _with_names(_config(given, own, chosen=True), stored)
    return replace(chosen, repositories=every)


@dataclass(frozen=True, slots=True)
class _Given:
    """The layers of one call of the program, but for the tables of the file.

    ``sources`` is what the file has under that name; ``place`` is the file for messages.
    """

    command: Layer
    environment: Layer
    file: Layer
    system: Layer
    sources: object
    place: Path
    read_file: Path | None

    def with_table(self, table: Layer, source: Layer, *, chosen: bool) -> Layers:
        """The layers of one repository and one source, the one that decides first."""
        connection = {setting.name for setting in s.CONNECTION}
        leads = {name: found for name, found in table.items() if name in connection}
        others = {name: found for name, found in table.items() if name not in connection}
        command, environment = self.command, self.environment
        if leads and not chosen:
            command = {name: found for name, found in command.items() if name not in connection}
        return Layers(command, leads, environment, source, others, self.file, self.system)


def _refuse_unclear(command: Layer) -> None:
    """Options that lead to one repository, where there are several to choose from."""
    for setting in s.CONNECTION:
        if setting.name in command:
            raise UsageError(
                f"{setting.option} is for one repository, but the configuration file names several",
                hint=f"say which with {s.REPOSITORY.option} NAME",
            )


def _url(given: _Given) -> object:
    """The command line's URL."""
    return given.command[s.REPOSITORY.name].value


def _name_of(url: object, every: Sequence[Config]) -> str:
    """The name of the file's repository at this URL."""
    same = [each.name for each in every if each.repository == url]
    if len(same) > 1:
        raise UsageError(
            f"{url} is more than one repository of the configuration file",
            hint=f"give a name: {s.REPOSITORY.option} {'|'.join(same)}",
        )
    return same[0]


def _stored_in(
    found: object, known: Sequence[str], file: Path, *, needed: bool
) -> tuple[tuple[str, ...], ...]:
    """For each source the names of its repositories; empty where one may be chosen only.

    ``ConfigError`` for a source that would be stored nowhere, where that is ``needed`` to know.
    """
    default = (DEFAULT,) if DEFAULT in known else tuple(known) if len(known) == 1 else ()
    names: list[tuple[str, ...]] = []
    for table in found if isinstance(found, list) else ():
        origin = f"{file}: repositories of source {table.get('path')}"
        if "repositories" in table:
            names.append(read_names(table["repositories"], origin, known))
        elif needed and not default:
            raise ConfigError(
                f"{origin}: none is named, and the file's top level has no repository",
                hint=f"write repositories = [...] there, with one or more of {', '.join(known)}",
            )
        else:
            names.append(default)
    return tuple(names)


def _with_names(config: Config, stored: Sequence[tuple[str, ...]]) -> Config:
    """The configuration, its sources knowing where they are stored."""
    named = zip(config.sources, stored, strict=True)
    sources = tuple(replace(source, repositories=names) for source, names in named)
    return replace(config, sources=sources)


def _config(given: _Given, own: RepositoryTable | None, *, chosen: bool = False) -> Config:
    """One repository's view of the configuration: its settings, the sources' policies there."""
    table = own.layer if own is not None else {}
    name = own.name if own is not None else DEFAULT
    layers = given.with_table(table, {}, chosen=chosen)
    _check_together(layers)

    def policy_of(source: Layer) -> tuple[SourcePolicy, tuple[Effective, ...]]:
        own_layers = given.with_table(table, source, chosen=chosen)
        _check_class(own_layers, s.STORAGE_CLASS)
        counting = (own_layers.effective(found.setting) for found in source.values())
        return _policy(own_layers), tuple(c for c in counting if c in source.values())

    sources = read_sources(given.sources, given.place, policy_of)
    return Config(
        name=name,
        own=tuple(table.values()),
        file=given.read_file,
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
        machine=MachinePolicy(
            layers.get(s.PRIORITY),
            layers.get(s.ON_BATTERY),
            layers.get(s.NETWORK_INTERFACES),
            layers.get(s.NETWORK_EXCLUDE),
            layers.get(s.NETWORK_WAIT),
        ),
        told=Told(layers.get(s.NOTIFY_URLS), layers.get(s.PING_URL), layers.get(s.METRICS_FILE)),
        policy=_policy(layers),
        sources=sources,
        effective=tuple(layers.effective(setting) for setting in s.SETTINGS),
        warnings=(),
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


def _check_class(layers: Layers, setting: Setting[str]) -> None:
    """Amazon's storage classes are known; another service may have its own."""
    found = layers.effective(setting)
    if layers.get(s.ENDPOINT_URL) is None and found.value not in AWS_CLASSES:
        raise ConfigError(
            f'{found.origin}: found "{found.value}"; allowed: {", ".join(sorted(AWS_CLASSES))}',
            hint="another service's own classes need its endpoint_url",
        )
