"""Tells long waits to end."""

from typing import Protocol


class Cancellation(Protocol):
    """Tells long waits to end. Thread-safe; once set it stays set."""

    def is_set(self) -> bool:
        """Whether the work should stop."""

    def wait(self, timeout_s: float) -> bool:
        """Sleep up to ``timeout_s``; True as soon as the work should stop."""
