"""Faults of the wire and of the service as a whole: slow, silent, gone, frozen, full."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING, Final

from integration_tests.harness.faultproxy.rules import Act, Rule
from integration_tests.harness.faults.ground import MIB, Started
from integration_tests.harness.faults.retries import CHUNK, CHUNKS
from integration_tests.harness.machine import devices
from integration_tests.harness.machine.loopback import MINIMUM_SIZE_BYTES, LoopbackBtrfs
from integration_tests.harness.machine.waiting import wait_until
from integration_tests.harness.services.rclone import rclone_server

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from integration_tests.harness.faults.ground import Case, Ground

_LIMIT_BYTES_PER_S: Final = 1_000_000
_LINK_BITS_PER_S: Final = 16_000_000
_HEADERS: Final = 1.1
"""What the wire carries beside the bodies, at most."""
_BURST_S: Final = 0.25
_WINDOW_S: Final = 1.0
_QUICK: Final = {"read_timeout": "1s", "connect_timeout": "1s", "concurrency": "1"}
_SHORT_PATIENCE: Final = {"outage_patience": "2s", "retry_attempts": "3", **_QUICK}
_MOST_S: Final = 25.0
"""No run with a patience of 2 s takes longer, its own clean-up included."""


def rate_limit(ground: Ground) -> None:
    """`bandwidth_limit` is kept, as the wire counts; a wire that is slow itself does no harm."""
    case = ground.case("rate", size_bytes=3 * MIB)
    limit = f"{_LIMIT_BYTES_PER_S // 1000}kB/s"
    with case.started(*case.arguments, bandwidth_limit=limit) as started:
        samples = _sampled(ground, started)
        run = started.finish()
    case.check_done(run, f"a backup limited to {limit}")
    _check_rate(ground, samples)
    began = time.monotonic()
    case.check_restores(f"limited to {limit}", bandwidth_limit=limit)
    least = 3 * MIB / _LIMIT_BYTES_PER_S - _BURST_S
    ground.check(time.monotonic() - began > least, "the restore takes as long as it must", least)
    case.grow(4 * MIB)
    began = time.monotonic()
    with ground.network.rate(_LINK_BITS_PER_S):
        case.check_done(case.backup(), "a backup over a slow wire")
    least = 4 * MIB * 8 / _LINK_BITS_PER_S
    ground.check(time.monotonic() - began > least, "the wire was slow", time.monotonic() - began)
    case.check_visible(2, "over a slow wire")


def timeouts(ground: Ground) -> None:
    """Silence of every kind is noticed within the timeouts, and waited out within the patience."""
    case = ground.case("silence", size_bytes=3 * MIB)
    stall = Rule(act=Act.DELAY, operation="PutObject", path=CHUNK.format(1), last=1, seconds=20)
    with ground.scripted(stall) as traffic:
        run = case.backup(**_QUICK)
        ground.check(len(traffic.hit()) == 1, "one request hangs")
    case.check_done(run, "a request that hangs")
    ground.check(run.seconds < stall.seconds, "it is given up in time", run.seconds)
    case.check_restores("a request that hung")
    _waited_out(ground, case)
    for text, fault in (
        ("a wire cut for good", ground.network.partition),
        ("a port that refuses for good", lambda: ground.network.reject(ground.port)),
        ("a port that is silent for good", lambda: ground.network.drop(ground.port)),
    ):
        _given_up(ground, case, text, fault())
    case.check_restores("after the outages")
    _program_held(ground, case)
    _service_full(ground)


def _waited_out(ground: Ground, case: Case) -> None:
    """Outages that end before the patience does."""
    for text, fault in (
        ("a wire cut for a while", ground.network.partition),
        ("a service frozen for a while", ground.service.frozen),
    ):
        before = len(case.visible())
        case.grow(3 * MIB)
        settings = {**_QUICK, "bandwidth_limit": "2MB/s"}
        with case.started(*case.arguments, **settings) as started:
            ground.network.wait_for_bytes(MIB, timeout_s=30)
            with fault():
                time.sleep(2.5)
                ground.check(started.running, f"{text}: the run waits")
            run = started.finish()
        case.check_done(run, text)
        ground.check(" failed, " in run.err, f"{text}: it was noticed", run.err)
        case.check_visible(before + 1, text)


def _given_up(ground: Ground, case: Case, text: str, fault: AbstractContextManager[None]) -> None:
    """An outage that is longer than the patience, from the second MiB on."""
    before = len(case.visible())
    case.grow(3 * MIB)
    settings = {**_SHORT_PATIENCE, "bandwidth_limit": "2MB/s"}
    with case.started(*case.arguments, **settings) as started:
        ground.network.wait_for_bytes(MIB, timeout_s=30)
        with fault:
            run = started.finish()
    case.check_exit(run, 4, text)
    ground.check(run.seconds < _MOST_S, f"{text}: the run ends in time", run.seconds)
    case.check_visible(before, text)
    case.check_done(case.backup(), f"{text}, and healed")
    case.check_visible(before + 1, f"{text}, and healed")


def _program_held(ground: Ground, case: Case) -> None:
    """SIGSTOP of the program itself, for longer than its timeouts."""
    before = len(case.visible())
    case.grow(3 * MIB)
    with case.started(*case.arguments, **_QUICK, bandwidth_limit="2MB/s") as started:
        ground.network.wait_for_bytes(MIB, timeout_s=30)
        started.process.send_signal(signal.SIGSTOP)
        time.sleep(2)
        started.process.send_signal(signal.SIGCONT)
        case.check_done(started.finish(), "the program held for a while")
    case.check_visible(before + 1, "the program held for a while")


def _service_full(ground: Ground) -> None:
    """A service whose disk is full: nothing is committed, and with space again all is well."""
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(LoopbackBtrfs(size_bytes=MINIMUM_SIZE_BYTES))
        data = disk.mount_point / "data"
        place = ground.network.placement
        service = stack.enter_context(rclone_server(data=data, placement=place))
        case = ground.case("full", endpoint=service)
        filler = fill(disk.mount_point)
        run = case.backup(**_SHORT_PATIENCE)
        case.check_exit(run, 4, "a service without space")
        filler.unlink()
        disk.sync()
        case.check_visible(0, "a service without space")
        case.check_done(case.backup(), "with space again")
        case.check_visible(1, "with space again")
        case.check_restores("with space again")


def fill(directory: Path) -> Path:
    """Use up a filesystem's space; the file to remove afterwards."""
    filler = directory / "filler"
    block = b"\0" * MIB
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(block)
    devices.run("sync", "--file-system", directory)
    return filler


def _sampled(ground: Ground, started: Started) -> list[tuple[float, int]]:
    """Time and bytes sent, from the first chunk until the program ends."""
    traffic = ground.traffic()
    wait_until(lambda: any(CHUNKS in each.path for each in traffic.requests("PutObject")))
    samples = []
    while started.running:
        samples.append((time.monotonic(), ground.network.sent_bytes()))
        time.sleep(0.02)
    return samples


def _check_rate(ground: Ground, samples: list[tuple[float, int]]) -> None:
    """No window of a second has more than the limit and its burst; the limit is made use of."""
    worst = 0.0
    for start, sent_before in samples:
        window = [sent for at, sent in samples if start <= at <= start + _WINDOW_S]
        worst = max(worst, (window[-1] - sent_before) / _LIMIT_BYTES_PER_S)
    most = (_WINDOW_S + 2 * _BURST_S) * _HEADERS
    ground.check(worst <= most, "no second holds more than the limit and a burst", worst)
    seconds, sent = samples[-1][0] - samples[0][0], samples[-1][1] - samples[0][1]
    mean = sent / seconds / _LIMIT_BYTES_PER_S
    ground.check(mean <= _HEADERS, "on the whole the limit is kept", mean)
    ground.check(mean >= 0.5, "on the whole the limit is made use of", mean)  # noqa: PLR2004
