"""The way that requests to one service take through the network."""

from __future__ import annotations

from typing import Protocol


class Way(Protocol):
    """Watches the kernel's routes to one service. Thread-safe, never raises, takes milliseconds.

    What it says may be half a second old.
    """

    def objection(self) -> str | None:
        """Why nothing may be sent to the service now, in words; None if it may."""

    def objection_to(self, address: str) -> str | None:
        """The same of one address that a connection was opened to.

        An address that was objected to once counts for ``objection`` too from then on.
        """
