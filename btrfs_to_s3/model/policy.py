"""What the person wants kept and how chains should grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta


@dataclass(frozen=True, slots=True)
class KeepPolicy:
    """How many backups each rule keeps. All zero keeps everything (``keeps_everything``)."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0

    @property
    def keeps_everything(self) -> bool:
        """Whether no rule was given, so that nothing may be removed."""
        return not any((self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly))


@dataclass(frozen=True, slots=True)
class ChainPolicy:
    """When a full backup is due although an incremental one would be possible.

    ``full_every`` None never asks for one by age; ``max_chain`` counts backups in a chain, the
    full one included.
    """

    full_every: timedelta | None = None
    max_chain: int = 60
