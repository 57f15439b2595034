"""Tells long waits to end."""

from typing import Protocol


class Cancellation(Protocol):
    """Tells long waits to end. Thread-safe; once set it stays set.

    ``wait`` also shows that a run is alive (``host.heartbeat``): it is for work that waits on
    purpose, for something outside. What only polls until another thread has done its part, and
    whatever watches in the background, looks with ``is_set`` and sleeps on something of its own.
    """

    def is_set(self) -> bool:
        """Whether the work should stop."""

    def wait(self, timeout_s: float) -> bool:
        """Sleep up to ``timeout_s``; True as soon as the work should stop."""
