"""Where values come from: command line over environment over file over default."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from btrfs_to_s3.config.setting import ENVIRONMENT_PREFIX, Setting
from btrfs_to_s3.config.settings import ENDPOINT_URL, SETTINGS, STATE_DIR
from btrfs_to_s3.config.values import Endpoint, shown
from btrfs_to_s3.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")
DEFAULT_ORIGIN = "default"
_SYSTEMD_STATE = "STATE_DIRECTORY"
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_CREDENTIAL_WORDS = ("secret", "access_key", "password", "token")


@dataclass(frozen=True, slots=True)
class Effective:
    """A setting's value and where it came from, as a person would look for it."""

    setting: Setting[Any]
    value: object
    origin: str


Layer = dict[str, Effective]
"""Values by setting name."""


class Layers:
    """Layers of values; the first one that has a setting decides it."""

    def __init__(self, *layers: Layer) -> None:
        self._layers = layers

    def effective(self, setting: Setting[Any]) -> Effective:
        """The value that counts, with its origin."""
        for layer in self._layers:
            if setting.name in layer:
                return layer[setting.name]
        return Effective(setting, setting.default, DEFAULT_ORIGIN)

    def get(self, setting: Setting[T]) -> T:
        """The value that counts."""
        # Every layer's values were made by the type of the setting they are filed under.
        return cast("T", self.effective(setting).value)


def command_line_layer(values: Mapping[str, str | None]) -> Layer:
    """Options by ``Setting.parameter``, as given; None is an option that was not given."""
    by_parameter = {setting.parameter: setting for setting in SETTINGS}
    layer: Layer = {}
    for parameter, text in values.items():
        if text is not None:
            setting = by_parameter[parameter]
            layer[setting.name] = _read(setting, setting.type.from_text, text, setting.option)
    return layer


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """``BTRFS_TO_S3_*``; an empty variable counts as unset.

    ``ConfigError`` when two variables of one setting contradict each other.
    """
    layer: Layer = {}
    for setting in SETTINGS:
        for variable in setting.environment:
            if not environ.get(variable):
                continue
            origin = f"environment {variable}"
            found = _read(setting, setting.type.from_text, environ[variable], origin)
            known = layer.setdefault(setting.name, found)
            if known.value != found.value:
                raise ConfigError(f"{known.origin} and {origin} name different values; unset one")
    return layer


def system_layer(environ: Mapping[str, str]) -> Layer:
    """What variables of others say; below the file.

    systemd's state directory of a unit (systemd.exec(5), StateDirectory=), and the endpoint every
    AWS tool uses (AWS SDKs and Tools Reference Guide, "Service-specific endpoints").
    """
    layer: Layer = {}
    state = environ.get(_SYSTEMD_STATE, "").partition(":")[0]
    if state:
        origin = f"environment {_SYSTEMD_STATE}"
        layer[STATE_DIR.name] = _read(STATE_DIR, STATE_DIR.type.from_text, state, origin)
    for variable in _ENDPOINTS:
        text = environ.get(variable)
        if text:
            origin = f"environment {variable}"
            layer[ENDPOINT_URL.name] = _read(ENDPOINT_URL, Endpoint().from_text, text, origin)
            break
    return layer


def file_layer(table: Mapping[str, object], place: Callable[[str], str], *, of: str) -> Layer:
    """Settings of a file's table. ``place`` makes an origin of a key; ``of`` names the table.

    ``ConfigError`` for unknown keys, wrong types and impossible values; tables of a source and of
    a repository (``of`` is ``"source"`` or ``"repository"``) take only settings that these have.
    """
    known = {setting.name: setting for setting in SETTINGS if may_have(setting, of)}
    groups = {name.partition(".")[0] for name in known if "." in name}
    layer: Layer = {}
    for key, found in table.items():
        if key in groups:
            if not isinstance(found, dict):
                raise ConfigError(
                    f"{place(key)}: found {shown(found)}; allowed: a table [{key}] with "
                    + ", ".join(n.partition(".")[2] for n in known if n.startswith(f"{key}."))
                )
            values = {f"{key}.{inner}": value for inner, value in found.items()}
        elif "." in key:
            raise unknown_key(place(f'"{key}"'), key, ())
        else:
            values = {key: found}
        for name, value in values.items():
            if name not in known:
                raise unknown_key(place(name), name, (*known, "sources", "repositories"))
            setting = known[name]
            layer[name] = _read(setting, setting.type.from_toml, value, place(name))
    return layer


def may_have(setting: Setting[Any], of: str) -> bool:
    """Whether a setting may stand in a table of the file, of a source or of a repository."""
    if of == "source":
        return setting.per_source
    return of != "repository" or setting.per_repository


def unknown_key(place: str, key: str, known: Iterable[str]) -> ConfigError:
    """The error for a key that is no setting here, with the nearest one that is."""
    if any(word in key.lower() for word in _CREDENTIAL_WORDS):
        hint = "credentials come from AWS_* variables, a profile or the instance's role"
    elif key.rpartition(".")[2] in {setting.name for setting in SETTINGS}:
        hint = "it is a setting of the whole file: write it above [[sources]] and every table"
    elif "." in key and key in {setting.name for setting in SETTINGS}:
        hint = "write it as a table: [{}] {} = …".format(*key.split("."))
    else:
        hint = _near(key, known) or f"known are: {', '.join(sorted(known))}"
    return ConfigError(f"{place}: no such setting", hint=hint)


def unknown_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """A sentence for each ``BTRFS_TO_S3_*`` variable that is no setting.

    They are not refused: another program may use the prefix for its own.
    """
    known = {variable for setting in SETTINGS for variable in setting.environment}
    return tuple(
        f"the environment variable {variable} is no setting and has no effect"
        + (f"; {hint}" if (hint := _near(variable, known)) else "")
        for variable in sorted(environ)
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in known
    )


def _read(
    setting: Setting[Any], read: Callable[[Any], object], found: object, origin: str
) -> Effective:
    try:
        return Effective(setting, read(found), origin)
    except UsageError as error:
        raise ConfigError(
            f"{origin}: {error.message}", hint=error.hint, setting=setting.name, origin=origin
        ) from error


def _near(word: str, known: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else None
