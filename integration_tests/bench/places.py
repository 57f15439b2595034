"""Where a benchmark runs: the folder, the source filesystem, the sink."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from integration_tests.harness.machine.loopback import LoopbackBtrfs
from integration_tests.harness.services.paths import (
    REPOSITORY,
    run_directory,
    working_directory,
)
from integration_tests.harness.services.process import ServerProcess, reserve_port
from integration_tests.harness.services.service import Service
from integration_tests.harness.trees.seed import SeedSpec, seed_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a tmpfs on purpose: no disk in the figures
_MIB: Final = 1024 * 1024
_COPIES: Final = 4
"""The source, what a service holds of it, a received copy, and room for the rest."""


@dataclass(frozen=True, slots=True)
class DataSpec:
    """The tree that is backed up: half of the bytes in 20 large files, half of them 4:1."""

    files: int
    size_bytes: int

    @property
    def seed(self) -> SeedSpec:
        """How the harness makes it."""
        return SeedSpec(
            seed=1,
            file_count=self.files,
            total_bytes=self.size_bytes,
            large_files=min(20, self.files),
            special=False,
        )

    @property
    def image_bytes(self) -> int:
        """The apparent size of an image that holds it."""
        return 2 * self.size_bytes + self.files * 4096 + 1024 * _MIB


def choose_folder(wanted: Path | None, size_bytes: int) -> Path:
    """Where images and objects go: as wanted, else memory if there is plenty, else the disk."""
    if wanted is not None:
        return wanted.absolute()
    free = 1024 * int(_memory()["MemAvailable"].split()[0])
    return SHARED_MEMORY if free > _COPIES * size_bytes else run_directory()


def _memory() -> dict[str, str]:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return dict(line.split(":", 1) for line in lines)


@dataclass(frozen=True, slots=True)
class Source:
    """The mounted source filesystem: a subvolume, and a read-only snapshot of it."""

    filesystem: LoopbackBtrfs
    subvolume: Path
    snapshot: Path


@contextlib.contextmanager
def seeded(spec: DataSpec, folder: Path) -> Iterator[Source]:
    """Make the source filesystem; it is gone afterwards."""
    with LoopbackBtrfs(folder, size_bytes=spec.image_bytes) as filesystem:
        subvolume = filesystem.subvolume("data")
        seed_tree(subvolume, spec.seed)
        filesystem.sync()
        yield Source(filesystem, subvolume, filesystem.snapshot(subvolume, "data.snapshot"))


@contextlib.contextmanager
def sink_server(*, keep: bool = False) -> Iterator[Service]:
    """Run the sink as a process of its own."""
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(working_directory("sink", None))
        port = reserve_port(stack)
        command = [sys.executable, "-m", "integration_tests.bench.sink", str(port)]
        server = ServerProcess(
            [*command, *(["--keep"] if keep else [])],
            log_path=work / "sink.log",
            environment={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
        )
        service = Service(
            name="sink",
            endpoint_url=f"http://127.0.0.1:{port}",
            access_key="sink",
            secret_key="any",  # noqa: S106 - the sink looks at no signature
            directory=work,
            processes=(server,),
        )
        stack.enter_context(service.running())
        yield service
