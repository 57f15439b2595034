"""A watch service as ping_url knows it: remembers who called, on the machine's own loopback."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from integration_tests.harness.machine.network import thread_in

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/check"


@dataclass(frozen=True, slots=True)
class Ping:
    """One call: what follows the check's address (`start`, `fail`, empty for success), its body."""

    signal: str
    body: str


class Watch(ThreadingHTTPServer):
    """Answers everything with 200 and keeps it in `pings`, oldest first."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, _Handler)
        self.pings: list[Ping] = []

    @property
    def url(self) -> str:
        """The check's address, as the machine calls it."""
        return f"http://127.0.0.1:{self.server_address[1]}{PATH}"


class _Handler(BaseHTTPRequestHandler):
    server: Watch

    def do_POST(self) -> None:
        """Hear a ping."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode(errors="replace")
        path = self.path.partition("?")[0]
        self.server.pings.append(Ping(path.removeprefix(PATH).strip("/"), body))
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST  # noqa: N815 - the same

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Nobody wants to read it."""


@contextlib.contextmanager
def watch_service(namespace: str) -> Iterator[Watch]:
    """Run one in a network namespace for the block."""
    with thread_in(namespace):
        watch = Watch(("127.0.0.1", 0))
    thread = threading.Thread(target=watch.serve_forever, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.shutdown()
        watch.server_close()
        thread.join()
