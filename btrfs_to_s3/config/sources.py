"""Sources: those of the configuration file, and paths given on the command line."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import toml

from btrfs_to_s3.config.effective import SourceConfig
from btrfs_to_s3.config.layers import file_layer, unknown_key
from btrfs_to_s3.config.settings import SETTINGS
from btrfs_to_s3.config.values import AbsolutePath, Text, shown
from btrfs_to_s3.errors import ConfigError, UsageError
from btrfs_to_s3.model.identity import LABEL_PATTERN, label_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from btrfs_to_s3.config.effective import Config, SourcePolicy
    from btrfs_to_s3.config.layers import Effective, Layer

    PolicyOf = Callable[[Layer], tuple[SourcePolicy, tuple[Effective, ...]]]

_PATH = AbsolutePath("the absolute path of a subvolume, without '..'")
_LABEL = Text("letters, digits, '.', '_' and '-', at most 64", "LABEL", LABEL_PATTERN)
_OWN_KEYS = ("path", "label", "repositories")
_LABEL_LENGTH = 64


def read_sources(found: object, file: Path, policy_of: PolicyOf) -> tuple[SourceConfig, ...]:
    """The file's ``[[sources]]``.

    ``policy_of`` makes a policy of a source's own settings and says which of them count.
    ``ConfigError`` for what ``file_layer`` refuses, a missing or repeated path, and labels that
    collide.
    """
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        raise ConfigError(f"{file}: sources: found {shown(found)}; allowed: [[sources]] tables")
    sources: list[SourceConfig] = []
    for number, table in enumerate(found, start=1):
        source = _read_source(table, number, file, policy_of)
        if any(source.path == other.path for other in sources):
            raise ConfigError(f"{file}: two [[sources]] have the path {source.path}")
        _refuse_collision(source, sources, file)
        sources.append(source)
    return tuple(sources)


def select_sources(
    config: Config, paths: Sequence[str], directory: Path
) -> tuple[SourceConfig, ...]:
    """The sources a command works on: ``paths``, or all of the file's when none is given.

    Relative paths start at ``directory``. A path that the file does not name gets its default
    label and the global policy. ``UsageError`` when there is nothing to work on, ``ConfigError``
    when a label would belong to two sources.
    """
    if not paths:
        if not any(config.stores(source) for source in config.sources):
            raise UsageError(
                "no source is named" + (f" for {config.name}" if config.sources else ""),
                hint="give the path of a subvolume, or add [[sources]] to the configuration file",
            )
        return tuple(source for source in config.sources if config.stores(source))
    by_path = {source.path: source for source in config.sources}
    selected: dict[Path, SourceConfig] = {}
    for text in paths:
        path = _absolute(text, directory)
        source = by_path.get(path)
        if source is None:
            source = SourceConfig(path, label_of(str(path)), config.policy)
            by_path[path] = source
        selected[path] = source
    for source in selected.values():
        others = [other for other in by_path.values() if other is not source]
        _refuse_collision(source, others, config.file)
    return tuple(selected.values())


def select_by_repository(
    config: Config, paths: Sequence[str], directory: Path
) -> tuple[tuple[Config, tuple[SourceConfig, ...]], ...]:
    """The sources a command works on, for each repository that any of them goes to.

    A path that the file does not name goes to the one repository that is the default. Errors as
    ``select_sources``.
    """
    if config.chosen or not config.repositories:
        config.required_repository()
        return ((config, select_sources(config, paths, directory)),)
    named = {source.path for source in config.sources}
    found: list[tuple[Config, tuple[SourceConfig, ...]]] = []
    for place in config.repositories:
        selected = select_sources(place, paths, directory) if paths or config.sources else ()
        if any(source.path not in named for source in selected):
            config.required_repository()
        wanted = tuple(
            source
            for source in selected
            if (place.stores(source) if source.path in named else place.name == config.name)
        )
        if wanted:
            found.append((place, wanted))
    return tuple(found) or ((config, select_sources(config, paths, directory)),)


def _absolute(text: str, directory: Path) -> Path:
    path = directory / text
    # Only the filesystem knows where ".." leads behind a symbolic link.
    return path.resolve() if ".." in path.parts else Path("/", *path.parts[1:])


def _read_source(
    table: Mapping[str, object],
    number: int,
    file: Path,
    policy_of: PolicyOf,
) -> SourceConfig:
    name = table.get("path", f"number {number}")

    def place(key: str) -> str:
        return f"{file}: {key} of source {name}"

    own = {key: table[key] for key in _OWN_KEYS if key in table}
    rest = {key: value for key, value in table.items() if key not in own}
    for key in rest:
        if key not in _source_keys():
            raise unknown_key(place(key), key, _source_keys())
    if "path" not in own:
        raise ConfigError(f"{file}: source number {number} has no path; allowed: {_PATH.allowed}")
    layer = file_layer(rest, place, of="source")
    try:
        path = _PATH.from_toml(own["path"])
    except UsageError as error:
        raise ConfigError(f"{place('path')}: {error.message}", hint=error.hint) from error
    try:
        label = _LABEL.from_toml(own["label"]) if "label" in own else label_of(str(path))
    except UsageError as error:
        raise ConfigError(f"{place('label')}: {error.message}", hint=error.hint) from error
    policy, overrides = policy_of(layer)
    return SourceConfig(path, label, policy, overrides)


def _source_keys() -> tuple[str, ...]:
    settings = (setting.name.partition(".")[0] for setting in SETTINGS if setting.per_source)
    return (*_OWN_KEYS, *settings)


def _refuse_collision(
    source: SourceConfig, others: Iterable[SourceConfig], file: Path | None
) -> None:
    labels = {other.label: other for other in others}
    other = labels.get(source.label)
    if other is None:
        return
    table = {"path": str(source.path), "label": _free_label(source.path, labels)}
    where = f"{file}: " if file else ""
    raise ConfigError(
        f"{where}{other.path} and {source.path} would both be called {source.label!r}",
        hint=f"give one of them a label of its own, for example:\n"
        f"{toml.dumps({'sources': [table]}).strip()}",
    )


def _free_label(path: Path, taken: Mapping[str, object]) -> str:
    """A label of the path's last two components, numbered where that is taken too."""
    last_two = "-".join(path.parts[1:][-2:]) or "root"
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", last_two).strip("-")[: _LABEL_LENGTH - 4] or "source"
    candidates = (base if number == 1 else f"{base}-{number}" for number in count(1))
    return next(candidate for candidate in candidates if candidate not in taken)
