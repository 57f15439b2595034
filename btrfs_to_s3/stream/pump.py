"""The only place with threads that do work: bounded channels between stages, one end for all.

Every queue has a bound. The first error cancels every stage; the others then stop with
``InterruptedRunError`` at their next wait. ``Pump.run`` returns, or raises that first error, only
after every thread has been joined.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from btrfs_to_s3.errors import InterruptedRunError
from btrfs_to_s3.stream.buffers import POLL_S
from btrfs_to_s3.stream.cancel import LinkedCancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from btrfs_to_s3.ports import Cancellation

T = TypeVar("T")
R = TypeVar("R")


class Channel(Generic[T]):
    """A bounded queue that ends: closed by its writers, or when the work is cancelled."""

    def __init__(self, bound: int, cancel: Cancellation) -> None:
        self._bound = bound
        self._cancel = cancel
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Add an item, waiting for room; ``InterruptedRunError`` when cancelled."""
        with self._changed:
            while len(self._items) >= self._bound:
                self._pause()
            self._items.append(item)
            self._changed.notify_all()

    def close(self) -> None:
        """No more items will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Items until the channel is closed; ``InterruptedRunError`` when cancelled."""
        while True:
            with self._changed:
                while not self._items:
                    if self._closed:
                        return
                    self._pause()
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def _pause(self) -> None:
        if self._cancel.is_set():
            raise InterruptedRunError("stopped")
        self._changed.wait(POLL_S)


class _Ticket(Generic[T, R]):
    """A place in an ordered result."""

    __slots__ = ("done", "item", "result")

    def __init__(self, item: T) -> None:
        self.item = item
        self.done = threading.Event()
        self.result: R | None = None


class OrderedPool(Generic[T, R]):
    """Applies ``work`` on several threads; iterating gives results in the order of submission.

    At most ``bound`` items are submitted and not yet taken.
    """

    def __init__(
        self, pump: Pump, name: str, workers: int, work: Callable[[T], R], bound: int
    ) -> None:
        self._cancel = pump.cancel
        self._work = work
        self._todo: Channel[_Ticket[T, R]] = pump.channel(bound)
        self._order: Channel[_Ticket[T, R]] = pump.channel(bound)
        for number in range(workers):
            pump.start(f"{name}-{number}", self._serve)

    def submit(self, item: T) -> None:
        """Add an item, waiting while ``bound`` are under way."""
        ticket: _Ticket[T, R] = _Ticket(item)
        self._order.put(ticket)
        self._todo.put(ticket)

    def close(self) -> None:
        """No more items will come."""
        self._todo.close()
        self._order.close()

    def __iter__(self) -> Iterator[R]:
        """Results in order; ``InterruptedRunError`` when cancelled."""
        for ticket in self._order:
            while not ticket.done.wait(POLL_S):
                if self._cancel.is_set():
                    raise InterruptedRunError("stopped")
            yield cast("R", ticket.result)

    def _serve(self) -> None:
        for ticket in self._todo:
            ticket.result = self._work(ticket.item)
            ticket.done.set()


class Pump:
    """The threads of one transfer. Make stages and channels, then call ``run``.

    ``cancel`` is what every wait of the transfer listens to: it is set by the parent (a signal) or
    by the first failing stage. ``on_cancel`` callbacks unblock what cannot listen, such as a read
    from a child process; they run once, on the thread that called ``run``.
    """

    def __init__(self, parent: Cancellation) -> None:
        self.cancel = LinkedCancellation(parent)
        self._threads: list[threading.Thread] = []
        self._unblock: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._stopping = False

    def channel(self, bound: int) -> Channel[T]:
        """A channel whose waits end with this pump."""
        return Channel(bound, self.cancel)

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Add a stage; it begins when ``run`` is called."""
        self._threads.append(threading.Thread(target=self._guard, args=(work,), name=name))

    def on_cancel(self, unblock: Callable[[], None]) -> None:
        """Call ``unblock`` when the transfer is cancelled; it must be quick and repeatable."""
        self._unblock.append(unblock)

    def run(self) -> None:
        """Run every stage to its end, then raise the first error there was.

        ``InterruptedRunError`` when the parent was cancelled and nothing else failed first.
        """
        started: list[threading.Thread] = []
        try:
            for thread in self._threads:
                thread.start()
                started.append(thread)
            self._watch(started)
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            if self.cancel.is_set():
                self._release()
            for thread in started:
                thread.join()
        if self._error is not None:
            raise self._error
        if self.cancel.is_set():
            raise InterruptedRunError("stopped before the work was done")

    def _watch(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            while thread.is_alive():
                thread.join(POLL_S)
                if self.cancel.is_set():
                    return

    def _release(self) -> None:
        with self._lock:
            # What unblocking does to a stage, such as killing its process, is no cause.
            self._stopping = True
        for unblock in self._unblock:
            unblock()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - carried to the thread that called run
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            # A stage that stopped because another failed must not hide the cause.
            interrupted = isinstance(self._error, InterruptedRunError)
            if not self._stopping and (self._error is None or interrupted):
                self._error = error
        self.cancel.set()


def in_parallel(
    items: Sequence[T], work: Callable[[T], R], workers: int, cancel: Cancellation
) -> list[R]:
    """``work`` applied to each item on at most ``workers`` threads; results in the items' order.

    The first error ends it and is raised; ``InterruptedRunError`` when cancelled.
    """
    if not items:
        return []
    pump = Pump(cancel)
    count = min(workers, len(items))
    pool: OrderedPool[T, R] = OrderedPool(pump, "parallel", count, work, 2 * count)
    results: list[R] = []

    def feed() -> None:
        for item in items:
            pool.submit(item)
        pool.close()

    pump.start("feeder", feed)
    pump.start("collector", lambda: results.extend(pool))
    pump.run()
    return results
