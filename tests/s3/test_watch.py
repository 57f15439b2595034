"""A request that hangs ends soon after it was cancelled; one that is answered in time does not."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import InterruptedRunError
from btrfs_to_s3.model.objects import Role
from btrfs_to_s3.stream.cancel import LinkedCancellation
from tests.s3.fakes import sha
from tests.s3.fault_proxy import stall
from tests.s3.objects import BODY, create

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from btrfs_to_s3.s3 import S3Store
    from tests.s3.fault_proxy import Exchange, FaultProxy

READ_TIMEOUT_S = 20.0
"""What the stores of these tests would wait for an answer."""


@pytest.fixture
def cancel() -> Iterator[LinkedCancellation]:
    made = LinkedCancellation()
    yield made
    made.set()


def read(store: S3Store) -> None:
    store.get("k", offset=0, size_bytes=len(BODY))


def write(store: S3Store) -> None:
    store.upload_part("k", "an-id", 1, BODY, sha(BODY))


def interrupted_after_s(store: S3Store, call: Callable[[S3Store], None]) -> float:
    started = time.monotonic()
    with pytest.raises(InterruptedRunError, match="did not answer"):
        call(store)
    return time.monotonic() - started


def head_of_an_answer(exchange: Exchange) -> None:
    """The beginning of a body, then silence."""
    status, headers, body = exchange.forward()
    exchange.answer(status, headers, body[:1000], length=len(body))
    stall(exchange)


@pytest.mark.parametrize(
    ("line", "fault", "call"),
    [("GET", stall, read), ("GET", head_of_an_answer, read), ("PUT", stall, write)],
)
def test_a_request_that_hangs_ends_within_seconds_of_its_cancellation(
    faulty: S3Store,
    proxy: FaultProxy,
    cancel: LinkedCancellation,
    line: str,
    fault: Callable[[Exchange], None],
    call: Callable[[S3Store], None],
) -> None:
    create(faulty, "k", BODY)
    proxy.fail(line, fault, times=9)
    threading.Timer(0.2, cancel.set).start()
    before = proxy.count(line)
    assert interrupted_after_s(faulty.bound(cancel), call) < READ_TIMEOUT_S / 4
    assert proxy.count(line) == before + 1


def test_it_ends_on_a_connection_that_was_used_before_as_well(
    faulty: S3Store, proxy: FaultProxy, cancel: LinkedCancellation
) -> None:
    create(faulty, "k", BODY)
    connections = proxy.connections
    proxy.fail("GET", stall)
    threading.Timer(0.2, cancel.set).start()
    interrupted_after_s(faulty.bound(cancel), read)
    assert proxy.connections == connections


def test_what_is_answered_soon_after_the_cancellation_is_an_answer(
    faulty: S3Store, proxy: FaultProxy, cancel: LinkedCancellation
) -> None:
    create(faulty, "k", b"x")

    def late(exchange: Exchange) -> None:
        cancel.set()
        time.sleep(0.4)
        exchange.answer(*exchange.forward())

    proxy.fail("POST", late)
    assert faulty.bound(cancel).create_upload("new", Role.DATA)


def test_the_requests_of_others_go_on(
    faulty: S3Store, proxy: FaultProxy, cancel: LinkedCancellation
) -> None:
    create(faulty, "k", BODY)

    def slow(exchange: Exchange) -> None:
        time.sleep(2)
        exchange.answer(*exchange.forward())

    proxy.fail("GET", slow)
    cancel.set()
    read(faulty)
    assert proxy.count("GET") == 1


def test_after_a_hang_the_client_still_works(
    faulty: S3Store, proxy: FaultProxy, cancel: LinkedCancellation
) -> None:
    create(faulty, "k", BODY)
    proxy.fail("GET", stall)
    threading.Timer(0.2, cancel.set).start()
    interrupted_after_s(faulty.bound(cancel), read)
    read(faulty)
