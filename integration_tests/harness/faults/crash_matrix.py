"""SIGKILL at every point where a backup, a prune or a restore waits for the service.

Each cell holds one request back, kills the program, and looks: what is visible must be whole, and
the same command again must finish the work. Two moments of each write: before the service saw it,
and after it did its work but before the program heard of it.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from enum import Enum
from typing import TYPE_CHECKING, Final

from integration_tests.harness.faultproxy.rules import Act, Rule
from integration_tests.harness.faults.ground import MIB
from integration_tests.harness.machine.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from integration_tests.harness.faultproxy.proxy import Request
    from integration_tests.harness.faults.ground import Case, Ground, Traffic

SHORT_FORM_STEP: Final = 8
WRITES: Final = "PUT|POST|DELETE"
READS: Final = "GET"
_FOREVER_S: Final = 3600.0
_MULTIPART: Final = {"chunk_size": "11MiB", "concurrency": "1"}
_ONE_BY_ONE: Final = {"concurrency": "1"}
_KEEP_ONE: Final = {"keep": "1", "orphan_age": "0s", **_ONE_BY_ONE}
_AFTER_LAST_S: Final = (0.0, 0.02, 0.1)
_SHOWN: Final = 3


class Moment(Enum):
    """When the kill comes, and the rule that holds the program there."""

    BEFORE = Act.DELAY
    AFTER = Act.STALL


def crash_matrix(ground: Ground, *, step: int = SHORT_FORM_STEP) -> None:
    """All rows, with every `step`-th point of each; 1 is the whole."""
    backup_row(ground, step)
    increment_row(ground, step)
    prune_row(ground, step)
    restore_row(ground, step)


def backup_row(ground: Ground, step: int) -> None:
    """A first backup: repository, source, a chunk in parts, a small one, index, manifest, head."""
    case = ground.case("crash-backup", size_bytes=12 * MIB)
    with ground.scripted() as traffic:
        case.check_done(case.backup(**_MULTIPART), "a backup, to count its writes")
        writes = _of(traffic, WRITES)
    for number, moment in _points(len(writes), step):
        cell = case.with_new_repository()
        text = f"backup killed {moment.name.lower()} {_named(number, writes)}"
        killed = _killed(ground, cell, cell.arguments, WRITES, number, moment, _MULTIPART)
        problems = [*killed, *_problems(cell, at_least=0)]
        run = cell.backup(**_MULTIPART)
        problems += [f"the rerun ends with {run.exit_code}: {run.err}"] if run.exit_code else []
        problems += [*_problems(cell, at_least=1), *_left_open(cell)]
        ground.check(not problems, text, problems[:_SHOWN])
        case = cell
    case.check_restores("the row of backups")


def increment_row(ground: Ground, step: int) -> None:
    """Each increment of a chain is killed once; the chain before it stays, and grows by one."""
    case = ground.case("crash-increment", size_bytes=2 * MIB)
    case.check_done(case.backup(), "the full backup below")
    case.grow(MIB // 2)
    with ground.scripted() as traffic:
        case.check_done(case.backup(**_ONE_BY_ONE), "an increment, to count its writes")
        writes = _of(traffic, WRITES)
    live = 2
    for number, moment in _points(len(writes), step):
        case.grow(MIB // 2)
        text = f"increment killed {moment.name.lower()} {_named(number, writes)}"
        killed = _killed(ground, case, case.arguments, WRITES, number, moment, _ONE_BY_ONE)
        problems = [*killed, *_problems(case, at_least=live)]
        run = case.backup(**_ONE_BY_ONE)
        problems += [f"the rerun ends with {run.exit_code}: {run.err}"] if run.exit_code else []
        live += 1
        problems += [*_problems(case, at_least=live), *_left_open(case)]
        ground.check(not problems, text, problems[:_SHOWN])
    case.check_restores("the row of increments")


def prune_row(ground: Ground, step: int) -> None:
    """Two of three backups go; what is left restores at any moment, and a rerun ends it."""
    case = ground.case("crash-prune", size_bytes=2 * MIB)
    for options in ((), (), ("--full",)):
        case.check_done(case.backup(*options), "a backup to prune, or to keep")
        case.grow(MIB // 2)
    saved = _Saved(case)
    with ground.scripted() as traffic:
        case.check_done(case.run("prune", **_KEEP_ONE), "a prune, to count its writes")
        writes = _of(traffic, WRITES)
    for number, moment in _points(len(writes), step):
        saved.put_back()
        text = f"prune killed {moment.name.lower()} {_named(number, writes)}"
        killed = _killed(ground, case, ("prune",), WRITES, number, moment, _KEEP_ONE)
        problems = [*killed, *_problems(case, at_least=1)]
        run = case.run("prune", **_KEEP_ONE)
        problems += [f"the rerun ends with {run.exit_code}: {run.err}"] if run.exit_code else []
        problems += [*_problems(case, at_least=1), *saved.unfinished()]
        ground.check(not problems, text, problems[:_SHOWN])
    case.check_restores("the row of prunes")


def restore_row(ground: Ground, step: int) -> None:
    """Three links: before, during and after each; the rerun ends with the right tree."""
    case = ground.case("crash-restore", size_bytes=2 * MIB)
    for _ in range(3):
        case.check_done(case.backup(), "a backup to restore")
        case.grow(MIB // 2)
    with ground.scripted() as traffic:
        case.check_restores("to count its reads")
        reads = _of(traffic, READS)
    for number, moment in _points(len(reads), step):
        text = f"restore killed {moment.name.lower()} {_named(number, reads)}"
        with _target(case) as directory:
            arguments = ("restore", case.name, "--target", str(directory))
            killed = _killed(ground, case, arguments, READS, number, moment, _ONE_BY_ONE)
            ground.check(not killed, text, killed)
            _restored_after(case, directory, text)
    for seconds in _AFTER_LAST_S:
        with _target(case) as directory:
            _killed_late(ground, case, directory, len(reads), seconds)
            _restored_after(case, directory, f"restore killed {seconds} s after its last read")


def _killed(
    ground: Ground,
    case: Case,
    arguments: Sequence[str],
    methods: str,
    number: int,
    moment: Moment,
    settings: dict[str, str],
) -> list[str]:
    """Kill a run at its `number`-th request of these methods; what went otherwise."""
    held = Rule(act=moment.value, method=methods, first=number, last=number, seconds=_FOREVER_S)
    handled = _handled(ground)
    with (
        ground.scripted(held) as traffic,
        case.started(*arguments, **settings, read_timeout="1h") as started,
    ):

        def reached() -> bool:
            if moment is Moment.AFTER:
                return bool(traffic.hit()) and _handled(ground) - handled >= len(traffic.requests())
            return bool(traffic.hit())

        wait_until(lambda: reached() or not started.running)
        run = started.kill()
    wait_until(lambda: not ground.processes())
    return [] if run.exit_code < 0 else [f"it was not reached: exit {run.exit_code}: {run.err}"]


def _killed_late(ground: Ground, case: Case, directory: Path, reads: int, seconds: float) -> None:
    """Kill a restore when all its answers have arrived, and so many seconds later."""
    arguments = ("restore", case.name, "--target", str(directory))
    with ground.scripted() as traffic, case.started(*arguments, **_ONE_BY_ONE) as started:
        wait_until(lambda: len(_of(traffic, READS)) >= reads or not started.running)
        time.sleep(seconds)
        started.kill()
    wait_until(lambda: not ground.processes())


def _restored_after(case: Case, directory: Path, text: str) -> None:
    """The same restore again: exact, and without anything beside it."""
    run = case.run("restore", case.name, "--target", str(directory))
    if case.check_done(run, f"{text}, again"):
        case.check_same(directory, text)
        left = [entry.name for entry in directory.iterdir()]
        case.ground.check(len(left) == 1, f"{text}: nothing else is left", left)


def _points(count: int, step: int) -> Iterator[tuple[int, Moment]]:
    """Every `step`-th point at both moments; alternating in the short form."""
    for number in range(1, count + 1):
        for shift, moment in enumerate(Moment):
            if (number - 1 + shift * step // 2) % step == 0:
                yield number, moment


def _problems(case: Case, *, at_least: int) -> list[str]:
    """What is wrong with the visible backups."""
    with case.stored() as repository:
        live = sum(len(head["backups"]) for head in repository.heads)
        missing = [f"only {live} backups are live"] if live < at_least else []
        return [*missing, *repository.linked(), *repository.damaged()]


def _left_open(case: Case) -> list[str]:
    """Multipart uploads that neither the rerun nor prune ended.

    Prune may be needed: of an upload whose answer got lost no journal knows.
    """
    if case.uploads():
        case.run("prune", orphan_age="0s")
    return [f"{key} is open" for key in case.uploads()]


def _of(traffic: Traffic, methods: str) -> list[Request]:
    return [request for request in traffic.requests() if request.method in methods.split("|")]


def _named(number: int, requests: Sequence[Request]) -> str:
    return f"{requests[number - 1].operation} ({number} of {len(requests)})"


def _handled(ground: Ground) -> int:
    """How many requests the service has worked on; it notes each before it answers."""
    log = ground.service.processes[0].log_path
    return log.read_text(errors="replace").count(" HTTP/1.1")


@contextlib.contextmanager
def _target(case: Case) -> Iterator[Path]:
    directory = case.new_target()
    try:
        yield directory
    finally:
        case.clear(directory)


class _Saved:
    """A repository and its local state at one moment, to be put back as often as wanted."""

    def __init__(self, case: Case) -> None:
        self._case = case
        with case.stored() as repository:
            self._objects = {key: repository.read(key) for key in repository.objects}
        self._state = case.state_dir.with_name(f"{case.state_dir.name}-saved")
        shutil.copytree(case.state_dir, self._state)

    def put_back(self) -> None:
        """As it was."""
        bucket, prefix = self._case.bucket, self._case.prefix
        with self._case.stored() as repository:
            for key in repository.objects:
                repository.client.delete_object(Bucket=bucket, Key=f"{prefix}/{key}")
            for key, data in self._objects.items():
                repository.client.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=data)
        shutil.rmtree(self._case.state_dir)
        shutil.copytree(self._state, self._case.state_dir)

    def unfinished(self) -> list[str]:
        """What a finished prune must not have left."""
        with self._case.stored() as repository:
            live = sum(len(head["backups"]) for head in repository.heads)
            return [f"{live} are live"] * (live != 1) + repository.orphans()
