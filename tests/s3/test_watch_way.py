"""Requests under way when the route moves, and connections to addresses of their own."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from btrfs_to_s3.s3.gate import GateSettings
from btrfs_to_s3.s3.retry import HeldBackError
from btrfs_to_s3.s3.session import NeverCancelled
from btrfs_to_s3.s3.watch import HangWatch
from tests.s3.conftest import QUICK
from tests.s3.fakes import BY_MODEM, FakeWay
from tests.s3.fault_proxy import stall
from tests.s3.objects import BODY, create

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from btrfs_to_s3.s3 import S3Store
    from tests.s3.conftest import Place
    from tests.s3.fault_proxy import FaultProxy

READ_TIMEOUT_S = 3600.0
"""A request that is not broken off would hang for so long, and the test with it."""
PATIENT = replace(QUICK, gate=GateSettings(patience_s=60.0))


def by(way: FakeWay, moto: Place, proxy: FaultProxy) -> AbstractContextManager[S3Store]:
    """A store whose requests go that way, and are counted by the proxy."""
    return moto.store(PATIENT, way=way, endpoint_url=proxy.url, read_timeout_s=READ_TIMEOUT_S)


def test_a_request_under_way_is_broken_off_and_repeated_when_the_way_is_free(
    moto: Place, proxy: FaultProxy
) -> None:
    way = FakeWay()
    with by(way, moto, proxy) as store:
        create(store, "k", BODY)
        proxy.fail("GET", stall)
        threading.Timer(0.3, setattr, (way, "why_not", BY_MODEM)).start()
        threading.Timer(2.0, setattr, (way, "why_not", None)).start()
        assert store.get("k", offset=0, size_bytes=len(BODY)) == BODY
        assert proxy.count("GET") == 2


def test_nothing_is_sent_at_all_while_the_way_is_closed(moto: Place, proxy: FaultProxy) -> None:
    way = FakeWay(BY_MODEM)
    with by(way, moto, proxy) as store:
        timer = threading.Timer(1.5, setattr, (way, "why_not", None))
        timer.start()
        create(store, "k", BODY)
        assert not timer.is_alive()
        assert proxy.count("PUT") == 1
        assert store.get("k", offset=0, size_bytes=len(BODY)) == BODY


class OnlyThatAddress(FakeWay):
    """A way whose own addresses may be used, and others not, until they were asked for twice."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def objection_to(self, address: str) -> str | None:
        self.asked.append(address)
        return BY_MODEM if len(self.asked) <= 2 else None


def test_a_connection_to_an_address_by_a_closed_way_carries_no_request(
    moto: Place, proxy: FaultProxy
) -> None:
    way = OnlyThatAddress()
    with by(way, moto, proxy) as store:
        create(store, "k", BODY)
        assert set(way.asked) == {"127.0.0.1"}
        assert proxy.count("PUT") == 1


def test_a_body_that_was_being_sent_stops(moto: Place, proxy: FaultProxy) -> None:
    way = FakeWay()
    with by(way, moto, proxy) as store:
        proxy.fail("PUT", stall)
        threading.Timer(0.3, setattr, (way, "why_not", BY_MODEM)).start()
        threading.Timer(1.0, setattr, (way, "why_not", None)).start()
        create(store, "k", BODY * 50)
        assert store.get("k", offset=0, size_bytes=len(BODY) * 50) == BODY * 50


class _WithinTls:
    """As urllib3 has it where a proxy speaks TLS itself: no socket, but one below."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection


def test_a_connection_through_a_proxy_that_speaks_tls_is_looked_at_and_broken_off() -> None:
    way = FakeWay()
    watch = HangWatch(way)
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = socket.create_connection(server.getsockname())
        there, _ = server.accept()

    def request() -> None:
        with watch.over(NeverCancelled()):
            watch.uses(cast("socket.socket", _WithinTls(here)))
            way.why_not = BY_MODEM
            there.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                assert there.recv(1) == b""
            raise ConnectionResetError

    with here, there, pytest.raises(HeldBackError):
        request()
    watch.close()
