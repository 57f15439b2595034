"""Requests that nobody wants any more end soon, not only at their timeout.

A request may take as long as ``read_timeout`` because a busy service may be slow. Once the work is
cancelled nobody wants the answer any more: a request that is still under way a moment later loses
its connection, which wakes the thread that waits on it (shutdown(2)), and its call ends in
``InterruptedRunError``. Whether the service carried it out is then unknown, as after any lost
answer. Resolving a name, connecting and a TLS handshake are not reached; they have
``connect_timeout``.

The same befalls the requests under way when there is an objection to their way, at once: their
calls end in ``HeldBackError``, and what the kernel has not sent yet is thrown away. Before a
request is written to a connection, that connection's own way is looked at.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from btrfs_to_s3.errors import InterruptedRunError
from btrfs_to_s3.model.network import address_in
from btrfs_to_s3.s3.retry import HeldBackError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

    from btrfs_to_s3.ports import Cancellation, Way

_log = logging.getLogger(__name__)
_GRACE_S: Final = 1.0
"""What a request under way may still take: most are answered by then, and the answer counts."""
_POLL_S: Final = 0.2
_LINGER_NOT: Final = struct.pack("ii", 1, 0)
"""socket(7), SO_LINGER: closing resets the connection and drops what was not sent."""


@dataclass(slots=True)
class _Request:
    """A request under way, and the connection it uses."""

    cancel: Cancellation
    connection: socket.socket | None = None
    address: str | None = None
    cancelled_s: float | None = None
    cut: bool = False
    objection: str | None = None


class HangWatch:
    """One per client; watches the requests of all its threads with a thread of its own."""

    def __init__(self, way: Way | None = None) -> None:
        self.way = way
        self._lock = threading.Lock()
        self._requests: dict[int, _Request] = {}
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def over(self, cancel: Cancellation) -> Iterator[None]:
        """Within the block this thread makes one request, which ends when ``cancel`` is set.

        ``HeldBackError`` when its way may not be used.
        """
        request, thread = _Request(cancel), threading.get_ident()
        with self._lock:
            self._requests[thread] = request
            self._start()
        try:
            yield
        except Exception as error:
            if request.objection is not None:
                raise HeldBackError(request.objection) from error
            if not request.cut:
                raise
            raise InterruptedRunError("interrupted while the service did not answer") from error
        finally:
            with self._lock:
                del self._requests[thread]

    def uses(self, connection: socket.socket) -> None:
        """This thread's request goes over this connection, and no other thread's does any more.

        ``ConnectionError`` when that connection's way may not be used.
        """
        # Where a proxy speaks TLS itself, TLS lies within TLS: the outer one's socket is below.
        connection = getattr(connection, "socket", connection)
        address = None if self.way is None else _address_of(connection)
        objection = self._objection_to(address)
        with self._lock:
            for request in self._requests.values():
                if request.connection is connection:
                    request.connection = None
            mine = self._requests.get(threading.get_ident())
            if mine is not None:
                mine.connection, mine.address, mine.objection = connection, address, objection
        if objection is not None:
            connection.close()
            raise ConnectionError(objection)

    def close(self) -> None:
        """End the watch; idempotent."""
        self._closed.set()

    def _start(self) -> None:
        if self._thread is None:
            # A daemon: it owns nothing, and a client that nobody closed must not hold the program.
            self._thread = threading.Thread(target=self._watch, name="hang-watch", daemon=True)
            self._thread.start()

    def _watch(self) -> None:
        while not self._closed.wait(_POLL_S):
            self._hold_back()
            with self._lock:
                for request in self._requests.values():
                    _look_at(request, time.monotonic())

    def _objection_to(self, address: str | None) -> str | None:
        if self.way is None or address is None:
            return None
        return self.way.objection() or self.way.objection_to(address)

    def _hold_back(self) -> None:
        """Break off the requests under way that may not go on."""
        with self._lock:
            found = list(self._requests.items())
        for thread, request in found:
            objection = self._objection_to(request.address)
            with self._lock:
                if objection is not None and self._requests.get(thread) is request:
                    _break_off(request, objection)


def watch_connections(client: S3Client, watch: HangWatch) -> None:
    """Let the watch know which connection each of the client's requests uses.

    The classes of connections are botocore's own affair: where another version keeps them
    elsewhere, requests are not watched and end at their timeout, and only the gate holds back.
    """
    endpoint = getattr(client, "_endpoint", None)
    pools = getattr(getattr(endpoint, "http_session", None), "_pool_classes_by_scheme", None)
    if not isinstance(pools, dict):
        level = logging.DEBUG if watch.way is None else logging.WARNING
        _log.log(level, "this version of botocore hides its connections: they are not watched")
        return
    for scheme, pool in pools.items():
        watched = _watched(pool.ConnectionCls, watch)
        pools[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": watched})


def _watched(base: Any, watch: HangWatch) -> type[Any]:  # noqa: ANN401 - urllib3's, http or https
    class Watched(base):  # type: ignore[misc]  # a class that is only known at run time
        """A connection that says when it is used."""

        def connect(self) -> None:
            super().connect()
            watch.uses(self.sock)

        def putrequest(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - urllib3's
            if self.sock is not None:
                watch.uses(self.sock)
            super().putrequest(*arguments, **named)

    return Watched


def _address_of(connection: socket.socket) -> str | None:
    """The other end's; None of a connection that is no more."""
    try:
        return address_in(connection.getpeername())
    except OSError:
        return None


def _break_off(request: _Request, objection: str) -> None:
    """End a request in mid-way, unless it has lost its connection since."""
    if request.connection is not None and request.objection is None:
        request.objection = objection
        with contextlib.suppress(OSError):
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            socket.socket.shutdown(request.connection, socket.SHUT_RDWR)


def _look_at(request: _Request, now_s: float) -> None:
    """Cut the connection of a request that was cancelled longer than the grace ago."""
    if request.cancelled_s is None:
        request.cancelled_s = now_s if request.cancel.is_set() else None
    elif now_s - request.cancelled_s >= _GRACE_S and request.connection is not None:
        request.cut = True
        # The plain socket's method: that of a TLS socket would take it from the reading thread.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(request.connection, socket.SHUT_RDWR)
