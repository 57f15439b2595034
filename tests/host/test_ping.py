"""Pings reach a watch service in order, or are given up within their limits."""

from __future__ import annotations

import logging
import socket
import threading

import pytest

from btrfs_to_s3.host.ping import BODY_LIMIT_BYTES, Pinger, PingLimits, Signal, address_of
from tests.stand_ins.watch_service import WatchService

QUICK = PingLimits(timeout_s=0.5, attempts=2, pause_s=0.05)


def _ping(url: str, *signals: Signal, body: str = "") -> list[str]:
    warnings: list[str] = []
    pinger = Pinger(url, "run-1", warnings.append, QUICK)
    for signal in signals:
        pinger.send(signal, body)
    pinger.finish().join(10)
    return warnings


@pytest.mark.parametrize(
    ("url", "signal", "address"),
    [
        ("https://h/abc", Signal.START, "https://h/abc/start?rid=r"),
        ("https://h/abc/", Signal.FAIL, "https://h/abc/fail?rid=r"),
        ("https://h/key/slug?create=1", Signal.LOG, "https://h/key/slug/log?create=1&rid=r"),
        ("https://h", Signal.SUCCESS, "https://h/?rid=r"),
        ("http://u:p@h:8000/abc", Signal.SUCCESS, "http://u:p@h:8000/abc?rid=r"),
    ],
)
def test_the_signal_ends_the_path_and_the_query_stays(
    url: str, signal: Signal, address: str
) -> None:
    assert address_of(url, signal, "r") == address


def test_pings_arrive_in_order_with_their_body() -> None:
    with WatchService() as service:
        assert _ping(service.url, Signal.START, Signal.FAIL, body="it said ü") == []
    assert service.signals == ["/start", "/fail"]
    assert service.heard[1].body == "it said ü"


def test_a_password_in_the_address_is_sent_as_one() -> None:
    with WatchService() as service:
        url = service.url.replace("http://", "http://me:word@")
        assert _ping(url, Signal.SUCCESS) == []
    assert service.heard[0].authorization == "Basic bWU6d29yZA=="


def test_a_long_log_is_cut_at_its_beginning() -> None:
    with WatchService() as service:
        _ping(service.url, Signal.LOG, body="x" * 50_000 + "the end")
    assert len(service.heard[0].body) == BODY_LIMIT_BYTES
    assert service.heard[0].body.endswith("the end")


@pytest.mark.parametrize(("status", "asked"), [(503, 2), (429, 2), (404, 1), (400, 1)])
def test_only_what_can_heal_is_asked_again(status: int, asked: int) -> None:
    with WatchService(status=status) as service:
        (warning,) = _ping(service.url, Signal.SUCCESS)
    assert len(service.heard) == asked
    assert f"it answered {status}" in warning
    assert "5ecre7" not in warning


def test_a_service_that_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        (warning,) = _ping(f"http://127.0.0.1:{server.getsockname()[1]}/5ecre7", Signal.START)
        server.setblocking(False)
        for _ in range(QUICK.attempts):
            server.accept()[0].close()
        with pytest.raises(BlockingIOError):
            server.accept()
    assert "no answer in time" in warning
    assert "5ecre7" not in warning


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:9/5ecre7", "Connection refused"),
        ("http://no-such.invalid/5ecre7", "its name cannot be resolved"),
    ],
)
def test_a_service_that_is_not_there_is_named_by_the_setting_alone(url: str, why: str) -> None:
    (warning,) = _ping(url, Signal.START)
    assert warning.endswith(why)
    assert warning.startswith("ping_url: start could not be told to the watch service: ")
    assert "5ecre7" not in warning


def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with WatchService() as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy.address}")
        assert _ping("http://watch.invalid/abc", Signal.SUCCESS) == []
        assert proxy.heard[0].target.startswith("http://watch.invalid/abc?rid=")
        monkeypatch.setenv("no_proxy", "watch.invalid")
        assert len(_ping("http://watch.invalid/abc", Signal.SUCCESS)) == 1


def test_an_answer_that_cannot_be_read_shows_the_address_to_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nno header\r\nA: b\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server, caplog.at_level(logging.DEBUG):
        serving = threading.Thread(target=answer, args=(server,))
        serving.start()
        assert _ping(f"http://127.0.0.1:{server.getsockname()[1]}/5ecre7", Signal.START) == []
        serving.join()
    assert "5ecre7" not in caplog.text
