"""Telling a watch service that a run began and how it ended (the pings of healthchecks.io).

A thread sends pings in order, so that nobody waits for the service but whoever asks to. A ping is
an HTTP request of the check's address, its path ended by what is told (healthchecks.io, "Pinging
API"): ``/start``, nothing for success, ``/fail``, ``/log``; ``rid`` says which run it belongs to.
No error repeats the address: whoever has it can ping.
"""

from __future__ import annotations

import queue
import threading
import time
import urllib.request
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable

BODY_LIMIT_BYTES = 10_000
"""healthchecks.io keeps the first 100 kB, older installations 10 kB."""
_MOST_PINGS = 4


class Signal(StrEnum):
    """What is told, as the path of the address is ended."""

    START = "/start"
    SUCCESS = ""
    FAIL = "/fail"
    LOG = "/log"


@dataclass(frozen=True, slots=True)
class PingLimits:
    """How long a ping may take: ``attempts`` requests of ``timeout_s``, ``pause_s`` between."""

    timeout_s: float = 5.0
    attempts: int = 2
    pause_s: float = 0.5


class Pinger:
    """The pings of one run. ``warn`` is told, in this class's own thread, what was not heard."""

    def __init__(
        self, url: str, run_id: str, warn: Callable[[str], None], limits: PingLimits | None = None
    ) -> None:
        self._url = url
        self._run_id = run_id
        self._warn = warn
        self._limits = limits or PingLimits()
        self._waiting: queue.Queue[tuple[Signal, bytes] | None] = queue.Queue(_MOST_PINGS)
        # A daemon: a service that hangs must not hold the program.
        self._thread = threading.Thread(target=self._work, name="the pings", daemon=True)
        self._thread.start()

    def send(self, signal: Signal, body: str = "") -> None:
        """Have it told, after what was told before; returns at once."""
        self._waiting.put_nowait((signal, body.encode("utf-8", "replace")[-BODY_LIMIT_BYTES:]))

    def finish(self) -> threading.Thread:
        """Nothing more will be told; the thread ends with the last ping."""
        self._waiting.put_nowait(None)
        return self._thread

    def _work(self) -> None:
        while (ping := self._waiting.get()) is not None:
            signal, body = ping
            problem = self._try(signal, body)
            if problem is not None:
                name = signal.name.lower()
                self._warn(f"ping_url: {name} could not be told to the watch service: {problem}")

    def _try(self, signal: Signal, body: bytes) -> str | None:
        """Tell it; why it was not heard, or None."""
        problem = None
        for attempt in range(self._limits.attempts):
            if attempt:
                time.sleep(self._limits.pause_s)
            try:
                problem, final = self._request(signal, body)
            except Exception as error:  # noqa: BLE001 - a ping must never end anything
                problem, final = _reason(error), False
            if final:
                return problem
        return problem

    def _request(self, signal: Signal, body: bytes) -> tuple[str | None, bool]:
        """One request: what is wrong with the answer, and whether asking again is of no use."""
        address = address_of(self._url, signal, self._run_id)
        parsed = urllib3.util.parse_url(address)
        headers = {"Content-Type": "text/plain; charset=utf-8", "User-Agent": "btrfs-to-s3"}
        if parsed.auth:
            headers |= urllib3.make_headers(basic_auth=parsed.auth)
        with _pool(parsed.scheme or "", parsed.host or "") as pool:
            answer = pool.request(
                "POST" if body else "GET",
                parsed._replace(auth=None).url,
                body=body or None,
                headers=headers,
                timeout=urllib3.Timeout(total=self._limits.timeout_s),
                # No retries of its own: it would log the address.
                retries=urllib3.Retry(None, connect=0, read=0, status=0, other=0, redirect=3),
            )
        if answer.status < 300:  # noqa: PLR2004 - RFC 9110, 15
            return None, True
        final = 400 <= answer.status < 500 and answer.status not in {408, 429}  # noqa: PLR2004
        return f"it answered {answer.status} {answer.reason or ''}".rstrip(), final


def address_of(url: str, signal: Signal, run_id: str) -> str:
    """The address of a ping; a query that the check's own address has stays."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/") + signal.value
    own = [f"rid={quote(run_id)}"]
    query = "&".join(([parts.query] if parts.query else []) + own)
    return urlunsplit((parts.scheme, parts.netloc, path or "/", query, ""))


def _pool(scheme: str, host: str) -> urllib3.PoolManager:
    """Through the proxy that the environment names, as for every other program."""
    proxy = urllib.request.getproxies().get(scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        auth = urllib3.util.parse_url(proxy).auth
        own = urllib3.make_headers(proxy_basic_auth=auth) if auth else None
        return urllib3.ProxyManager(proxy, proxy_headers=own)
    return urllib3.PoolManager()


def _reason(error: Exception) -> str:
    """Why a request came to nothing, without the address, which urllib3's own texts repeat."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, urllib3.exceptions.NameResolutionError):
            return "its name cannot be resolved"
        # A refused connection counts among urllib3's time-outs, with its reason as the cause.
        refused = isinstance(found, urllib3.exceptions.NewConnectionError)
        timed_out = isinstance(found, urllib3.exceptions.TimeoutError | TimeoutError)
        if timed_out and not refused:
            return "no answer in time"
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        reason = getattr(found, "reason", None)
        found = reason if isinstance(reason, BaseException) else found.__cause__
    return type(error).__name__
