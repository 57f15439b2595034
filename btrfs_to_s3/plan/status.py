"""How fresh each source's backups are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.identity import SourceId

CLOCK_TOLERANCE = timedelta(minutes=10)
"""How far a success may lie ahead of this machine's clock before the clocks are doubted."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """One source: its newest live backup, the last success (finished, or found unchanged), its age.

    ``last_success`` and ``age`` are None when there never was one. ``reason`` is a short sentence.
    """

    source_id: SourceId
    host_name: str
    newest: HeadEntry | None
    last_success: datetime | None
    age: timedelta | None
    stale: bool
    reason: str


def freshness(
    heads: Iterable[Head],
    now: datetime,
    max_age: timedelta | None = None,
    unchanged: Mapping[SourceId, datetime] | None = None,
) -> tuple[Freshness, ...]:
    """Judge every source, in order of host and label.

    ``unchanged`` holds when a run last found that nothing was due (known on the source's own
    host only). With ``max_age`` None nothing is stale but a source without any live backup.
    """
    seen = unchanged or {}
    ordered = sorted(heads, key=lambda head: (head.host_name, head.source_id))
    return tuple(_judge(head, now, max_age, seen.get(head.source_id)) for head in ordered)


def _judge(
    head: Head, now: datetime, max_age: timedelta | None, unchanged: datetime | None
) -> Freshness:
    newest = head.newest
    if newest is None:
        reason = "no backup of it is live"
        return Freshness(
            head.source_id, head.host_name, None, None, None, stale=True, reason=reason
        )
    last = newest.finished if unchanged is None else max(newest.finished, unchanged)
    stale, reason = _verdict(now - last, max_age)
    age = max(now - last, timedelta(0))
    return Freshness(head.source_id, head.host_name, newest, last, age, stale=stale, reason=reason)


def _verdict(age: timedelta, max_age: timedelta | None) -> tuple[bool, str]:
    if age < -CLOCK_TOLERANCE:
        # A time in the future would pass for fresh until it comes, however long that takes.
        return max_age is not None, "its last success lies in the future: a clock is or was wrong"
    if max_age is not None and age > max_age:
        return True, f"its last success is older than {_span(max_age)}"
    return False, "it is fresh" if max_age is not None else "no age limit was given"


def _span(span: timedelta) -> str:
    hours, rest = divmod(int(span.total_seconds()), 3600)
    return f"{hours} h" if not rest else f"{int(span.total_seconds())} s"
