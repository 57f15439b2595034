"""The pump: order, bounds, and one end for every stage."""

from __future__ import annotations

import threading
import time
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from btrfs_to_s3.errors import IntegrityError, InterruptedRunError, SendError
from btrfs_to_s3.stream.buffers import BufferPool
from btrfs_to_s3.stream.cancel import DeadlineCancellation, LinkedCancellation
from btrfs_to_s3.stream.pump import Channel, OrderedPool, Pump


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(), max_size=40), st.integers(1, 4), st.integers(1, 5))
def test_results_come_in_the_order_of_submission(
    items: list[int], workers: int, bound: int
) -> None:
    pump = Pump(LinkedCancellation())

    def work(item: int) -> int:
        time.sleep(0.0001 * (item % 3))
        return item * 2

    pool: OrderedPool[int, int] = OrderedPool(pump, "work", workers, work, bound)
    results: list[int] = []

    def feed() -> None:
        for item in items:
            pool.submit(item)
        pool.close()

    pump.start("feed", feed)
    pump.start("collect", lambda: results.extend(pool))
    pump.run()

    assert results == [item * 2 for item in items]


def test_a_full_channel_holds_its_writer_back() -> None:
    pump = Pump(LinkedCancellation())
    channel: Channel[int] = pump.channel(2)
    written: list[int] = []
    seen_ahead: list[int] = []

    def write() -> None:
        for item in range(10):
            channel.put(item)
            written.append(item)
        channel.close()

    def read() -> None:
        for item in channel:
            time.sleep(0.005)
            seen_ahead.append(len(written) - item)

    pump.start("write", write)
    pump.start("read", read)
    pump.run()

    # Two in the channel, one in the reader's hand, one about to be put.
    assert max(seen_ahead) <= 4


def test_the_first_error_ends_every_stage_and_is_the_one_that_is_raised() -> None:
    pump = Pump(LinkedCancellation())
    channel: Channel[int] = pump.channel(1)
    before = threading.active_count()
    released = threading.Event()

    def endless() -> None:
        for item in count():
            channel.put(item)

    def wait() -> None:
        released.wait(60)

    def fail() -> None:
        raise IntegrityError("damaged")

    pump.start("endless", endless)
    pump.start("blocked", wait)
    pump.start("failing", fail)
    pump.on_cancel(released.set)

    with pytest.raises(IntegrityError, match="damaged"):
        pump.run()

    assert threading.active_count() == before


def test_a_cancelled_parent_interrupts_the_work_and_joins_it() -> None:
    parent = LinkedCancellation()
    pump = Pump(parent)
    channel: Channel[int] = pump.channel(1)
    before = threading.active_count()
    taken: list[int] = []
    pump.start("reader", lambda: taken.extend(channel))
    threading.Timer(0.05, parent.set).start()

    with pytest.raises(InterruptedRunError):
        pump.run()
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join()

    assert threading.active_count() == before
    assert not LinkedCancellation().is_set()


def test_a_failing_stage_does_not_cancel_the_run_it_belongs_to() -> None:
    parent = LinkedCancellation()
    pump = Pump(parent)

    def fail() -> None:
        raise IntegrityError("damaged")

    pump.start("failing", fail)
    with pytest.raises(IntegrityError):
        pump.run()

    assert pump.cancel.is_set()
    assert not parent.is_set()


def test_a_pool_lends_no_more_buffers_than_it_has() -> None:
    cancel = LinkedCancellation()
    pool = BufferPool(2, 10, cancel)
    first, second = pool.acquire(), pool.acquire()
    threading.Timer(0.05, pool.release, [first]).start()

    third = pool.acquire()

    assert third is first
    assert second is not first
    cancel.set()
    with pytest.raises(InterruptedRunError):
        pool.acquire()


def test_a_returned_buffer_comes_back_empty() -> None:
    pool = BufferPool(1, 10, LinkedCancellation())
    buffer = pool.acquire()
    buffer.used = 7
    pool.release(buffer)

    assert bytes(pool.acquire().view) == b""


def test_a_deadline_sets_itself() -> None:
    cancel = DeadlineCancellation(0.05)

    assert not cancel.is_set()
    assert not cancel.wait(-1)
    assert cancel.wait(60)
    assert cancel.is_set()


def test_what_a_stage_raises_because_it_was_unblocked_does_not_hide_the_interruption() -> None:
    parent = LinkedCancellation()
    pump = Pump(parent)
    killed = threading.Event()

    def read() -> None:
        killed.wait(60)
        raise SendError("btrfs send was killed")

    pump.start("reader", read)
    pump.on_cancel(killed.set)
    timer = threading.Timer(0.05, parent.set)
    timer.start()

    with pytest.raises(InterruptedRunError):
        pump.run()
    timer.join()
