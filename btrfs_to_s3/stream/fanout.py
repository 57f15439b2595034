"""One stream read once and fed to several consumers, each at its own end of it.

The slowest consumer sets the pace: blocks wait for all that are still listening. A consumer that
is killed, because its repository failed, is not waited for any longer; the last one to go ends
the stream. Memory: ``BLOCKS * BLOCK_BYTES``, whatever the number of consumers.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import InterruptedRunError
from btrfs_to_s3.stream.buffers import POLL_S, Buffer

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from btrfs_to_s3.ports import Cancellation, SendStream

BLOCK_BYTES = 1024 * 1024
BLOCKS = 8


@dataclass(slots=True)
class _Block:
    """Bytes that some branches have still to take."""

    buffer: Buffer
    readers: int


class FanOut:
    """Distributes one running stream. ``read`` runs on one thread until the stream's end."""

    def __init__(self, source: SendStream, count: int, cancel: Cancellation) -> None:
        self._source = source
        self._cancel = cancel
        self._changed = threading.Condition()
        self._free = [Buffer(BLOCK_BYTES) for _ in range(BLOCKS)]
        self._ended = False
        self._error: BaseException | None = None
        self.branches = tuple(Branch(self) for _ in range(count))

    def read(self) -> None:
        """Read the whole stream; what goes wrong is raised by every branch that still listens."""
        try:
            while (buffer := self._room()) is not None:
                buffer.used = self._source.readinto(buffer.data)
                if not buffer.used:
                    self._source.finish()
                    break
                self._hand_out(buffer)
        except BaseException as error:  # noqa: BLE001 - carried to the branches
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _room(self) -> Buffer | None:
        """An empty block; None once nobody listens any more."""
        with self._changed:
            while not self._free or not self._listening():
                if not self._listening():
                    return None
                self._pause()
            return self._free.pop()

    def _hand_out(self, buffer: Buffer) -> None:
        with self._changed:
            listening = self._listening()
            block = _Block(buffer, len(listening))
            for branch in listening:
                branch.waiting.append(block)
            if not listening:
                self._free.append(buffer)
            self._changed.notify_all()

    def _listening(self) -> list[Branch]:
        return [branch for branch in self.branches if not branch.killed]

    def take(self, branch: Branch, into: memoryview) -> int:
        """The next bytes for one branch; 0 at the end of a stream that was read to its end."""
        with self._changed:
            while not branch.waiting and not self._ended and not branch.killed:
                self._pause()
            if branch.killed or not branch.waiting:
                self.check(branch)
                return 0
            block = branch.waiting[0]
        left = block.buffer.view[branch.taken :]
        count = min(len(left), len(into))
        into[:count] = left[:count]
        if branch.killed:
            # The block may have been filled anew while it was read.
            self.check(branch)
        branch.taken += count
        if count == len(left):
            self._done_with(branch)
        return count

    def _done_with(self, branch: Branch) -> None:
        with self._changed:
            # A branch that was killed meanwhile has given everything back.
            if branch.waiting:
                self._give_back(branch.waiting.popleft())
                branch.taken = 0
                self._changed.notify_all()

    def drop(self, branch: Branch) -> None:
        """Do not wait for a branch any longer; without any other the stream is ended."""
        with self._changed:
            branch.killed = True
            while branch.waiting:
                self._give_back(branch.waiting.popleft())
            alone = not self._listening() and not self._ended
            self._changed.notify_all()
        if alone:
            self._source.kill()

    def check(self, branch: Branch) -> None:
        """Raise what ended the stream too early, for this branch or for all."""
        if branch.killed:
            raise InterruptedRunError("stopped")
        if self._error is not None:
            raise self._error

    def _give_back(self, block: _Block) -> None:
        block.readers -= 1
        if not block.readers:
            block.buffer.used = 0
            self._free.append(block.buffer)

    def _pause(self) -> None:
        if self._cancel.is_set():
            raise InterruptedRunError("stopped")
        self._changed.wait(POLL_S)


class Branch:
    """Implements ``ports.SendStream``: one consumer's end. One thread reads it."""

    def __init__(self, fan: FanOut) -> None:
        self.waiting: deque[_Block] = deque()
        self.taken = 0
        self.killed = False
        self._fan = fan

    def readinto(self, buffer: memoryview) -> int:
        """As many bytes as are there (at least one); 0 at the stream's end."""
        return self._fan.take(self, buffer)

    def finish(self) -> None:
        """Raise what went wrong; the stream's process has exited 0 otherwise."""
        self._fan.check(self)

    def kill(self) -> None:
        """Stop listening; idempotent."""
        self._fan.drop(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
