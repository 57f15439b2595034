"""`bench restore`: the same stream back from the same service into a fresh Btrfs."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from integration_tests.bench import contenders as who
from integration_tests.bench.contenders import Contender
from integration_tests.bench.measure import Program, drop_caches, run
from integration_tests.bench.report import Ratio, Report, machine
from integration_tests.harness.machine.loopback import LoopbackBtrfs
from integration_tests.harness.services import rclone_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration_tests.bench.places import Source
    from integration_tests.harness.services.service import Service

_BUCKET = "bench"
_SHELL = "rclone cat | zstd -d | btrfs receive; sync"


@dataclass(frozen=True, slots=True)
class Stored:
    """A service that holds the stream twice: as our repository, and as the pipeline's object."""

    service: Service
    work: Path
    image_bytes: int


@contextmanager
def stored(source: Source, folder: Path) -> Iterator[Stored]:
    """Back up to a service of its own, both ways; untimed."""
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=folder)))
        service = stack.enter_context(rclone_server(data=work / "objects"))
        service.create_bucket(_BUCKET)
        for contender in (
            who.ours(source, service, _BUCKET, work / "state"),
            who.pipeline(source, service, _BUCKET),
        ):
            contender.prepare()
            run(*contender.programs)
        yield Stored(service, work, source.filesystem.size_bytes)


def measure(held: Stored, runs: int, conditions: dict[str, str]) -> Report:
    """Restore both ways in every round, each into a new filesystem, to the end of a sync."""
    report = Report(
        "Restore: the full backup into an empty filesystem",
        {
            **conditions,
            **machine(),
            "service": "`rclone serve s3` over the same place",
            "caches": "dropped before every run; both end with the target filesystem synced",
        },
        [Ratio(f"{who.OURS} restore", _SHELL, "≤ 1.2")],
    )
    for number in range(runs):
        print(f"round {number + 1} of {runs}", flush=True)
        for make in (_shell, _ours):
            with LoopbackBtrfs(held.work, size_bytes=held.image_bytes) as target:
                contender = make(held, target)
                contender.prepare()
                drop_caches()
                report.add(contender.name, run(*contender.programs))
    return report


def _shell(held: Stored, target: LoopbackBtrfs) -> Contender:
    receive = 'btrfs -q receive "$0" && btrfs filesystem sync "$0"'
    return Contender(
        _SHELL,
        [
            who.rclone(held.service, "cat", _BUCKET),
            Program("zstd", ["zstd", "-q", "-d"]),
            Program("btrfs receive", ["sh", "-c", receive, str(target.mount_point)]),
        ],
    )


def _ours(held: Stored, target: LoopbackBtrfs) -> Contender:
    state = held.work / "state"
    return Contender(
        f"{who.OURS} restore",
        [
            Program(
                who.OURS,
                ["--no-progress", "restore", "data", "--target", str(target.mount_point)],
                who.environment(held.service, _BUCKET, state),
                "btrfs_to_s3",
            )
        ],
        lambda: shutil.rmtree(state, ignore_errors=True),
    )
