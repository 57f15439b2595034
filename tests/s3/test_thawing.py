"""RestoreObject: what each answer means, and that requests keep below the rate."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import (
    BtrfsToS3Error,
    MissingObjectError,
    NotReadableYetError,
    RepositoryError,
    UsageError,
)
from btrfs_to_s3.model.objects import Create, Role, ThawAnswer
from btrfs_to_s3.model.storage_class import Tier
from btrfs_to_s3.s3 import World
from btrfs_to_s3.s3.bandwidth import TokenBucket
from btrfs_to_s3.s3.thawing import thaw_state
from integration_tests.harness.services import Moto
from tests.s3.fakes import FakeTime, sha
from tests.s3.fault_proxy import slow_down

if TYPE_CHECKING:
    from collections.abc import Iterator

    from btrfs_to_s3.s3 import S3Store
    from tests.s3.conftest import Place
    from tests.s3.fault_proxy import Exchange, FaultProxy


@contextmanager
def archived(
    moto: Place, proxy: FaultProxy | None = None, name: str = "DEEP_ARCHIVE"
) -> Iterator[S3Store]:
    """A store with an object ``k`` of that class."""
    url = moto.service.endpoint_url if proxy is None else proxy.url
    with moto.store(data_class=name, endpoint_url=url) as store:
        store.put("k", b"x", sha256=sha(b"x"), role=Role.DATA, condition=Create.ONLY_NEW)
        yield store


def test_a_thaw_is_requested_seen_and_counted(moto: Place) -> None:
    assert isinstance(moto.service, Moto)
    # moto shows a thaw that takes no time as under way once, then as done.
    moto.service.thaw_after(0)
    with archived(moto) as store:
        with pytest.raises(NotReadableYetError):
            store.get("k", offset=0, size_bytes=1)
        before = store.head("k")
        assert before is not None
        assert (before.thawing, before.thawed_until) == (False, None)

        assert store.request_thaw("k", None, 2, Tier.STANDARD) is ThawAnswer.ACCEPTED
        assert store.request_thaw("k", None, 2, Tier.BULK) is ThawAnswer.READABLE

        during, after = store.head("k"), store.head("k")
        assert during is not None
        assert (during.thawing, during.thawed_until) == (True, None)
        assert after is not None
        assert not after.thawing
        assert after.thawed_until is not None
        assert 1.9 < (after.thawed_until - datetime.now(UTC)).total_seconds() / 86400 < 2.1
        assert store.get("k", offset=0, size_bytes=1) == b"x"
        assert store.request_counts()["thaw"] == 2


def test_what_is_not_archived_cannot_be_thawed(moto: Place) -> None:
    with archived(moto, name="STANDARD") as store:
        with pytest.raises(UsageError, match="no archive class"):
            store.request_thaw("k", None, 1, Tier.STANDARD)
        with pytest.raises(MissingObjectError):
            store.request_thaw("absent", None, 1, Tier.STANDARD)


def test_409_is_a_thaw_under_way(moto: Place, proxy: FaultProxy) -> None:
    with archived(moto, proxy) as store:
        proxy.fail("?restore", lambda exchange: exchange.error(409, "RestoreAlreadyInProgress"))
        assert store.request_thaw("k", None, 1, Tier.STANDARD) is ThawAnswer.UNDER_WAY
        assert proxy.count("?restore") == 1


@pytest.mark.parametrize(
    ("status", "code", "kind", "text"),
    [
        (400, "InvalidArgument", UsageError, "refuses a thaw in the expedited tier"),
        (400, "MalformedXML", UsageError, "expedited"),
        (503, "GlacierExpeditedRetrievalNotAvailable", RepositoryError, "no capacity"),
        (501, "NotImplemented", RepositoryError, "not supported"),
    ],
)
def test_a_refusal_is_explained_after_one_request(
    moto: Place, proxy: FaultProxy, status: int, code: str, kind: type[BtrfsToS3Error], text: str
) -> None:
    with archived(moto, proxy) as store:
        proxy.fail("?restore", lambda exchange: exchange.error(status, code), times=9)
        with pytest.raises(kind, match=text) as caught:
            store.request_thaw("k", None, 1, Tier.EXPEDITED)
        assert proxy.count("?restore") == 1
        assert code == "NotImplemented" or "--tier" in (caught.value.hint or "")


def test_slow_down_heals_by_the_one_retry_policy(moto: Place, proxy: FaultProxy) -> None:
    with archived(moto, proxy) as store:
        proxy.fail("?restore", slow_down, times=2)
        assert store.request_thaw("k", None, 1, Tier.STANDARD) is ThawAnswer.ACCEPTED
        assert store.request_counts()["thaw"] == 3


@pytest.mark.parametrize(("days", "sent"), [(3, True), (None, False)])
def test_days_and_tier_are_sent_as_s3_wants_them(
    moto: Place, proxy: FaultProxy, days: int | None, *, sent: bool
) -> None:
    bodies: list[bytes] = []

    def keep(exchange: Exchange) -> None:
        bodies.append(exchange.request.body)
        exchange.error(409, "RestoreAlreadyInProgress")

    with archived(moto, proxy) as store:
        proxy.fail("?restore", keep)
        store.request_thaw("k", None, days, Tier.BULK)
    assert b"<Tier>Bulk</Tier>" in bodies[0]
    assert (b"<Days>3</Days>" in bodies[0]) is sent


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, (False, None)),
        ('ongoing-request="true"', (True, None)),
        (
            'ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"',
            (False, datetime(2012, 12, 21, tzinfo=UTC)),
        ),
        ('ongoing-request="false", expiry-date="soon"', (False, None)),
    ],
)
def test_the_header_of_a_head_is_read(
    header: str | None, found: tuple[bool, datetime | None]
) -> None:
    assert thaw_state(header) == found


def test_requests_of_an_hour_keep_below_the_rate() -> None:
    time = FakeTime()
    bucket = TokenBucket(500, clock=time.clock, burst=50)
    began = time.clock()
    for _ in range(2000):
        bucket.take(1, time)
    assert 2000 / (time.clock() - began) < 520


def test_thaw_requests_wait_once_the_burst_is_used_up(moto: Place) -> None:
    time = FakeTime()
    with moto.store(data_class="DEEP_ARCHIVE", world=World(clock=time.clock)) as opened:
        opened.put("k", b"x", sha256=sha(b"x"), role=Role.DATA, condition=Create.ONLY_NEW)
        store, began = opened.bound(time), time.clock()
        for _ in range(50):
            store.request_thaw("k", None, 1, Tier.STANDARD)
        assert time.clock() == began
        for _ in range(10):
            store.request_thaw("k", None, 1, Tier.STANDARD)
        assert time.clock() - began == pytest.approx(10 / 500)
