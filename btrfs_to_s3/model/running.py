"""A run that is under way on this host, as another process sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one piece of work is; ``expected_bytes`` of raw stream is an estimate or None.

    ``activity`` says what it is (``full backup``); ``now`` what it is busy with, if not with data.
    """

    subject: str
    activity: str
    began: datetime
    expected_bytes: int | None = None
    raw_bytes: int = 0
    stored_bytes: int = 0
    chunks: int = 0
    now: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """A run of one command; ``progress`` is None while it does nothing that can be measured."""

    command: str
    pid: int
    started: datetime
    updated: datetime
    progress: Progress | None
