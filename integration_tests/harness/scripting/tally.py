"""Counting the checks of each part of a script, and a table of how the parts went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Check(Protocol):
    """Notes whether something held; `Script.check` is one."""

    def __call__(self, passed: object, text: str, detail: object = "") -> bool:
        """Note it."""


@dataclass(frozen=True, slots=True)
class Row:
    """How one part of a script went."""

    name: str
    passed: int
    failed: int
    seconds: float


class Tally:
    """Counts what goes through to another recorder of checks."""

    def __init__(self, check: Check) -> None:
        self.passed = 0
        self.failed = 0
        self._check = check

    def __call__(self, passed: object, text: str, detail: object = "") -> bool:
        """Count it, and pass it on."""
        if self._check(passed, text, detail):
            self.passed += 1
            return True
        self.failed += 1
        return False


def table(rows: Iterable[Row], title: str) -> Sequence[str]:
    """One line for each part; `title` says what parts are called."""
    return [
        f"{title:<16} {'passed':>6} {'failed':>6} {'seconds':>8}",
        *(f"{row.name:<16} {row.passed:>6} {row.failed:>6} {row.seconds:>8.1f}" for row in rows),
    ]
