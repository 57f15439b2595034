"""A web server that keeps what it is told: pings, notifications."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType


@dataclass(frozen=True)
class Heard:
    """One request."""

    target: str
    body: str
    authorization: str | None

    @property
    def path(self) -> str:
        return urlsplit(self.target).path


@dataclass
class WatchService:
    """Answers ``status``; ``heard`` is what it was told, in order."""

    status: int = 200
    heard: list[Heard] = field(default_factory=list)

    def __enter__(self) -> Self:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size).decode()
                given = self.headers.get("Authorization")
                service.heard.append(Heard(self.path, body, given))
                self.send_response(service.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_GET  # noqa: N815 - http.server's name

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """A check's address; its last part is the secret."""
        return f"http://{self.address}/check-5ecre7"

    @property
    def signals(self) -> list[str]:
        """What was told, as the ends of the paths."""
        return [heard.path.removeprefix("/check-5ecre7") for heard in self.heard]
