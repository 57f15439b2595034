"""However a run ends, nothing of it is left; and the next one goes on."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Final

import psutil

from integration_tests.harness.faultproxy.rules import Act, Rule, access_denied
from integration_tests.harness.faults.ground import MIB
from integration_tests.harness.faults.links import fill
from integration_tests.harness.faults.retries import CHUNKS
from integration_tests.harness.machine import devices
from integration_tests.harness.machine.loopback import MINIMUM_SIZE_BYTES, LoopbackBtrfs
from integration_tests.harness.machine.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integration_tests.harness.faults.ground import Case, Ground, Started

_LARGE: Final = {"chunk_size": "32MiB", "concurrency": "2"}
_STOPS_WITHIN_S: Final = 8.0
_HELD_S: Final = 600.0
_SPARE: Final = 3
"""Descriptors and threads more or less that mean nothing."""


def cleanup(ground: Ground) -> None:
    """Success, failure, signals, dead children, and targets that stop taking data."""
    case = ground.case("cleanup", size_bytes=11 * MIB)
    case.check_done(case.backup(**_LARGE), "a backup")
    _check_nothing_left(ground, case, "success")
    case.grow(11 * MIB)
    with ground.scripted(access_denied(operation="UploadPart", first=2)):
        case.check_exit(case.backup(**_LARGE), 4, "a part refused")
    _check_nothing_left(ground, case, "failure")
    _stopped(ground, case)
    case.check_done(case.backup(**_LARGE), "the same backup at last")
    _check_nothing_left(ground, case, "the rerun")
    case.check_visible(2, "after all that")
    case.check_restores("after all that")
    _send_killed(ground)
    _descriptors(ground)
    _receive_killed(ground, case)
    _target_full(ground, case)
    _target_read_only(ground, case)


def _stopped(ground: Ground, case: Case) -> None:
    """A signal while one part is on its way and another is stored."""
    held = Rule(act=Act.DELAY, operation="UploadPart", path=CHUNKS, first=2, seconds=_HELD_S)
    for number, code in (
        (signal.SIGINT, 130),
        (signal.SIGTERM, 130),
        (signal.SIGKILL, -signal.SIGKILL),
    ):
        text = number.name
        with (
            ground.scripted(held) as traffic,
            case.started(*case.arguments, **_LARGE) as started,
        ):
            traffic.wait_for_hits()
            started.process.send_signal(number)
            run = started.finish()
        case.check_exit(run, code, text)
        killed = number is signal.SIGKILL
        _check_nothing_left(ground, case, text, but_uploads=killed)
        case.check_visible(1, text)


def _send_killed(ground: Ground) -> None:
    """More data than all buffers hold, so that send is still at work while all parts hang."""
    case = ground.case("send", size_bytes=80 * MIB)
    settings = {**_LARGE, "part_size": "5MiB"}
    held = Rule(act=Act.DELAY, operation="UploadPart", path=CHUNKS, seconds=3)
    with ground.scripted(held) as traffic, case.started(*case.arguments, **settings) as started:
        traffic.wait_for_hits()
        child = _btrfs(started, "send")
        ground.check(child is not None, "btrfs send is under way")
        if child is not None:
            environment = child.environ()
            private = [name for name in environment if name.startswith(("AWS_", "BTRFS_TO_S3"))]
            ground.check(not private, "btrfs send gets no credentials", private)
            child.kill()
        ground.proxy.set_rules()
        run = started.finish()
    case.check_exit(run, 3, "btrfs send killed")
    kind = run.document.get("error", {}).get("kind")
    ground.check(kind == "send", "btrfs send killed: it says so", kind)
    _check_nothing_left(ground, case, "btrfs send killed")
    case.check_visible(0, "btrfs send killed")
    case.check_done(case.backup(**settings), "btrfs send killed: the rerun")
    case.check_visible(1, "btrfs send killed: the rerun")


def _descriptors(ground: Ground) -> None:
    """Many broken connections cost no descriptor and no thread."""
    case = ground.case("descriptors")
    broken = Rule(act=Act.RESET, operation="PutObject", path=CHUNKS)
    with (
        ground.scripted(broken) as traffic,
        case.started(*case.arguments, outage_patience="60s") as started,
    ):
        process = psutil.Process(started.process.pid)
        traffic.wait_for_hits(2)
        first = (process.num_fds(), process.num_threads())
        traffic.wait_for_hits(7)
        later = (process.num_fds(), process.num_threads())
        ground.proxy.set_rules()
        run = started.finish()
    grown = [after - before for before, after in zip(first, later, strict=True)]
    ground.check(max(grown) <= _SPARE, "descriptors and threads do not pile up", (first, later))
    case.check_done(run, "after many broken connections")
    case.check_visible(1, "after many broken connections")


def _receive_killed(ground: Ground, case: Case) -> None:
    directory = case.new_target()
    with _restoring(ground, case, directory) as started:
        child = _btrfs(started, "receive")
        ground.check(child is not None, "btrfs receive is under way")
        if child is not None:
            child.kill()
        ground.proxy.set_rules()
        run = started.finish()
    case.check_exit(run, 3, "btrfs receive killed")
    _check_restore_left_nothing(ground, directory, "btrfs receive killed")
    _check_second_try(case, directory, "btrfs receive killed")


def _target_full(ground: Ground, case: Case) -> None:
    with LoopbackBtrfs(size_bytes=MINIMUM_SIZE_BYTES) as small:
        filler = fill(small.mount_point)
        directory = case.new_target(small)
        run = case.run("restore", case.name, "--target", str(directory), "-v")
        case.check_exit(run, 3, "a target without space")
        kind = run.document.get("error", {}).get("kind")
        ground.check(kind == "local_space", "a target without space: it says so", kind)
        _check_restore_left_nothing(ground, directory, "a target without space")
        filler.unlink()
        small.sync()
        _check_second_try(case, directory, "a target with space again")


def _target_read_only(ground: Ground, case: Case) -> None:
    """The target turns read-only between the first link and the second."""
    with LoopbackBtrfs() as small:
        directory = case.new_target(small)
        with _restoring(ground, case, directory) as started:
            small.remount("ro")
            ground.proxy.set_rules()
            run = started.finish()
        case.check_exit(run, 3, "a target turned read-only")
        small.remount("rw")
        _check_second_try(case, directory, "a target writable again")


@contextlib.contextmanager
def _restoring(ground: Ground, case: Case, directory: Path) -> Iterator[Started]:
    """A restore that has received the first link of two and waits for the second's first chunk.

    With the proxy's rules removed, its next try is answered.
    """
    second = case.visible()[-1]
    held = Rule(act=Act.DELAY, operation="GetObject", path=f"{CHUNKS}.*{second}", seconds=_HELD_S)
    arguments = ("restore", case.name, "--target", str(directory), "-v")
    with (
        ground.scripted(held) as traffic,
        case.started(*arguments, read_timeout="2s") as started,
    ):
        traffic.wait_for_hits()
        yield started


def _check_restore_left_nothing(ground: Ground, directory: Path, text: str) -> None:
    whole = [entry for entry in directory.iterdir() if not _is_read_only(entry)]
    ground.check(not whole, f"{text}: nothing half received is left", whole)
    ground.check(not ground.processes(), f"{text}: no process is left", ground.processes())
    ground.check(not ground.private_holders(), f"{text}: no mount", ground.private_holders())


def _check_second_try(case: Case, directory: Path, text: str) -> None:
    run = case.run("restore", case.name, "--target", str(directory), "-v")
    case.check_done(run, f"{text}: restored again")
    case.check_same(directory, text)
    case.clear(directory)


def _check_nothing_left(
    ground: Ground, case: Case, text: str, *, but_uploads: bool = False
) -> None:
    """Processes (so threads and descriptors too), mounts, uploads and the lock."""
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: not ground.processes(), _STOPS_WITHIN_S)
    ground.check(not ground.processes(), f"{text}: no process is left", ground.processes())
    ground.check(not ground.private_holders(), f"{text}: no mount", ground.private_holders())
    if not but_uploads:
        ground.check(not case.uploads(), f"{text}: no multipart upload", case.uploads())
    # Takes the lock, and finds nothing that may go.
    case.check_done(case.run("prune"), f"{text}: no lock")


def _btrfs(started: Started, verb: str) -> psutil.Process | None:
    """The program's own `btrfs send` or `btrfs receive`."""
    for child in psutil.Process(started.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            words = child.cmdline()
            if words and words[0].endswith("btrfs") and verb in words:
                return child
    return None


def _is_read_only(subvolume: Path) -> bool:
    shown = devices.run("btrfs", "property", "get", "-ts", subvolume, "ro")
    return shown.strip() == "ro=true"
