"""A linked cancellation ends its own waits, by itself or by its parent."""

from __future__ import annotations

import threading
import time

from btrfs_to_s3.stream.cancel import LinkedCancellation

PROMPT_S = 1.0
LONG_S = 30.0


def test_setting_a_child_leaves_its_parent_and_siblings_alone() -> None:
    parent = LinkedCancellation()
    child, sibling = LinkedCancellation(parent), LinkedCancellation(parent)
    child.set()
    assert child.is_set()
    assert not parent.is_set()
    assert not sibling.is_set()


def test_setting_a_parent_sets_every_descendant() -> None:
    parent = LinkedCancellation()
    grandchild = LinkedCancellation(LinkedCancellation(parent))
    parent.set()
    assert grandchild.is_set()
    assert grandchild.wait(LONG_S)


def test_a_wait_that_nothing_ends_lasts_its_timeout_and_says_false() -> None:
    started = time.monotonic()
    assert not LinkedCancellation(LinkedCancellation()).wait(0.12)
    assert time.monotonic() - started >= 0.12


def test_a_wait_of_no_time_only_looks() -> None:
    cancellation = LinkedCancellation()
    assert not cancellation.wait(0)
    assert not cancellation.wait(-1)
    cancellation.set()
    assert cancellation.wait(0)


def test_every_waiting_thread_is_let_go_at_once() -> None:
    cancellation = LinkedCancellation()
    seconds = _seconds_until_released(cancellation, by=cancellation, waiters=8)
    assert max(seconds) < PROMPT_S


def test_waiters_of_a_child_that_is_set_itself_are_let_go_at_once() -> None:
    child = LinkedCancellation(LinkedCancellation())
    assert max(_seconds_until_released(child, by=child, waiters=3)) < PROMPT_S


def test_a_parent_lets_the_waiters_of_its_child_go() -> None:
    parent = LinkedCancellation()
    seconds = _seconds_until_released(LinkedCancellation(parent), by=parent, waiters=3)
    assert max(seconds) < PROMPT_S


def test_setting_it_from_many_threads_at_once_is_harmless() -> None:
    for _ in range(50):
        cancellation = LinkedCancellation()
        start = threading.Barrier(8)
        results: list[bool] = []

        def work(number: int, *, c: LinkedCancellation, b: threading.Barrier) -> None:
            b.wait()
            if number % 2:
                c.set()
            results.append(c.wait(LONG_S))  # noqa: B023 - joined within the iteration

        threads = [
            threading.Thread(target=work, args=(n,), kwargs={"c": cancellation, "b": start})
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [True] * 8


def _seconds_until_released(
    waited_on: LinkedCancellation, *, by: LinkedCancellation, waiters: int
) -> list[float]:
    released: list[float] = []

    def wait() -> None:
        assert waited_on.wait(LONG_S)
        released.append(time.monotonic())

    threads = [threading.Thread(target=wait) for _ in range(waiters)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    assert released == []
    set_at = time.monotonic()
    by.set()
    for thread in threads:
        thread.join(LONG_S)
    assert len(released) == waiters
    return [moment - set_at for moment in released]
