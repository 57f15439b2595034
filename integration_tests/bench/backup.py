"""`bench backup`: a first full backup, ours and the peers', to the same service."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from integration_tests.bench import contenders as who
from integration_tests.bench.measure import drop_caches, run
from integration_tests.bench.places import sink_server
from integration_tests.bench.report import Ratio, Report, machine
from integration_tests.harness.services import rclone_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration_tests.bench.contenders import Contender
    from integration_tests.bench.places import Source
    from integration_tests.harness.services.service import Service

_OTHER_LEVEL = 3
_FLOOR = "btrfs send > /dev/null"
_SHELL = "btrfs send | zstd -T2 -1 | rclone rcat"
_TO_SINK = f"{who.OURS}, sink"
_TO_RCLONE = f"{who.OURS}, rclone"


@dataclass(frozen=True, slots=True)
class _Arena:
    """What every contender of one round gets: the source, the services, a bucket, a state."""

    source: Source
    rclone: Service
    sink: Service
    bucket: str
    state: Path


_CONTENDERS: tuple[Callable[[_Arena], Contender], ...] = (
    lambda arena: who.floor(arena.source),
    lambda arena: who.compressed_floor(arena.source),
    lambda arena: who.ours(arena.source, arena.sink, arena.bucket, arena.state),
    lambda arena: who.ours(arena.source, arena.sink, arena.bucket, arena.state, _OTHER_LEVEL),
    lambda arena: who.ours(arena.source, arena.rclone, arena.bucket, arena.state),
    lambda arena: who.pipeline(arena.source, arena.rclone, arena.bucket),
    lambda arena: who.btrfs2s3(arena.source, arena.rclone, arena.bucket, arena.state),
    lambda arena: who.restic(arena.source, arena.rclone, arena.bucket, arena.state),
)
"""Restic, the only one that may be missing, comes last."""


def measure(source: Source, folder: Path, runs: int, conditions: dict[str, str]) -> Report:
    """Run every contender once per round, its caches dropped before."""
    report = Report(
        "Backup: a first full backup",
        {
            **conditions,
            **machine(),
            "services": "`rclone serve s3` over the same place, and the discarding sink",
            "caches": "dropped before every run (sync; echo 3 > drop_caches)",
        },
        [
            Ratio(_TO_SINK, _FLOOR, "≤ 1.35"),
            Ratio(f"{_TO_SINK}, level {_OTHER_LEVEL}", _FLOOR, ""),
            Ratio(_SHELL, _TO_RCLONE, "≥ 1.4"),
            Ratio("btrfs2s3, zstd -T2 -1", _TO_RCLONE, "≥ 2"),
            Ratio("restic", _TO_RCLONE, "≥ 2"),
        ],
    )
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=folder)))
        objects = work / "objects"
        rclone = stack.enter_context(rclone_server(data=objects))
        sink = stack.enter_context(sink_server())
        for number in range(runs):
            print(f"round {number + 1} of {runs}", flush=True)
            for make in _CONTENDERS if shutil.which("restic") else _CONTENDERS[:-1]:
                bucket = f"bench-{secrets.token_hex(4)}"
                rclone.create_bucket(bucket)
                contender = make(_Arena(source, rclone, sink, bucket, work / "state"))
                contender.prepare()
                drop_caches()
                report.add(contender.name, run(*contender.programs))
                shutil.rmtree(objects / bucket)
                shutil.rmtree(work / "state", ignore_errors=True)
    return report
