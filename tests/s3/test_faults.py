"""The network at its worst: nothing lost, nothing twice, nothing in vain."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import (
    ConditionFailedError,
    IntegrityError,
    InterruptedRunError,
    UnreachableError,
)
from btrfs_to_s3.model.objects import (
    Replace,
    Role,
)
from btrfs_to_s3.s3 import Limits
from tests.s3.conftest import QUICK
from tests.s3.fakes import FakeTime, sha
from tests.s3.fault_proxy import (
    Exchange,
    FaultProxy,
    lose_answer,
    reset,
    reset_answer,
    slow_down,
    stall,
    truncate_answer,
)
from tests.s3.objects import BODY, create

if TYPE_CHECKING:
    from collections.abc import Callable

    from btrfs_to_s3.s3 import S3Store
    from tests.s3.conftest import Place


@pytest.mark.parametrize("fault", [slow_down, reset, reset_answer, truncate_answer])
def test_a_read_survives(faulty: S3Store, proxy: FaultProxy, fault: Callable[..., None]) -> None:
    create(faulty, "k", BODY)
    proxy.fail("GET", fault, times=2)
    assert faulty.get("k", offset=100, size_bytes=300_000) == BODY[100:300_100]
    proxy.fail("GET", fault, times=2)
    assert faulty.get_whole("k", limit_bytes=400_000)[0] == BODY


@pytest.mark.parametrize("fault", [slow_down, reset, lose_answer])
def test_a_write_survives(faulty: S3Store, proxy: FaultProxy, fault: Callable[..., None]) -> None:
    proxy.fail("PUT", fault, times=2)
    etag = create(faulty, "k", BODY)
    assert faulty.get_whole("k", limit_bytes=400_000) == (BODY, etag)
    assert proxy.count("PUT") == 3


def test_a_write_survives_a_reset_in_the_middle_of_its_body(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    proxy.reset_during_body("PUT", 150_000, times=2)
    create(faulty, "k", BODY)
    assert faulty.get_whole("k", limit_bytes=400_000)[0] == BODY


def test_a_stalled_answer_is_given_up_and_asked_again(moto: Place, proxy: FaultProxy) -> None:
    with moto.store() as store:
        create(store, "k", b"x")
    patient = Limits(retry=replace(QUICK.retry, attempts=99))  # a busy machine is slow as well
    with moto.store(patient, endpoint_url=proxy.url, read_timeout_s=0.2) as store:
        proxy.fail("GET", stall)
        assert store.get_whole("k", limit_bytes=1)[0] == b"x"
        assert proxy.count("GET") >= 2


def test_a_lost_answer_to_a_replacement_is_success(faulty: S3Store, proxy: FaultProxy) -> None:
    etag = create(faulty, "head", b"one")
    proxy.fail("PUT", lose_answer)
    replaced = faulty.put(
        "head", b"two", sha256=sha(b"two"), role=Role.METADATA, condition=Replace(etag)
    )
    assert faulty.get_whole("head", limit_bytes=9) == (b"two", replaced.etag)


def test_a_lost_race_is_no_success_even_after_a_retry(faulty: S3Store, proxy: FaultProxy) -> None:
    etag = create(faulty, "head", b"one")

    def another_wins(exchange: Exchange) -> None:
        faulty.put("head", b"WON", sha256=sha(b"WON"), role=Role.DATA, condition=Replace(etag))
        exchange.reset()

    proxy.fail("PUT", another_wins)
    with pytest.raises(ConditionFailedError):
        faulty.put("head", b"two", sha256=sha(b"two"), role=Role.DATA, condition=Replace(etag))
    assert faulty.get_whole("head", limit_bytes=9)[0] == b"WON"


def test_a_conflict_on_putting_is_tried_again(faulty: S3Store, proxy: FaultProxy) -> None:
    proxy.fail("PUT", lambda exchange: exchange.error(409, "ConditionalRequestConflict"))
    create(faulty, "k", b"x")
    assert proxy.count("PUT") == 2


@pytest.mark.parametrize("code", ["BadDigest", "XAmzContentChecksumMismatch"])
def test_damage_on_the_way_is_sent_again_a_few_times(
    faulty: S3Store, proxy: FaultProxy, code: str
) -> None:
    proxy.fail("PUT", lambda exchange: exchange.error(400, code), times=2)
    create(faulty, "k", b"x")
    proxy.fail("PUT", lambda exchange: exchange.error(400, code), times=9)
    with pytest.raises(IntegrityError, match="other bytes"):
        create(faulty, "l", b"x")
    assert proxy.count("PUT") == 3 + QUICK.retry.transit_attempts


def test_a_truncated_body_that_stays_truncated_ends_in_an_error(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    create(faulty, "k", BODY)
    proxy.fail("GET", truncate_answer, times=99)
    with pytest.raises(UnreachableError, match="cut short"):
        faulty.get("k", offset=0, size_bytes=len(BODY))
    assert proxy.count("GET") == QUICK.retry.transit_attempts


def chunked(body: bytes) -> Callable[[Exchange], None]:
    """An answer of untold length, as some proxies make them."""
    head = b"HTTP/1.1 206 OK\r\nContent-Range: bytes 0-9/10\r\nTransfer-Encoding: chunked\r\n\r\n"
    text = head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return lambda exchange: exchange.client.sendall(text)


def test_an_answer_of_untold_length_is_measured(faulty: S3Store, proxy: FaultProxy) -> None:
    proxy.fail("GET", chunked(b"012345678"), times=2)
    proxy.fail("GET", chunked(b"0123456789"), times=3)
    assert faulty.get("k", offset=0, size_bytes=10) == b"0123456789"
    assert proxy.count("GET") == 3
    assert faulty.get_whole("k", limit_bytes=10)[0] == b"0123456789"
    with pytest.raises(IntegrityError, match="larger"):
        faulty.get_whole("k", limit_bytes=9)


def test_another_range_than_was_asked_for_is_refused(faulty: S3Store, proxy: FaultProxy) -> None:
    proxy.fail("GET", chunked(b"0123456789"))
    with pytest.raises(IntegrityError, match="another range"):
        faulty.get("k", offset=5, size_bytes=10)
    proxy.fail("GET", lambda exchange: exchange.answer(200, [], b"0123456789"))
    with pytest.raises(IntegrityError, match="ignores ranges"):
        faulty.get("k", offset=5, size_bytes=5)
    assert proxy.count("GET") == 2


def test_a_storm_of_503_ends_after_the_patience_with_the_last_error(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    proxy.fail("GET", slow_down, times=9999)
    with pytest.raises(UnreachableError, match=r"no usable answer.*SlowDown") as caught:
        faulty.get("k", offset=0, size_bytes=1)
    assert caught.value.__cause__ is not None
    assert proxy.count("GET") > QUICK.gate.threshold


def test_workers_pause_in_a_storm_and_all_go_on_after_it(moto: Place, proxy: FaultProxy) -> None:
    patient = replace(QUICK, gate=replace(QUICK.gate, first_patience_s=20, patience_s=20))
    with moto.store(patient, endpoint_url=proxy.url) as store:
        create(store, "k", BODY)
        proxy.fail("GET", slow_down, times=QUICK.gate.threshold + 3)
        results: list[bytes] = []

        def work() -> None:
            results.append(store.get("k", offset=0, size_bytes=1000))

        workers = [threading.Thread(target=work) for _ in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(10)
        assert results == [BODY[:1000]] * 6


def test_an_outage_ends_at_once_when_the_run_is_interrupted(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    time = FakeTime(on_wait=lambda time: time.cancel() if len(time.waits) == 3 else None)
    proxy.fail("GET", slow_down, times=9999)
    with pytest.raises(InterruptedRunError):
        faulty.bound(time).get("k", offset=0, size_bytes=1)
    assert len(time.waits) == 3


def test_an_upload_in_progress_ends_when_the_run_is_interrupted(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    class AfterSomePieces(FakeTime):
        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 3

    with pytest.raises(InterruptedRunError):
        faulty.bound(AfterSomePieces()).upload_part("k", "id", 1, BODY * 4, sha(BODY * 4))
    assert proxy.count("PUT") == 1


def test_a_download_in_progress_ends_when_the_run_is_interrupted(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    create(faulty, "k", BODY)

    class DuringTheBody(FakeTime):
        def is_set(self) -> bool:
            return proxy.count("GET") > 0

    with pytest.raises(InterruptedRunError):
        faulty.bound(DuringTheBody()).get("k", offset=0, size_bytes=len(BODY))
    assert proxy.count("GET") == 1


def test_a_connection_is_used_again_after_a_whole_read_and_closed_after_a_broken_one(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    create(faulty, "k", BODY)
    for _ in range(5):
        faulty.get("k", offset=0, size_bytes=1000)
        faulty.get_whole("k", limit_bytes=400_000)
        faulty.head("k")
    assert proxy.connections == 1
    with pytest.raises(IntegrityError):
        faulty.get_whole("k", limit_bytes=1)
    faulty.get("k", offset=0, size_bytes=1000)
    assert proxy.connections == 2


def test_every_retry_is_logged_and_counted_and_no_secret_is(
    faulty: S3Store, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.fail("PUT", slow_down, times=2)
    with caplog.at_level(logging.DEBUG, logger="btrfs_to_s3"):
        create(faulty, "k", b"x")
    retries = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert [text.partition(",")[0] for text in retries] == [
        "PutObject k: attempt 1 failed",
        "PutObject k: attempt 2 failed",
    ]
    assert "SlowDown" in retries[0]
    assert faulty.request_counts()["put"] == 3
    assert faulty.retry_count() == 2
