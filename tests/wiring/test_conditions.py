"""On battery a run begins, waits or fails, as its policy says."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from btrfs_to_s3.config.choices import OnBattery
from btrfs_to_s3.errors import ExitCode, InterruptedRunError, SourceError
from btrfs_to_s3.host.power import CONNECTED, Power
from btrfs_to_s3.stream.cancel import LinkedCancellation
from btrfs_to_s3.wiring.conditions import Surroundings, await_power

ON_BATTERY = Power(on_battery=True, percent=57.4)


@dataclass
class Told:
    """Implements ``ports.Reporter`` and keeps what it is told."""

    notes: list[str] = field(default_factory=list)
    activities: list[str] = field(default_factory=list)

    def begin(self, subject: str, activity: str, expected_bytes: int | None) -> None:
        """A piece of work starts."""

    def advance(self, raw_bytes: int, stored_bytes: int, chunks: int) -> None:
        """So much more is done."""

    def activity(self, text: str) -> None:
        self.activities.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.notes.append(text)

    def end(self) -> None:
        """The piece of work is over."""


def never() -> Power:
    pytest.fail("the machine was asked")


def test_a_run_that_does_not_mind_asks_nobody() -> None:
    await_power(OnBattery.RUN, Surroundings(Told(), LinkedCancellation(), never))


@pytest.mark.parametrize("policy", [OnBattery.WAIT, OnBattery.SKIP])
def test_a_connected_machine_runs_without_a_word(policy: OnBattery) -> None:
    told = Told()
    await_power(policy, Surroundings(told, LinkedCancellation(), lambda: CONNECTED))
    assert (told.notes, told.activities) == ([], [])


def test_skipping_is_an_error_that_says_why_and_what_to_do() -> None:
    surroundings = Surroundings(Told(), LinkedCancellation(), lambda: ON_BATTERY)
    with pytest.raises(SourceError, match=r"on battery \(57 %\), and on_battery is skip") as caught:
        await_power(OnBattery.SKIP, surroundings)
    assert caught.value.exit_code is ExitCode.SOURCES_FAILED
    assert "--on-battery run" in str(caught.value.hint)


def test_waiting_is_said_once_shown_all_the_time_and_ends_with_power() -> None:
    told = Told()
    states = iter([ON_BATTERY, ON_BATTERY, ON_BATTERY, CONNECTED])
    await_power(
        OnBattery.WAIT, Surroundings(told, LinkedCancellation(), lambda: next(states), poll_s=0.001)
    )
    assert told.notes == [
        "waiting for power: the machine is on battery (57 %), and on_battery is wait",
        "the machine is connected to power again: the run begins",
    ]
    assert told.activities == ["waiting for power"] * 3
    assert not list(states)


def test_a_wait_ends_at_once_when_the_run_is_stopped() -> None:
    cancel = LinkedCancellation()
    threading.Timer(0.05, cancel.set).start()
    with pytest.raises(InterruptedRunError, match="waiting for power"):
        await_power(OnBattery.WAIT, Surroundings(Told(), cancel, lambda: ON_BATTERY, poll_s=3600))
