"""One stream for several readers: all get every byte, and a reader that goes costs no other."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.errors import InterruptedRunError, SendError
from btrfs_to_s3.stream.cancel import LinkedCancellation
from btrfs_to_s3.stream.fanout import BLOCK_BYTES, BLOCKS, FanOut

if TYPE_CHECKING:
    from collections.abc import Callable

    from btrfs_to_s3.stream.fanout import Branch

LONG = 3 * BLOCKS * BLOCK_BYTES


class Source:
    """A stream of a given length, its bytes telling their place."""

    def __init__(self, size_bytes: int, piece_bytes: int, fails: Exception | None = None) -> None:
        self.left = size_bytes
        self.killed = False
        self._piece = piece_bytes
        self._fails = fails

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), self._piece, self.left)
        buffer[:count] = bytes([self.left % 251]) * count
        self.left -= count
        return count

    def finish(self) -> None:
        if self._fails is not None:
            raise self._fails

    def kill(self) -> None:
        self.killed = True
        self.left = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def all_of(branch: Branch, wanted: int = 70_000) -> bytes:
    """Everything a branch gets, read in pieces."""
    found, buffer = bytearray(), memoryview(bytearray(wanted))
    while count := branch.readinto(buffer):
        found += buffer[:count]
    branch.finish()
    return bytes(found)


def run(fan: FanOut, *works: Callable[[], object]) -> None:
    """The fan-out and its readers, each on a thread; none may hang."""
    threads = [threading.Thread(target=work) for work in (fan.read, *works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


@given(
    st.integers(0, 3 * BLOCK_BYTES),
    st.integers(1000, 2 * BLOCK_BYTES),
    st.lists(st.integers(1000, 2 * BLOCK_BYTES), min_size=1, max_size=3),
)
def test_every_branch_gets_the_whole_stream(size: int, piece: int, wanted: list[int]) -> None:
    fan = FanOut(Source(size, piece), len(wanted), LinkedCancellation())
    found: dict[int, bytes] = {}

    def reading(number: int) -> Callable[[], None]:
        def read() -> None:
            found[number] = all_of(fan.branches[number], wanted[number])

        return read

    run(fan, *(reading(number) for number in range(len(wanted))))
    expected = all_of_source(Source(size, piece))
    assert found == dict.fromkeys(range(len(wanted)), expected)


def all_of_source(source: Source) -> bytes:
    """The same stream, read alone."""
    found, buffer = bytearray(), memoryview(bytearray(BLOCK_BYTES))
    while count := source.readinto(buffer):
        found += buffer[:count]
    return bytes(found)


def test_a_branch_that_is_killed_is_not_waited_for() -> None:
    fan = FanOut(Source(LONG, BLOCK_BYTES), 2, LinkedCancellation())
    slow, quick = fan.branches
    found: list[int] = []

    def gives_up() -> None:
        slow.readinto(memoryview(bytearray(10)))
        time.sleep(0.05)
        slow.kill()

    run(fan, gives_up, lambda: found.append(len(all_of(quick))))
    assert found == [LONG]
    with pytest.raises(InterruptedRunError):
        slow.readinto(memoryview(bytearray(10)))


def test_the_stream_ends_with_its_last_reader() -> None:
    source = Source(LONG, BLOCK_BYTES)
    fan = FanOut(source, 2, LinkedCancellation())
    run(fan, fan.branches[0].kill, fan.branches[1].kill)
    assert source.killed


def test_a_reader_that_stands_still_holds_the_stream_and_not_memory() -> None:
    source = Source(LONG, BLOCK_BYTES)
    fan = FanOut(source, 2, LinkedCancellation())
    _, quick = fan.branches
    threads = [
        threading.Thread(target=fan.read),
        threading.Thread(target=lambda: all_of(quick)),
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    assert source.left == LONG - BLOCKS * BLOCK_BYTES
    fan.branches[0].kill()
    for thread in threads:
        thread.join(20)
    assert source.left == 0


def test_a_stream_that_failed_is_whole_for_no_branch() -> None:
    fan = FanOut(Source(LONG, BLOCK_BYTES, SendError("it died")), 2, LinkedCancellation())
    errors: list[str] = []

    def read(branch: Branch) -> None:
        try:
            all_of(branch)
        except SendError as error:
            errors.append(str(error))

    run(fan, *(lambda branch=branch: read(branch) for branch in fan.branches))
    assert errors == ["it died", "it died"]


def test_a_cancellation_ends_every_wait() -> None:
    cancel = LinkedCancellation()
    fan = FanOut(Source(LONG, BLOCK_BYTES), 2, cancel)
    ended: list[bool] = []

    def read() -> None:
        with pytest.raises(InterruptedRunError):
            all_of(fan.branches[0])
        ended.append(True)

    threading.Timer(0.2, cancel.set).start()
    run(fan, read)
    assert ended == [True]
