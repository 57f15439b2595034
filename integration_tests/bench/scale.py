"""`bench scale`: what only looks at a repository of 10,000 backups and 1,000,000 chunks."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.host.identity import host_id, host_name
from integration_tests.bench import contenders as who
from integration_tests.bench.measure import Program, drop_caches, run
from integration_tests.bench.report import Report, machine
from integration_tests.bench.scale_data import ScaleSpec, write_repository
from integration_tests.harness.machine.loopback import LoopbackBtrfs
from integration_tests.harness.services.rclone import rclone_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration_tests.harness.services.service import Service

_SOURCES: Final = 10
_CHUNKS: Final = 100
_BUCKET: Final = "bench"
_MIB: Final = 1024 * 1024
_COMMANDS: Final = {
    "list": ["list"],
    "list --json": ["list", "--json"],
    "status": ["status"],
    "plan": ["-c", "config.toml", "plan"],
    "cost": ["cost"],
    "thaw plan of a chain of 30": ["thaw", "volume00@latest", "plan"],
}


def measure(folder: Path, backups: int, runs: int) -> Report:
    """Each command with no local state and with that of the run before, in turns."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    name = host_name(None)
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scale-", dir=folder)))
        state = work / "state"
        spec = ScaleSpec(_SOURCES, backups // _SOURCES, _CHUNKS, now, host_id(state), name)
        write_repository(work / "objects" / _BUCKET / who.PREFIX, spec)
        service = stack.enter_context(rclone_server(data=work / "objects"))
        filesystem = stack.enter_context(LoopbackBtrfs(work, size_bytes=256 * _MIB))
        config = work / "config.toml"
        source = filesystem.subvolume("new")
        config.write_text(f'keep = {{daily = 30}}\n[[sources]]\npath = "{source}"\n', "utf-8")
        report = Report(
            f"Scale: {spec.total_backups:,} backups, {spec.total_backups * _CHUNKS:,} chunks",
            {**machine(), "service": f"rclone serve s3 over {folder}"},
            [],
        )
        for _ in range(runs):
            for contender, program in _programs(service, state, config):
                shutil.rmtree(state, ignore_errors=True)
                drop_caches()
                report.add(f"{contender}, cold", run(program))
                report.add(f"{contender}, warm", run(program))
    return report


def _programs(service: Service, state: Path, config: Path) -> Iterator[tuple[str, Program]]:
    environment = who.environment(service, _BUCKET, state)
    for name, arguments in _COMMANDS.items():
        command = [str(config) if each == config.name else each for each in arguments]
        yield name, Program(who.OURS, command, environment, "btrfs_to_s3")
