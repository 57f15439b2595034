"""How keep rules are written: ``{last = 3, daily = 7}``, ``"last=3,daily=7"``, ``3`` or ``all``."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass, fields

from btrfs_to_s3.config.values import is_integer, refuse
from btrfs_to_s3.model.policy import KeepPolicy

_RULES = tuple(field.name for field in fields(KeepPolicy))
_HIGHEST = 100_000
_ALL = "all"


@dataclass(frozen=True, slots=True)
class Keep:
    """A ``KeepPolicy``; a number alone counts the last ones, ``all`` keeps everything.

    A policy of zeros is refused: it reads as "keep nothing" and would keep everything.
    """

    metavar: str = "RULES"
    allowed: str = (
        f"a table of {', '.join(_RULES)} with whole numbers of which one is above 0 "
        f'(as text: last=3,daily=7), a number of the last ones from 1, or "{_ALL}"'
    )

    def from_text(self, text: str) -> KeepPolicy:
        """Read ``last=3,daily=7``, ``3`` or ``all``."""
        stripped = text.strip()
        if stripped == _ALL:
            return KeepPolicy()
        if _is_count(stripped):
            return self._checked({"last": int(stripped)}, text)
        counts: dict[str, object] = {}
        for term in stripped.split(","):
            rule, equals, count = (part.strip() for part in term.partition("="))
            if not equals or not _is_count(count) or rule in counts:
                refuse(text, self.allowed)
            counts[rule] = int(count)
        return self._checked(counts, text)

    def from_toml(self, found: object) -> KeepPolicy:
        """Read a table, a number, or the text form."""
        if isinstance(found, str):
            return self.from_text(found)
        if is_integer(found):
            return self._checked({"last": found}, found)
        if not isinstance(found, dict):
            refuse(found, self.allowed)
        return self._checked(found, found)

    def to_toml(self, value: KeepPolicy) -> object:
        """Write the rules that are not zero, or ``"all"``."""
        return {rule: count for rule, count in asdict(value).items() if count} or _ALL

    def _checked(self, counts: dict[str, object], found: object) -> KeepPolicy:
        checked: dict[str, int] = {}
        for rule, count in counts.items():
            if rule not in _RULES:
                near = difflib.get_close_matches(rule, _RULES, n=1)
                hint = f"{rule} is no rule" + (f"; did you mean {near[0]}?" if near else "")
                refuse(found, self.allowed, hint)
            if not isinstance(count, int) or not is_integer(count) or not 0 <= count <= _HIGHEST:
                refuse(found, self.allowed)
            checked[rule] = count
        if not any(checked.values()):
            refuse(found, self.allowed, f'to keep everything, write "{_ALL}"')
        return KeepPolicy(**checked)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= len(str(_HIGHEST))
