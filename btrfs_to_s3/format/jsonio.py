"""JSON as the format writes it, and checked access to what is read (docs/format.md §3).

Everything read is treated as hostile: a wrong type, a missing member or a value out of range is an
``IntegrityError`` that names the object and the member.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, cast
from uuid import UUID

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.model.backup import FORMAT_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_INTEGER = 2**63 - 1


def encode_line(members: Mapping[str, object]) -> bytes:
    """One line of JSON with its line feed."""
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def encode_time(moment: datetime) -> str:
    """RFC 3339 in UTC, ``Z``, a fraction only where there is one."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


@lru_cache(maxsize=4096)
def _uuid(text: str) -> UUID:
    """In a head most uuids stand several times: snapshot, stream and the child's parent."""
    return UUID(text)


class Fields:
    """The members of one JSON object, read by type; ``what`` names the object in errors."""

    __slots__ = ("_members", "what")

    def __init__(self, members: object, what: str) -> None:
        if not isinstance(members, dict):
            raise IntegrityError(f"{what} is not a JSON object")
        self._members = cast("dict[str, object]", members)
        self.what = what

    @classmethod
    def parse(cls, data: bytes, what: str, *, versioned: bool = True) -> Fields:
        """Read the first line; ``versioned`` objects must have a ``format`` this program knows."""
        try:
            members = json.loads(data.partition(b"\n")[0])
        except (ValueError, RecursionError) as error:
            raise IntegrityError(f"{what} is not valid JSON: {error}") from error
        fields = cls(members, what)
        if versioned:
            version = fields.integer("format")
            if version > FORMAT_VERSION:
                raise IntegrityError(
                    f"{what} has format {version}, newer than this program's {FORMAT_VERSION}",
                    hint="update btrfs-to-s3",
                )
        return fields

    def _fail(self, name: str, wanted: str) -> IntegrityError:
        found = self._members.get(name, "nothing")
        return IntegrityError(
            f"{self.what}: member {name!r} must be {wanted}, found {str(found)[:80]!r}"
        )

    def absent(self, name: str) -> bool:
        """Whether the member is null or not there."""
        return self._members.get(name) is None

    def text(self, name: str, limit: int = 4096) -> str:
        """A string of at most ``limit`` characters."""
        value = self._members.get(name)
        if not isinstance(value, str) or len(value) > limit:
            raise self._fail(name, f"text of at most {limit} characters")
        return value

    def file_name(self, name: str) -> str:
        """One component of a path: not empty, not ``.`` or ``..``, no slash, no NUL."""
        value = self.text(name, 255)
        if value in {"", ".", ".."} or "/" in value or "\0" in value:
            raise self._fail(name, "the name of a directory entry")
        return value

    def integer(self, name: str, low: int = 0, high: int = _MAX_INTEGER) -> int:
        """A whole number from ``low`` to ``high``."""
        value = self._members.get(name)
        if type(value) is not int or not low <= value <= high:
            raise self._fail(name, f"a whole number from {low} to {high}")
        return value

    def boolean(self, name: str) -> bool:
        """True or false."""
        value = self._members.get(name)
        if not isinstance(value, bool):
            raise self._fail(name, "true or false")
        return value

    def sha256(self, name: str) -> str:
        """64 lower-case hex digits."""
        value = self._members.get(name)
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            raise self._fail(name, "a SHA-256 in hex")
        return value

    def uuid(self, name: str) -> UUID:
        """A uuid in its hyphenated form."""
        value = self.text(name, 36)
        try:
            return _uuid(value)
        except ValueError as error:
            raise self._fail(name, "a uuid") from error

    def time(self, name: str) -> datetime:
        """A time in UTC."""
        value = self.text(name, 40)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise self._fail(name, "a time in RFC 3339") from error
        if moment.tzinfo is UTC:
            return moment
        if moment.tzinfo is None:
            raise self._fail(name, "a time with its zone")
        return moment.astimezone(UTC)

    def nested(self, name: str) -> Fields:
        """A JSON object inside this one."""
        return Fields(self._members.get(name), f"{self.what}: {name}")

    def objects(self, name: str) -> list[Fields]:
        """A list of JSON objects."""
        return [Fields(item, f"{self.what}: {name}") for item in self._items(name)]

    def sha256s(self, name: str) -> tuple[str, ...]:
        """A list of digests."""
        items = self._items(name)
        if not all(isinstance(item, str) and _SHA256.fullmatch(item) for item in items):
            raise self._fail(name, "a list of SHA-256 in hex")
        return tuple(cast("Sequence[str]", items))

    def integers(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers, none negative."""
        items = self._items(name)
        if not all(type(item) is int and 0 <= item <= _MAX_INTEGER for item in items):
            raise self._fail(name, "a list of whole numbers")
        return tuple(cast("Sequence[int]", items))

    def texts_by_name(self, name: str) -> dict[str, str]:
        """An object whose members are all strings."""
        fields = self.nested(name)
        return {key: fields.text(key) for key in fields.names()}

    def integers_by_name(self, name: str) -> dict[str, int]:
        """An object whose members are all whole numbers."""
        fields = self.nested(name)
        return {key: fields.integer(key) for key in fields.names()}

    def names(self) -> list[str]:
        """The members' names."""
        return list(self._members)

    def _items(self, name: str) -> list[object]:
        value = self._members.get(name)
        if not isinstance(value, list):
            raise self._fail(name, "a list")
        return value
