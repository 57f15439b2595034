"""The bandwidth limit: exact in the long run, shared, in small pieces, cancellable."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.errors import InterruptedRunError
from btrfs_to_s3.model.objects import Create, Role
from btrfs_to_s3.s3 import Limits, S3Settings, S3Store, World
from btrfs_to_s3.s3.bandwidth import MeteredBody, TokenBucket
from tests.s3.fakes import FakeTime, sha

if TYPE_CHECKING:
    from tests.s3.conftest import Place


@given(
    rate=st.floats(100, 1e9),
    takes=st.lists(st.integers(1, 200_000), min_size=1, max_size=60),
    users=st.integers(1, 4),
)
def test_no_more_than_the_rate_and_one_burst_passes(
    rate: float, takes: list[int], users: int
) -> None:
    time = FakeTime()
    bucket = TokenBucket(rate, clock=time.clock)
    passed = 0
    for take, _ in zip(takes, itertools.cycle(range(users)), strict=False):
        bucket.take(min(take, bucket.piece_bytes), time)
        passed += min(take, bucket.piece_bytes)
        elapsed = time.now - 1000.0
        assert passed <= rate * elapsed + max(1024, rate * 0.25) + 1


def test_the_long_run_rate_is_reached() -> None:
    time = FakeTime()
    bucket = TokenBucket(1000.0, clock=time.clock)
    for _ in range(1000):
        bucket.take(100, time)
    assert 98.0 < time.now - 1000.0 <= 100.0


def test_a_pause_gives_no_more_than_a_burst() -> None:
    time = FakeTime()
    bucket = TokenBucket(10_000.0, clock=time.clock)
    time.now += 3600.0
    before = time.now
    for _ in range(10):
        bucket.take(2500, time)
    assert time.now - before == pytest.approx(2.25)


def test_waiting_for_bandwidth_ends_when_cancelled() -> None:
    time = FakeTime(on_wait=FakeTime.cancel)
    bucket = TokenBucket(1.0, clock=time.clock)
    with pytest.raises(InterruptedRunError):
        bucket.take(5000, time)


@pytest.mark.parametrize("rate", [None, 100.0, 3000.0, 1e7])
@given(data=st.binary(max_size=20_000), size=st.integers(1, 5000))
def test_a_metered_body_is_the_body(rate: float | None, data: bytes, size: int) -> None:
    for body in (data, bytearray(data), memoryview(data), io.BytesIO(data)):
        time = FakeTime()
        bucket = None if rate is None else TokenBucket(rate, clock=time.clock)
        with MeteredBody(body, bucket, time) as metered:
            for _ in range(2):
                assert metered.seek(0) == 0
                pieces = list(iter(lambda: bytes(metered.read(size)), b""))
                assert b"".join(pieces) == data
                assert all(len(piece) <= size for piece in pieces)
                assert metered.tell() == len(metered) == len(data)
            assert b"".join(map(bytes, metered.whole())) == data


def test_a_metered_body_measures_itself_as_files_do() -> None:
    with MeteredBody(b"0123456789", None, FakeTime()) as metered:
        assert metered.seek(0, 2) == 10
        assert metered.seek(-3, 1) == 7
        assert bytes(metered.read()) == b"789"
        assert bytes(metered.read(None)) == b""


def test_a_slow_limit_sends_small_pieces() -> None:
    time = FakeTime()
    bucket = TokenBucket(8192.0, clock=time.clock)
    with MeteredBody(bytes(100_000), bucket, time) as metered:
        assert len(metered.read(128 * 1024)) == 2048


def test_uploads_and_downloads_keep_to_their_limits(moto: Place) -> None:
    time = FakeTime()
    settings = S3Settings(
        moto.bucket, moto.prefix, moto.service.endpoint_url, "us-east-1", addressing="path"
    )
    limits = Limits(upload_bytes_per_s=100_000, download_bytes_per_s=50_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        opened = S3Store.open(settings, limits, world=World(clock=time.clock))
    body = bytes(500_000)
    with opened as store:
        bound = store.bound(time)
        bound.put("k", body, sha256=sha(body), role=Role.DATA, condition=Create.ONLY_NEW)
        assert time.now - 1000.0 == pytest.approx(4.75)
        before = time.now
        assert bound.get("k", offset=0, size_bytes=500_000) == body
        assert time.now - before == pytest.approx(9.75)
