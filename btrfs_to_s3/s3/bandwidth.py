"""A shared limit on bytes per second, and the request body that obeys it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from btrfs_to_s3.errors import InterruptedRunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from btrfs_to_s3.ports import Body, Cancellation

_BURST_S: Final = 0.25
_SMALLEST_PIECE: Final = 1024
PIECE_BYTES: Final = 128 * 1024
"""Bytes handed to the socket, or read from it, at a time (botocore's own block size)."""


class TokenBucket:
    """At most ``bytes_per_s`` over all users, in bursts of a quarter of a second. Thread-safe.

    ``burst`` is another most at once, for what is not counted in bytes. A user may overdraw by one
    piece and then waits for its own debt, so that no one starves and the long-run rate is exact.
    """

    __slots__ = ("_balance", "_burst", "_clock", "_lock", "_rate", "_seen")

    def __init__(
        self, bytes_per_s: float, *, clock: Callable[[], float], burst: float | None = None
    ) -> None:
        self._rate = bytes_per_s
        self._burst = burst or max(float(_SMALLEST_PIECE), bytes_per_s * _BURST_S)
        self._clock = clock
        self._lock = threading.Lock()
        self._balance = self._burst
        self._seen = clock()

    @property
    def piece_bytes(self) -> int:
        """The largest number of bytes that one ``take`` should ask for."""
        return int(min(PIECE_BYTES, self._burst))

    def take(self, count: int, cancel: Cancellation) -> None:
        """Wait until ``count`` bytes may pass; ``InterruptedRunError`` when cancelled."""
        with self._lock:
            now = self._clock()
            self._balance = min(self._burst, self._balance + (now - self._seen) * self._rate)
            self._seen = now
            self._balance -= count
            debt_s = max(0.0, -self._balance / self._rate)
        if debt_s and cancel.wait(debt_s):
            raise InterruptedRunError("interrupted while waiting for bandwidth")


class MeteredBody:
    """A request body as botocore and urllib3 read it: bytes or a file, seekable, paced.

    Reading ends with ``InterruptedRunError`` once the cancellation is set, so a long upload stops
    at its next piece; ``moves`` is called for each. A memory body is handed out as views: no byte
    is copied here.
    """

    __slots__ = (
        *("_bucket", "_cancel", "_file", "_moves", "_position", "_start", "_view"),
        "size_bytes",
    )

    def __init__(
        self,
        body: Body,
        bucket: TokenBucket | None,
        cancel: Cancellation,
        moves: Callable[[], None] = lambda: None,
    ) -> None:
        self._bucket = bucket
        self._cancel = cancel
        self._moves = moves
        self._position = 0
        self._file: BinaryIO | None = None
        self._view = memoryview(b"")
        self._start = 0
        if isinstance(body, bytes | bytearray | memoryview):
            self._view = memoryview(body).cast("B")
            self.size_bytes = len(self._view)
        else:
            self._file = body
            self._start = body.tell()
            self.size_bytes = body.seek(0, 2) - self._start
            body.seek(self._start)

    def __len__(self) -> int:
        return self.size_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._view.release()

    def tell(self) -> int:
        """Bytes read so far."""
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move, as an io object does; botocore measures and rewinds with it."""
        base = (0, self._position, self.size_bytes)[whence]
        self._position = max(0, base + offset)
        if self._file is not None:
            self._file.seek(self._start + self._position)
        return self._position

    def read(self, size: int | None = -1) -> bytes | memoryview:
        """The next bytes, at most one piece when a limit is set; empty at the end."""
        if self._cancel.is_set():
            raise InterruptedRunError("interrupted during an upload")
        self._moves()
        left = self.size_bytes - self._position
        count = left if size is None or size < 0 else max(0, min(size, left))
        if self._bucket is not None and count:
            count = min(count, self._bucket.piece_bytes)
            self._bucket.take(count, self._cancel)
        return self._next(count)

    def whole(self) -> Iterator[bytes | memoryview]:
        """The body from its start, piece by piece, at no one's expense: nothing is sent."""
        self.seek(0)
        while self._position < self.size_bytes:
            piece = self._next(min(PIECE_BYTES, self.size_bytes - self._position))
            if not piece:
                return
            yield piece

    def _next(self, count: int) -> bytes | memoryview:
        if self._file is not None:
            data: bytes | memoryview = self._file.read(count)
        else:
            data = self._view[self._position : self._position + count]
        self._position += len(data)
        return data
