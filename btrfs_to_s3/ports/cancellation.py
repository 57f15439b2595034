"""Tells long waits to end."""

from typing import Protocol


class Cancellation(Protocol):
    """Tells long waits to end. Thread-safe; once set it stays set.

    ``wait`` is also how a run shows that it is alive (``host.heartbeat``): it is for who waits on
    purpose for something that ends or is looked at again, and, with no time, for work that moves.
    What only polls until another thread has done its part, and whatever watches in the
    background, must look with ``is_set`` and sleep on something of its own.
    """

    def is_set(self) -> bool:
        """Whether the work should stop."""

    def wait(self, timeout_s: float) -> bool:
        """Sleep up to ``timeout_s``; True as soon as the work should stop."""
