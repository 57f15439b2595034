"""What the person wants kept and how chains should grow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
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


class Strategy(StrEnum):
    """On what an incremental backup is built.

    ``CHAIN``: on the last backup. ``TREE``: a month's first on the year's first, a day's first on
    the month's first, the others on the day's first, so that chains stay short.
    """

    CHAIN = "chain"
    TREE = "tree"


class FullBackups(StrEnum):
    """What may ask for a full backup that is not necessary.

    ``POLICY``: ``full_every`` and ``max_chain``. ``AUTO``: also the planner, where a new full one
    makes storage, thaw and egress together cheaper.
    """

    POLICY = "policy"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class ChainPolicy:
    """How chains grow, and when a full backup is due although an incremental one is possible.

    ``full_every`` None never asks for one by age; ``max_chain`` counts backups in a chain, the
    full one included.
    """

    full_every: timedelta | None = None
    max_chain: int = 60
    strategy: Strategy = Strategy.CHAIN
    full: FullBackups = FullBackups.POLICY
