"""The watchdog is fed by work that is alive, and by nothing else."""

from __future__ import annotations

import signal
import subprocess
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.host.heartbeat import Heartbeat, work_of_children
from btrfs_to_s3.host.signals import StopSignal
from btrfs_to_s3.host.supervisor import Supervisor
from btrfs_to_s3.stream.cancel import LinkedCancellation
from btrfs_to_s3.stream.pump import Channel
from tests.stand_ins.service_manager import Manager, manager

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

WATCHDOG_S = 60.0


@dataclass
class World:
    """A heartbeat that looks when told to, and everything it looks at."""

    listening: Manager
    stop: StopSignal = field(default_factory=StopSignal)
    now_s: float = 1000.0
    status: str = "starting"
    signs: int = 0
    children: Hashable = 0

    def __post_init__(self) -> None:
        self.heartbeat = Heartbeat(
            Supervisor(self.listening.name, WATCHDOG_S),
            self.stop,
            lambda: self.status,
            lambda: self.signs,
            clock=lambda: self.now_s,
            children=lambda: self.children,
        )

    def pass_time(self, seconds: int) -> int:
        """Let it look once a second; how many pings that gave."""
        before = self.listening.pings()
        for _ in range(seconds):
            self.now_s += 1
            self.heartbeat.look()
        return self.listening.pings() - before


@pytest.fixture
def world() -> Iterator[World]:
    with manager() as listening:
        made = World(listening)
        made.pass_time(60)  # what there was at the start is no sign of anything
        made.pass_time(120)
        yield made


def test_work_that_reports_is_pinged_for_at_half_the_time(world: World) -> None:
    pings = 0
    for _ in range(120):
        world.signs += 1
        pings += world.pass_time(1)
    assert pings in {4, 5}


def test_work_that_gives_no_sign_is_not_pinged_for(world: World) -> None:
    assert world.pass_time(600) == 0


def test_one_sign_is_worth_one_ping(world: World) -> None:
    world.signs += 1
    assert world.pass_time(600) == 1


def test_a_wait_on_purpose_is_a_sign_of_life(world: World) -> None:
    world.stop.wait(0.001)
    assert world.pass_time(60) == 1
    LinkedCancellation(LinkedCancellation(world.stop)).wait(0.001)
    assert world.pass_time(60) == 1


def test_a_long_wait_goes_on_giving_signs(world: World) -> None:
    with world.stop:
        seen = [world.stop.waits]
        waiting = threading.Thread(target=world.stop.wait, args=(60.0,))
        waiting.start()
        for _ in range(2):
            waiting.join(1.1)
            seen.append(world.stop.waits)
        signal.raise_signal(signal.SIGTERM)
        waiting.join()
    assert seen == sorted(set(seen))


def test_threads_that_only_wait_for_each_other_give_none(world: World) -> None:
    cancel = LinkedCancellation(world.stop)
    channel: Channel[int] = Channel(1, cancel)
    waiting = threading.Thread(target=lambda: list(channel))
    waiting.start()
    waiting.join(0.5)
    assert cancel.is_set() is False
    assert world.pass_time(600) == 0
    channel.close()
    waiting.join()


def test_children_that_work_are_a_sign_of_life(world: World) -> None:
    world.children = 1
    assert world.pass_time(600) == 1


def test_the_work_of_children_is_their_cpu_time() -> None:
    with subprocess.Popen(["sh", "-c", "while :; do :; done"]) as busy:
        first = work_of_children()
        changed = _changes(first)
        busy.kill()
    assert changed
    with subprocess.Popen(["sleep", "60"]) as idle:
        _changes(work_of_children(), timeout_s=0.5)  # until it is up
        assert not _changes(work_of_children(), timeout_s=1)
        idle.kill()


def _changes(first: Hashable, timeout_s: float = 10.0) -> bool:
    done = threading.Event()
    for _ in range(int(timeout_s * 20)):
        if work_of_children() != first:
            return True
        done.wait(0.05)
    return False


def test_a_stop_is_told_once_and_stands_in_the_status(world: World) -> None:
    with world.stop:
        signal.raise_signal(signal.SIGTERM)
        world.pass_time(5)
    assert world.listening.lines.count("STOPPING=1") == 1
    assert world.listening.lines[-1] == "STATUS=stopping"


def test_the_status_is_told_when_it_changes_and_at_most_every_two_seconds(world: World) -> None:
    before = len(world.listening.lines)
    for number in range(10):
        world.status = f"at {number}"
        world.pass_time(1)
    told = world.listening.lines[before:]
    assert told == [f"STATUS=at {number}" for number in range(0, 10, 2)]
    world.pass_time(10)
    assert world.listening.lines[before:] == [*told, "STATUS=at 9"]


def test_no_watchdog_means_no_ping() -> None:
    with manager() as listening:
        world = World(listening)
        world.heartbeat = Heartbeat(
            Supervisor(listening.name, None),
            world.stop,
            lambda: "",
            lambda: world.signs,
            clock=lambda: world.now_s,
        )
        world.signs += 1
        assert world.pass_time(600) == 0


def test_a_look_that_goes_wrong_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with manager() as listening:
        world = World(listening)
        world.heartbeat = Heartbeat(
            Supervisor(listening.name, None), world.stop, lambda: str(1 / 0), lambda: 0
        )
        world.heartbeat.start()
        world.heartbeat.end("done")
        assert listening.lines == ["STATUS=done"]
    assert caplog.text.count("cannot be told") == 1
