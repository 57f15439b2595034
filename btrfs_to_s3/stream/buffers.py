"""Buffers allocated once and lent out: a transfer's memory bound, and its back-pressure."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import InterruptedRunError

if TYPE_CHECKING:
    from btrfs_to_s3.ports import Cancellation

POLL_S = 0.1
"""How soon a waiting thread notices a cancellation."""


class Buffer:
    """A lent buffer; ``used`` bytes of it are valid."""

    __slots__ = ("data", "used")

    def __init__(self, size_bytes: int) -> None:
        self.data = memoryview(bytearray(size_bytes))
        self.used = 0

    @property
    def view(self) -> memoryview:
        """The valid bytes."""
        return self.data[: self.used]


class BufferPool:
    """At most ``count`` buffers of ``size_bytes``; whoever wants one more waits for a return.

    Memory: ``count * size_bytes``, allocated on first use and reused until the pool goes.
    """

    def __init__(self, count: int, size_bytes: int, cancel: Cancellation) -> None:
        self.size_bytes = size_bytes
        self._unallocated = count
        self._free: list[Buffer] = []
        self._returned = threading.Condition()
        self._cancel = cancel

    def acquire(self, size_bytes: int = 0) -> Buffer:
        """An empty buffer, of at least ``size_bytes`` where the pool's size is too small.

        ``InterruptedRunError`` when the work is cancelled while waiting.
        """
        with self._returned:
            while not self._free and not self._unallocated:
                if self._cancel.is_set():
                    raise InterruptedRunError("stopped while waiting for a buffer")
                self._returned.wait(POLL_S)
            buffer = self._free.pop() if self._free else None
            if buffer is None:
                self._unallocated -= 1
        if buffer is None or len(buffer.data) < size_bytes:
            return Buffer(max(self.size_bytes, size_bytes))
        return buffer

    def release(self, buffer: Buffer) -> None:
        """Give a buffer back; its bytes may be overwritten from now on."""
        with self._returned:
            buffer.used = 0
            self._free.append(buffer)
            self._returned.notify()
