"""How fresh each source is."""

from __future__ import annotations

from datetime import timedelta

from btrfs_to_s3.model.identity import SourceId
from btrfs_to_s3.plan.status import freshness
from tests.plan.build import SOURCE_ID, T0, chain, days, entry, head

STORED = head(*chain(3))
FINISHED = chain(3)[-1].finished


def test_a_source_is_fresh_within_the_age_and_stale_past_it() -> None:
    limit = timedelta(hours=26)
    (fresh,) = freshness([STORED], FINISHED + limit, limit)
    assert not fresh.stale
    assert fresh.age == limit
    assert fresh.newest == chain(3)[-1]
    (stale,) = freshness([STORED], FINISHED + limit + timedelta(seconds=1), limit)
    assert stale.stale
    assert "older than 26 h" in stale.reason


def test_without_a_limit_only_a_source_without_backups_is_stale() -> None:
    old, empty = freshness(
        [STORED, head(source_id=SourceId("empty", "00000000"))], FINISHED + days(900)
    )
    assert not old.stale
    assert empty.stale
    assert empty.age is None


def test_a_run_that_found_nothing_due_is_a_success() -> None:
    now = FINISHED + days(9)
    (result,) = freshness([STORED], now, days(1), {SOURCE_ID: now - timedelta(hours=1)})
    assert not result.stale
    assert result.age == timedelta(hours=1)


def test_an_older_nothing_due_does_not_hide_a_backup() -> None:
    (result,) = freshness([STORED], FINISHED, days(1), {SOURCE_ID: T0 - days(50)})
    assert result.last_success == FINISHED


def test_a_success_in_the_future_is_not_taken_for_fresh() -> None:
    ahead = head(entry(1, time=T0 + days(4000)))
    (result,) = freshness([ahead], T0, days(1))
    assert result.stale
    assert result.age == timedelta(0)
    assert "clock" in result.reason
    (slightly,) = freshness([STORED], FINISHED - timedelta(minutes=5), days(1))
    assert not slightly.stale


def test_sources_come_in_order_of_host_and_label() -> None:
    heads = [
        head(source_id=SourceId(label, "00000000"), host_name=host)
        for host, label in (("b", "x"), ("a", "z"), ("a", "y"))
    ]
    assert [(line.host_name, line.source_id.label) for line in freshness(heads, T0)] == [
        ("a", "y"),
        ("a", "z"),
        ("b", "x"),
    ]
