"""What a backup run can do with a source."""

from __future__ import annotations

from enum import StrEnum


class Decision(StrEnum):
    """What a backup run does."""

    FULL = "full"
    INCREMENTAL = "incremental"
    SKIP = "skip"
    RESUME = "resume"
    REFUSE = "refuse"
