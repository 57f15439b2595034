"""What went through the fault proxy, counted from its log as that grows; and kept from growing."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

_TURNED_AT_BYTES: Final = 8 * 1024**2
_FIRST_ERROR_STATUS: Final = 400
_ORDINARY: Final = {404, 412}
"""Answers to "is it there?" and "only if": not errors, but what was asked."""


@dataclass(slots=True)
class Traffic:
    """Totals since the start. `errors` are by the rule's label, else by status or by what broke."""

    log: Path
    requests: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    request_bytes: int = 0
    answer_bytes: int = 0
    _position: int = 0
    _open: dict[int, dict[str, Any]] = field(default_factory=dict)

    def update(self) -> None:
        """Count what was logged since the last time; memory holds only unfinished requests."""
        if not self.log.exists():
            return
        self._position = self._count_from(self.log, self._position)
        if self._position > _TURNED_AT_BYTES:
            self._turn()

    def _turn(self) -> None:
        """Move the log away; the proxy opens it for every line, so it goes on in a new one."""
        moved = self.log.with_suffix(".old")
        self.log.replace(moved)
        self._count_from(moved, self._position)
        moved.unlink()
        self._position = 0

    def _count_from(self, path: Path, position: int) -> int:
        with path.open("rb") as log:
            log.seek(position)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                position += len(line)
                self._count(json.loads(line))
        return position

    def _count(self, entry: dict[str, Any]) -> None:
        if "operation" in entry:
            self.requests[entry["operation"]] += 1
            self._open[entry["number"]] = {}
        known = self._open.get(entry["number"])
        if known is None:
            return
        known.update(entry)
        if "seconds" not in entry:
            return
        del self._open[entry["number"]]
        self.request_bytes += known.get("request_bytes") or 0
        self.answer_bytes += known.get("answer_bytes") or 0
        if kind := _error_of(known):
            self.errors[kind] += 1


def _error_of(entry: dict[str, Any]) -> str:
    if entry.get("rule"):
        return str(entry["rule"])
    status = entry.get("status") or 0
    if status >= _FIRST_ERROR_STATUS and status not in _ORDINARY:
        return f"status {status}"
    return "connection broken" if entry.get("error") else ""
