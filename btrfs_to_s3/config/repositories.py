"""Repositories: the file's top level, its ``[[repositories]]``, and which one was chosen."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.config import settings as s
from btrfs_to_s3.config.layers import file_layer, may_have, unknown_key
from btrfs_to_s3.config.values import Text, shown
from btrfs_to_s3.errors import ConfigError, UsageError
from btrfs_to_s3.model.identity import LABEL_PATTERN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from btrfs_to_s3.config.effective import Config
    from btrfs_to_s3.config.layers import Layer

DEFAULT = "default"
"""The name of the repository that stands at the file's top level or in the environment."""
_NAME = Text("letters, digits, '.', '_' and '-', at most 64", "NAME", LABEL_PATTERN)
_SCHEME = "://"


@dataclass(frozen=True, slots=True)
class RepositoryTable:
    """One table of ``[[repositories]]``: its name and the settings that stand in it."""

    name: str
    layer: Layer


def read_repositories(found: object, file: Path) -> tuple[RepositoryTable, ...]:
    """The file's ``[[repositories]]``.

    ``ConfigError`` for what ``file_layer`` refuses, a missing or repeated name and a missing URL.
    """
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        raise ConfigError(
            f"{file}: repositories: found {shown(found)}; allowed: [[repositories]] tables"
        )
    tables: list[RepositoryTable] = []
    for number, table in enumerate(found, start=1):
        read = _read_table(table, number, file)
        if any(read.name == other.name for other in tables):
            raise ConfigError(f"{file}: two [[repositories]] have the name {read.name}")
        tables.append(read)
    return tuple(tables)


def refuse_same_place(configs: Sequence[Config], file: Path) -> None:
    """``ConfigError`` when two names lead to one repository of one service."""
    known: dict[tuple[str, str | None], str] = {}
    for each in configs:
        place = (str(each.repository), each.endpoint_url)
        other = known.setdefault(place, each.name)
        if other != each.name:
            raise ConfigError(
                f"{file}: the repositories {other} and {each.name} are both {each.repository}",
                hint="give each a bucket or a prefix of its own, or keep one of them",
            )


def read_names(found: object, place: str, known: Iterable[str]) -> tuple[str, ...]:
    """A source's ``repositories``: names that the file knows, each once and at least one."""
    names = tuple(known)
    allowed = f"a list of names, of: {', '.join(names) or 'none, the file names no repository'}"
    if not isinstance(found, list) or not found:
        raise ConfigError(f"{place}: found {shown(found)}; allowed: {allowed}")
    for name in found:
        if name not in names or found.count(name) > 1:
            hint = _near(str(name), names)
            raise ConfigError(f"{place}: found {shown(found)}; allowed: {allowed}", hint=hint)
    return tuple(str(name) for name in found)


def is_name(text: str | None) -> bool:
    """Whether what was given for a repository can only be a name."""
    return text is not None and _SCHEME not in text and LABEL_PATTERN.fullmatch(text) is not None


def unknown_name(name: str, known: Iterable[str], origin: str) -> ConfigError:
    """The error for a name that is no repository's."""
    names = tuple(known)
    known_names = ", ".join(names) or "there is none"
    return ConfigError(
        f'{origin}: found "{name}"; allowed: {s.REPOSITORY.type.allowed}, or a name of the '
        f"configuration file ({known_names})",
        hint=_near(name, names) or "give the URL, or name it in [[repositories]]",
    )


def _read_table(table: Mapping[str, object], number: int, file: Path) -> RepositoryTable:
    name = table.get("name", f"number {number}")

    def place(key: str) -> str:
        return f"{file}: {key} of repository {name}"

    rest = {key: value for key, value in table.items() if key != "name"}
    known = {setting.name.partition(".")[0] for setting in s.SETTINGS if may_have(setting, _TABLE)}
    for key in rest:
        if key not in known:
            raise unknown_key(place(key), key, ("name", *known))
    if "name" not in table:
        raise ConfigError(
            f"{file}: repository number {number} has no name; allowed: {_NAME.allowed}"
        )
    try:
        checked = _NAME.from_toml(name)
    except UsageError as error:
        raise ConfigError(f"{place('name')}: {error.message}", hint=error.hint) from error
    if checked == DEFAULT:
        raise ConfigError(
            f'{place("name")}: "{DEFAULT}" is the repository of the file\'s top level',
            hint=f"choose another name, or write its settings above [[{_TABLES}]]",
        )
    layer = file_layer(rest, place, of=_TABLE)
    url = layer.get(s.REPOSITORY.name)
    if url is None or url.value is None:
        raise ConfigError(
            f"{file}: repository {checked} has no URL; allowed: "
            f'repository = "{s.REPOSITORY.type.allowed}"'
        )
    return RepositoryTable(checked, layer)


_TABLE = "repository"
_TABLES = "repositories"


def _near(word: str, known: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else None
