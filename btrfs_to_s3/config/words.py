"""How settings of several words are written: a list in the file, text with spaces elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from btrfs_to_s3.config.values import NONE, NOT_SHOWN, refuse


@dataclass(frozen=True, slots=True)
class Words:
    """Several words, each matching ``pattern``; ``none`` for no word at all.

    A ``secret`` one is not repeated in errors: what is wrong in it may still be a password.
    """

    each: str
    metavar: str
    pattern: re.Pattern[str] = re.compile(r"\S+")
    secret: bool = False

    @property
    def allowed(self) -> str:
        """What may be given."""
        return f"a list of {self.each} (as text: separated by spaces), or {NONE}"

    def from_text(self, text: str) -> tuple[str, ...]:
        """Read ``eth0 wlan*`` or ``none``."""
        if text == NONE:
            return ()
        # A line break or a tab is a mistake, not a space.
        return self._checked(text.split() if text.isprintable() else [text], text)

    def from_toml(self, found: object) -> tuple[str, ...]:
        """Read a list of strings, or the text form."""
        if isinstance(found, str):
            return self.from_text(found)
        if not isinstance(found, list):
            self._refuse(found)
        return self._checked(found, found) if found else ()

    def to_toml(self, value: tuple[str, ...]) -> object:
        """Write a list, or ``"none"``."""
        return list(value) or NONE

    def _checked(self, words: list[object] | list[str], found: object) -> tuple[str, ...]:
        if not words:
            self._refuse(found)
        checked = []
        for word in words:
            fits = isinstance(word, str) and word.isprintable() and self.pattern.fullmatch(word)
            if not isinstance(word, str) or not fits:
                self._refuse(found)
            checked.append(word)
        return tuple(dict.fromkeys(checked))

    def _refuse(self, found: object) -> NoReturn:
        refuse(NOT_SHOWN if self.secret else found, self.allowed)
