"""Random forests of backups, in random times, and random rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st

from btrfs_to_s3.model.policy import KeepPolicy
from tests.plan.build import entry, head

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import Head, HeadEntry

_NEAR = datetime(2024, 1, 1, tzinfo=UTC)
quickly = settings(max_examples=60, deadline=None)
"""Enough examples to find a broken rule, few enough to be run on every change."""

times = st.one_of(
    st.integers(0, 24 * 60).map(
        lambda hours: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    ),
    st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)
"""Mostly close together; sometimes what a clock that was wrong would say."""

presents = st.one_of(st.just(datetime(2107, 1, 1, tzinfo=UTC)), times)
"""What a clock says now: mostly later than everything."""

policies = st.dictionaries(
    st.sampled_from(["last", "hourly", "daily", "weekly", "monthly", "yearly"]),
    st.integers(1, 3),
    min_size=1,
    max_size=2,
).map(lambda rules: KeepPolicy(**rules))
"""Few rules that keep little, so that most backups are kept by what the planner adds."""


def forests(min_size: int = 0, max_size: int = 14) -> st.SearchStrategy[tuple[HeadEntry, ...]]:
    """Backups in sequence order, each full (0) or on one of the few before it."""
    grown = st.tuples(st.sampled_from([1, 1, 1, 2, 3, 0]), times)
    return st.lists(grown, min_size=min_size, max_size=max_size).map(_forest)


def _forest(grown: list[tuple[int, datetime]]) -> tuple[HeadEntry, ...]:
    entries: list[HeadEntry] = []
    for number, (back, time) in enumerate(grown, start=1):
        parent = entries[-back] if 0 < back <= len(entries) else None
        entries.append(entry(number, parent, time=time))
    return tuple(entries)


classes = ("DEEP_ARCHIVE", "DEEP_ARCHIVE", "GLACIER", "STANDARD_IA", "STANDARD")
"""Storage classes with different minimum durations, and one without."""


def cold_heads(min_size: int = 0) -> st.SearchStrategy[Head]:
    """Forests whose backups are of several storage classes."""
    chosen = st.lists(st.sampled_from(classes), min_size=14, max_size=14)
    return st.tuples(forests(min_size), chosen).map(
        lambda both: head(
            *(replace(item, data_class=name) for item, name in zip(*both, strict=False))
        )
    )


def heads(min_size: int = 0) -> st.SearchStrategy[Head]:
    return forests(min_size).map(lambda entries: head(*entries))
