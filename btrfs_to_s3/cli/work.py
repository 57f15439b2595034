"""One piece of work and how far it is, as everybody who follows a run keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from btrfs_to_s3.cli.rendering import human

_ESTIMATE_AFTER_S = 3.0
"""A rate measured over less time promises too much."""


@dataclass(slots=True)
class Work:
    """One piece of work and how far it is; ``now`` says what it is busy with."""

    subject: str
    what: str
    expected_bytes: int | None
    started_s: float
    raw_bytes: int = 0
    stored_bytes: int = 0
    chunks: int = 0
    now: str = ""

    def advance(self, raw_bytes: int, stored_bytes: int, chunks: int) -> None:
        """So much more is done; what it was busy with before bytes moved is over."""
        self.raw_bytes += raw_bytes
        self.stored_bytes += stored_bytes
        self.chunks += chunks
        self.now = ""

    @property
    def share(self) -> float | None:
        """How much is done, 0 to 1; None without an estimate, or past it."""
        if not self.expected_bytes or self.raw_bytes > self.expected_bytes:
            return None
        return self.raw_bytes / self.expected_bytes

    def left(self, now_s: float) -> timedelta | None:
        """The time it will still take at the speed so far, where that can be told."""
        elapsed_s = now_s - self.started_s
        share = self.share
        if not share or elapsed_s < _ESTIMATE_AFTER_S:
            return None
        return timedelta(seconds=elapsed_s / share - elapsed_s)

    def line(self, now_s: float) -> str:
        """How far it is, in one line."""
        parts = [
            human.part(self.raw_bytes, self.expected_bytes),
            f"{human.size(self.stored_bytes)} stored",
            human.count(self.chunks, "chunk"),
            human.rate(self.raw_bytes, now_s - self.started_s),
        ]
        left = self.left(now_s)
        if left is not None:
            parts.append(f"about {human.span(left)} left")
        if self.now:
            parts.append(self.now)
        return f"{self.subject}: {self.what}: {', '.join(parts)}"
