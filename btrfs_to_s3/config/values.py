"""Kinds of setting values: what each accepts from a file and from text, and how it is written.

Every ``from_*`` raises ``UsageError`` with what was found and what is allowed; the caller puts
the place in front.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NoReturn, Protocol, TypeVar
from urllib.parse import urlsplit

from btrfs_to_s3.config.repository import REPOSITORY_ALLOWED, RepositoryUrl
from btrfs_to_s3.config.units import (
    DURATIONS_ALLOWED,
    RATES_ALLOWED,
    SIZES_ALLOWED,
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
)
from btrfs_to_s3.errors import UsageError

if TYPE_CHECKING:
    from datetime import timedelta
    from enum import StrEnum

T = TypeVar("T")
E = TypeVar("E", bound="StrEnum")
NONE = "none"
NOT_SHOWN = "(not shown)"


class ValueType(Protocol[T]):
    """A kind of value. ``to_toml`` gives what ``from_toml`` reads back as the same value."""

    @property
    def metavar(self) -> str:
        """A word for the value in help texts."""

    @property
    def allowed(self) -> str:
        """What may be given, for errors and the reference."""

    def from_text(self, text: str) -> T:
        """Read the command line's or the environment's text."""

    def from_toml(self, found: object) -> T:
        """Read a value of a configuration file; a wrong type is refused, not converted."""

    def to_toml(self, value: T) -> object:
        """The value as it is written into a configuration file."""


def shown(found: object) -> str:
    """A value as TOML would show it, for messages."""
    return json.dumps(found, ensure_ascii=False, default=str)


def refuse(found: object, allowed: str, hint: str | None = None) -> NoReturn:
    """Raise the ``UsageError`` for a value that does not fit."""
    raise UsageError(f"found {shown(found)}; allowed: {allowed}", hint=hint)


def is_integer(found: object) -> bool:
    """Whether TOML gave an integer; Python's bool is one too, TOML's is not."""
    return isinstance(found, int) and not isinstance(found, bool)


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes within bounds, a multiple of ``step_bytes``."""

    minimum_bytes: int
    maximum_bytes: int
    step_bytes: int = 1
    metavar: str = "SIZE"

    @property
    def allowed(self) -> str:
        """What may be given."""
        step = f", a multiple of {format_size(self.step_bytes)}" if self.step_bytes > 1 else ""
        lowest, highest = format_size(self.minimum_bytes), format_size(self.maximum_bytes)
        return f"{SIZES_ALLOWED}, from {lowest} to {highest}{step}"

    def from_text(self, text: str) -> int:
        """Read ``256MiB``."""
        try:
            size_bytes = parse_size(text)
        except UsageError:
            refuse(text, self.allowed)
        return self._checked(size_bytes, text)

    def from_toml(self, found: object) -> int:
        """Read ``"256MiB"`` or a number of bytes."""
        if isinstance(found, int) and is_integer(found):
            return self._checked(found, found)
        return self.from_text(_string(found, self.allowed))

    def to_toml(self, value: int) -> object:
        """Write ``"256MiB"``."""
        return format_size(value)

    def _checked(self, size_bytes: int, found: object) -> int:
        if not self.minimum_bytes <= size_bytes <= self.maximum_bytes:
            refuse(found, self.allowed)
        if size_bytes % self.step_bytes:
            refuse(found, self.allowed)
        return size_bytes


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes a second, None for unlimited."""

    minimum_bytes_per_s: int
    metavar: str = "RATE"

    @property
    def allowed(self) -> str:
        """What may be given."""
        return f"{RATES_ALLOWED}; at least {format_rate(self.minimum_bytes_per_s)}"

    def from_text(self, text: str) -> int | None:
        """Read ``20MB/s`` or ``unlimited``."""
        try:
            bytes_per_s = parse_rate(text)
        except UsageError as error:
            refuse(text, self.allowed, error.hint)
        if bytes_per_s is not None and bytes_per_s < self.minimum_bytes_per_s:
            refuse(text, self.allowed)
        return bytes_per_s

    def from_toml(self, found: object) -> int | None:
        """Read ``"20MB/s"`` or a number of bytes a second, 0 for unlimited."""
        if is_integer(found):
            return self.from_text(str(found))
        return self.from_text(_string(found, self.allowed))

    def to_toml(self, value: int | None) -> object:
        """Write ``"20MB/s"``."""
        return format_rate(value)


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time within bounds."""

    minimum: timedelta
    maximum: timedelta
    metavar: str = "DURATION"

    @property
    def allowed(self) -> str:
        """What may be given."""
        lowest, highest = format_duration(self.minimum), format_duration(self.maximum)
        return f"{DURATIONS_ALLOWED}; from {lowest} to {highest}"

    def from_text(self, text: str) -> timedelta:
        """Read ``1h30m``."""
        try:
            duration = parse_duration(text)
        except UsageError:
            refuse(text, self.allowed)
        if not self.minimum <= duration <= self.maximum:
            refuse(text, self.allowed)
        return duration

    def from_toml(self, found: object) -> timedelta:
        """Read ``"1h30m"``."""
        if is_integer(found):
            refuse(found, self.allowed, f'a duration has a unit: "{found}s", "{found}d"')
        return self.from_text(_string(found, self.allowed))

    def to_toml(self, value: timedelta) -> object:
        """Write ``"1h30m"``."""
        return format_duration(value)


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number within bounds."""

    minimum: int
    maximum: int
    metavar: str = "N"

    @property
    def allowed(self) -> str:
        """What may be given."""
        return f"a whole number from {self.minimum} to {self.maximum}"

    def from_text(self, text: str) -> int:
        """Read decimal digits."""
        if not re.fullmatch("[0-9]{1,18}", text.strip()):
            refuse(text, self.allowed)
        return self.from_toml(int(text))

    def from_toml(self, found: object) -> int:
        """Read an integer."""
        if not isinstance(found, int) or not is_integer(found):
            refuse(found, self.allowed)
        if not self.minimum <= found <= self.maximum:
            refuse(found, self.allowed)
        return found

    def to_toml(self, value: int) -> object:
        """Write an integer."""
        return value


@dataclass(frozen=True, slots=True)
class Choice(Generic[E]):
    """One of an enum's values."""

    choices: type[E]
    metavar: str = "CHOICE"

    @property
    def allowed(self) -> str:
        """What may be given."""
        return ", ".join(self.choices)

    def from_text(self, text: str) -> E:
        """Read one of the values; case counts, as it does for the service."""
        try:
            return self.choices(text)
        except ValueError:
            same = [choice for choice in self.choices if choice.lower() == text.lower()]
            refuse(text, self.allowed, f'did you mean "{same[0]}"?' if same else None)

    def from_toml(self, found: object) -> E:
        """Read one of the values; a number stands for its digits (``protocol = 2``)."""
        return self.from_text(str(found) if is_integer(found) else _string(found, self.allowed))

    def to_toml(self, value: E) -> object:
        """Write the value."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Text:
    """Printable text that matches ``pattern`` and none of ``refused``.

    A ``secret`` one is not repeated in errors.
    """

    allowed: str
    metavar: str
    pattern: re.Pattern[str] = re.compile(".+")
    refused: frozenset[str] = frozenset()
    secret: bool = False

    def from_text(self, text: str) -> str:
        """Read the text as it is."""
        if not text.isprintable() or not self.pattern.fullmatch(text) or text in self.refused:
            upper = self.pattern.fullmatch(text.upper()) and text.upper() not in self.refused
            hint = f'did you mean "{text.upper()}"?' if upper and text != text.upper() else None
            refuse(NOT_SHOWN if self.secret else text, self.allowed, hint)
        return text

    def from_toml(self, found: object) -> str:
        """Read a string."""
        if self.secret and not isinstance(found, str):
            refuse(NOT_SHOWN, self.allowed)
        return self.from_text(_string(found, self.allowed))

    def to_toml(self, value: str) -> object:
        """Write a string."""
        return value


@dataclass(frozen=True, slots=True)
class AbsolutePath:
    """An absolute path of this machine, without ``..``."""

    allowed: str = "an absolute path without '..'"
    metavar: str = "PATH"

    def from_text(self, text: str) -> Path:
        """Read a path; slashes at its end are dropped."""
        path = Path(text)
        if not path.is_absolute() or ".." in path.parts or not text.isprintable():
            refuse(text, self.allowed)
        # POSIX keeps a leading "//" apart; Linux does not.
        return Path("/", *path.parts[1:])

    def from_toml(self, found: object) -> Path:
        """Read a string."""
        return self.from_text(_string(found, self.allowed))

    def to_toml(self, value: Path) -> object:
        """Write a string."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The URL of an S3 service."""

    allowed: str = "a URL such as https://s3.example.org or http://127.0.0.1:9000"
    metavar: str = "URL"

    def from_text(self, text: str) -> str:
        """Read an http or https URL with a host and nothing after its path."""
        if "@" in text:
            refuse("(a URL with a user name)", self.allowed, "credentials do not belong here")
        if "://" not in text:
            refuse(text, self.allowed, f"add http:// or https:// in front: https://{text}")
        try:
            url = urlsplit(text)
            usable = url.scheme in {"http", "https"} and url.hostname and url.port != 0
        except ValueError:
            refuse(text, self.allowed)
        if not usable or url.query or url.fragment or not text.isprintable():
            refuse(text, self.allowed)
        return text.rstrip("/")

    def from_toml(self, found: object) -> str:
        """Read a string."""
        return self.from_text(_string(found, self.allowed))

    def to_toml(self, value: str) -> object:
        """Write a string."""
        return value


@dataclass(frozen=True, slots=True)
class Repository:
    """``s3://bucket/prefix``."""

    allowed: str = REPOSITORY_ALLOWED
    metavar: str = "URL"

    def from_text(self, text: str) -> RepositoryUrl:
        """Read and normalise the URL."""
        return RepositoryUrl.parse(text)

    def from_toml(self, found: object) -> RepositoryUrl:
        """Read a string."""
        return self.from_text(_string(found, self.allowed))

    def to_toml(self, value: RepositoryUrl) -> object:
        """Write a string."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Maybe(Generic[T]):
    """A value that may be absent, written ``none``."""

    inner: ValueType[T]

    @property
    def metavar(self) -> str:
        """The inner value's word."""
        return self.inner.metavar

    @property
    def allowed(self) -> str:
        """What may be given."""
        return f"{self.inner.allowed}, or {NONE}"

    def from_text(self, text: str) -> T | None:
        """Read ``none`` or the inner value."""
        return None if text == NONE else self.inner.from_text(text)

    def from_toml(self, found: object) -> T | None:
        """Read ``"none"`` or the inner value."""
        return None if found == NONE else self.inner.from_toml(found)

    def to_toml(self, value: T | None) -> object:
        """Write ``"none"`` or the inner value."""
        return NONE if value is None else self.inner.to_toml(value)


def _string(found: object, allowed: str) -> str:
    if not isinstance(found, str):
        refuse(found, allowed)
    return found
