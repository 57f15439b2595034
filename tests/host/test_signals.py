"""A run stops cleanly at the first signal and at once at the second Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.host.signals import StopSignal

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_S = 30.0
PROMPT_S = 2.0
REPOSITORY_ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def listened_to() -> Iterator[None]:
    """Tests may be started by nohup or as a background job, with a signal ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if before[number] is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_wait_of_the_main_thread_at_once(number: signal.Signals) -> None:
    with StopSignal() as stop:
        threading.Timer(0.05, os.kill, [os.getpid(), number]).start()
        started = time.monotonic()
        assert stop.wait(LONG_S)
        assert time.monotonic() - started < PROMPT_S
        assert stop.is_set()
        assert stop.received is number


def test_a_signal_ends_the_waits_of_other_threads() -> None:
    released: list[bool] = []
    with StopSignal() as stop:
        threads = [
            threading.Thread(target=lambda: released.append(stop.wait(LONG_S))) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        os.kill(os.getpid(), signal.SIGTERM)
        for thread in threads:
            thread.join(PROMPT_S)
    assert released == [True, True]


def test_nothing_is_set_before_a_signal_comes() -> None:
    with StopSignal() as stop:
        assert not stop.is_set()
        assert not stop.wait(0.01)
        assert stop.received is None


def test_a_second_interrupt_raises_at_once() -> None:
    with StopSignal() as stop:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert stop.received is signal.SIGINT


def test_repeated_termination_stays_a_clean_stop() -> None:
    with StopSignal() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        assert stop.received is signal.SIGTERM


def test_leaving_restores_the_handlers_also_after_an_error() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with pytest.raises(KeyError) as caught, StopSignal():
        raise KeyError({signal.getsignal(number) for number in numbers}.isdisjoint(before))
    assert caught.value.args == (True,)
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignal() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.is_set()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signals_in_the_middle_of_many_short_waits_never_deadlock() -> None:
    """The handler runs between any two steps of a wait; a lock held there would hang it."""
    script = textwrap.dedent("""
        from btrfs_to_s3.host.signals import StopSignal
        print("ready", flush=True)
        with StopSignal() as stop:
            print("ready", flush=True)
            while not stop.wait(0.00001):
                pass
    """)
    for attempt in range(10):
        with subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY_ROOT
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.readline()
            time.sleep(0.0007 * attempt)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
