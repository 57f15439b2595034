"""`events.jsonl`: one line for everything a soak did, with how it ended and whether that was right.

| kind | what |
| --- | --- |
| harness | `begin`, `end`, and failures of the soak itself |
| activity | one run of an activity; `exit_code` is the program's, negative for a signal |
| fault | one fault, from when it was active to when it was over |
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

EVENTS_FILE: Final = "events.jsonl"
BEGIN: Final = "begin"
END: Final = "end"


class EventKind(StrEnum):
    """Who did it."""

    HARNESS = "harness"
    ACTIVITY = "activity"
    FAULT = "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened; times in seconds since 1970.

    `identical` is what a restore's comparison found, None where nothing was compared;
    `peak_memory_bytes` and `resumed` are what the program said of itself.
    """

    kind: EventKind
    name: str
    started_s: float
    ended_s: float
    exit_code: int | None = None
    expected: bool = True
    message: str = ""
    identical: bool | None = None
    peak_memory_bytes: int | None = None
    resumed: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether it did what it was there for."""
        return self.expected and self.exit_code in {0, None} and self.identical is not False


class EventLog:
    """Appends events to a file, from any thread; each is on disk when `add` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._counts = Counter[str]()

    @property
    def summary(self) -> str:
        """How much of what there is so far."""
        with self._lock:
            return ", ".join(f"{count} {name}" for name, count in sorted(self._counts.items()))

    def add(self, event: Event) -> None:
        """Write one event."""
        line = json.dumps(dataclasses.asdict(event)) + "\n"
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(line)
            self._counts[event.name if event.expected else f"UNEXPECTED {event.name}"] += 1


def read_events(path: Path) -> list[Event]:
    """Every whole line of the file; ValueError or TypeError for one that is no event."""
    return [Event(**{**entry, "kind": EventKind(entry["kind"])}) for entry in read_lines(path)]


def write_lines(path: Path, entries: Iterable[object]) -> None:
    """A file of JSON lines, one for each dataclass."""
    lines = (json.dumps(dataclasses.asdict(entry)) + "\n" for entry in entries)  # type: ignore[call-overload]
    path.write_text("".join(lines), encoding="utf-8")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The documents of a file of JSON lines, without a last line that was cut short."""
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)
