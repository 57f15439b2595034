"""Who hears of a run: one report for several listeners, or under a repository's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from btrfs_to_s3.ports import Reporter


class Listeners:
    """Implements ``ports.Reporter``: everything is told to each listener, in their order."""

    def __init__(self, *listeners: Reporter) -> None:
        self._listeners = listeners

    def begin(self, subject: str, activity: str, expected_bytes: int | None) -> None:
        """A piece of work starts."""
        for each in self._listeners:
            each.begin(subject, activity, expected_bytes)

    def advance(self, raw_bytes: int, stored_bytes: int, chunks: int) -> None:
        """So much more is done."""
        for each in self._listeners:
            each.advance(raw_bytes, stored_bytes, chunks)

    def activity(self, text: str) -> None:
        """What is happening now."""
        for each in self._listeners:
            each.activity(text)

    def note(self, text: str) -> None:
        """Something a person may want to know."""
        for each in self._listeners:
            each.note(text)

    def warn(self, text: str) -> None:
        """Something a person should act on."""
        for each in self._listeners:
            each.warn(text)

    def end(self) -> None:
        """The piece of work is over."""
        for each in self._listeners:
            each.end()


@dataclass(frozen=True, slots=True)
class Labelled:
    """Implements ``ports.Reporter``: what is told begins with the name of the repository."""

    reporter: Reporter
    name: str

    def begin(self, subject: str, activity: str, expected_bytes: int | None) -> None:
        """A piece of work starts."""
        self.reporter.begin(subject, activity, expected_bytes)

    def advance(self, raw_bytes: int, stored_bytes: int, chunks: int) -> None:
        """So much more is done."""
        self.reporter.advance(raw_bytes, stored_bytes, chunks)

    def activity(self, text: str) -> None:
        """What is happening now."""
        self.reporter.activity(text)

    def note(self, text: str) -> None:
        """Something a person may want to know."""
        self.reporter.note(f"{self.name}: {text}")

    def warn(self, text: str) -> None:
        """Something a person should act on."""
        self.reporter.warn(f"{self.name}: {text}")

    def end(self) -> None:
        """The piece of work is over."""
        self.reporter.end()
