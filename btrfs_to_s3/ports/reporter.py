"""Where operations tell what is happening."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Where operations tell what is happening; the command line renders it. Thread-safe."""

    def begin(self, subject: str, activity: str, expected_bytes: int | None) -> None:
        """A piece of work starts; ``expected_bytes`` is the planner's estimate of raw bytes."""

    def advance(self, raw_bytes: int, stored_bytes: int, chunks: int) -> None:
        """So much more raw stream, stored data and so many chunks are done."""

    def activity(self, text: str) -> None:
        """What is happening now, in a few words."""

    def note(self, text: str) -> None:
        """Something a person may want to know."""

    def warn(self, text: str) -> None:
        """Something a person should act on; the work goes on."""

    def end(self) -> None:
        """The piece of work is over, well or badly."""
