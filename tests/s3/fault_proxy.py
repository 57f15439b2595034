"""A small HTTP proxy in front of one service that fails on purpose, request by request.

Faults are queued for requests whose start line contains a text; every other request is passed on.
One upstream connection for each request keeps it simple.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from io import BufferedReader

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
_MOST_BYTES = 64 * 1024


@dataclass
class Request:
    """One request as it came in."""

    method: str
    target: str
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def line(self) -> str:
        return f"{self.method} {self.target}"


@dataclass
class Exchange:
    """What a fault can do with a request: answer, pass on, break the connection."""

    client: socket.socket
    request: Request
    upstream: tuple[str, int]

    def forward(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """The service's answer to the request: it was carried out."""
        with contextlib.closing(http.client.HTTPConnection(*self.upstream, timeout=20)) as link:
            headers = {
                name: value
                for name, value in self.request.headers.items()
                if name.lower() not in _HOP and name.lower() != "expect"
            }
            link.request(self.request.method, self.request.target, self.request.body, headers)
            answer = link.getresponse()
            body = answer.read()
            kept = [(n, v) for n, v in answer.getheaders() if n.lower() not in _HOP]
            length = answer.getheader("content-length")
            if self.request.method == "HEAD" and length is not None:
                kept.append(("Content-Length", length))
            return answer.status, kept, body

    def answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, length: int | None = None
    ) -> None:
        lines = [f"HTTP/1.1 {status} Fault", *(f"{name}: {value}" for name, value in headers)]
        if not any(name.lower() == "content-length" for name, _ in headers):
            lines.append(f"Content-Length: {len(body) if length is None else length}")
        self.client.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def error(self, status: int, code: str, *headers: tuple[str, str], message: str = "m") -> None:
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        self.answer(status, list(headers), body if self.request.method != "HEAD" else b"")

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionAbortedError

    def close(self) -> None:
        """End the connection in order (FIN)."""
        raise ConnectionAbortedError


@dataclass
class FaultProxy:
    """Listens on a loopback port from ``start`` until it is closed."""

    upstream: tuple[str, int]
    seen: list[Request] = field(default_factory=list)
    connections: int = 0
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        self._faults: list[tuple[str, Callable[[Exchange], None]]] = []
        self._early: list[tuple[str, int]] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._clients: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        with self._lock:
            clients = set(self._clients)
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        scheme = "https" if self.tls is not None else "http"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def fail(self, text: str, fault: Callable[[Exchange], None], times: int = 1) -> None:
        """Let the next ``times`` requests whose line contains ``text`` meet ``fault``."""
        with self._lock:
            self._faults += [(text, fault)] * times

    def reset_during_body(self, text: str, after_bytes: int, times: int = 1) -> None:
        """Reset the connection once so much of a request's body has come in."""
        with self._lock:
            self._early += [(text, after_bytes)] * times

    def count(self, text: str) -> int:
        with self._lock:
            return sum(text in request.line for request in self.seen)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._clients.add(client)
                self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self.tls is not None:
            try:
                client = self.tls.wrap_socket(client, server_side=True)
            except OSError:  # the client did not like the certificate
                client.close()
                return
        broken = contextlib.suppress(OSError, http.client.HTTPException)
        with contextlib.closing(client), client.makefile("rb") as stream, broken:
            while self._one(client, stream):
                pass
        with self._lock:
            self._clients.discard(client)

    def _one(self, client: socket.socket, stream: BufferedReader) -> bool:
        start = stream.readline(_MOST_BYTES).decode("latin-1").split()
        if len(start) < 3:
            return False
        headers = http.client.parse_headers(stream)
        request = Request(start[0], start[1], headers, b"")
        with self._lock:
            self.seen.append(request)
            early = next((item for item in self._early if item[0] in request.line), None)
            if early is not None:
                self._early.remove(early)
        if headers.get("Expect", "").lower() == "100-continue":
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange = Exchange(client, request, self.upstream)
        if early is not None:
            stream.read(early[1])
            exchange.reset()
        request.body = stream.read(int(headers.get("Content-Length", 0)))
        with self._lock:
            found = next((item for item in self._faults if item[0] in request.line), None)
            if found is not None:
                self._faults.remove(found)
        if found is None:
            exchange.answer(*exchange.forward())
        else:
            found[1](exchange)
        return True


def small_pages(exchange: Exchange) -> None:
    """Two entries a page, whatever kind of listing it is."""
    exchange.request.target += "&max-keys=2&max-uploads=2"
    exchange.answer(*exchange.forward())


def slow_down(exchange: Exchange) -> None:
    exchange.error(503, "SlowDown")


def lose_answer(exchange: Exchange) -> None:
    """The service carries the request out; its answer never arrives."""
    exchange.forward()
    exchange.reset()


def reset(exchange: Exchange) -> None:
    exchange.reset()


def stall(exchange: Exchange) -> None:
    """No answer until the client has had enough and hangs up."""
    exchange.client.recv(1)
    exchange.close()


def truncate_answer(exchange: Exchange) -> None:
    """The head of the answer, half of its body, then the end of the connection."""
    status, headers, body = exchange.forward()
    exchange.answer(status, headers, body[: len(body) // 2], length=len(body))
    exchange.close()


def reset_answer(exchange: Exchange) -> None:
    status, headers, body = exchange.forward()
    exchange.answer(status, headers, body[: len(body) // 2], length=len(body))
    time.sleep(0.05)  # let the first half arrive before the reset discards it
    exchange.reset()


def error_inside_200(exchange: Exchange) -> None:
    """CompleteMultipartUpload may say 200 first and fail later (its API page)."""
    body = (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b"<Error><Code>InternalError</Code><Message>We encountered an internal error."
        b"</Message></Error>"
    )
    exchange.answer(200, [("Content-Type", "application/xml")], body)


def empty_200(exchange: Exchange) -> None:
    """Carried out, but the connection's proxy swallowed the answer's body."""
    exchange.forward()
    exchange.answer(200, [], b"")
