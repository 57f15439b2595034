"""Many sources of many sizes, backed up side by side within one memory limit.

One run at a time is the rule per repository and host (an flock in the state directory), so each
source is a host of its own here, with its own state directory; the repository is the same.
"""

from __future__ import annotations

import concurrent.futures
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psutil

from integration_tests.harness.machine import devices
from integration_tests.harness.scripting.program import Program
from integration_tests.harness.trees.compare import Fidelity, compare_trees
from integration_tests.harness.trees.seed import SeedSpec, seed_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from integration_tests.harness.machine.cgroup import MemoryGroup
    from integration_tests.harness.scripting.program import Run

MIB: Final = 1024**2
_SMALL_BYTES: Final = (1 * MIB, 25 * MIB)
_BYTES_PER_FILE: Final = 256 * 1024
_HOG_EXCESS_BYTES: Final = 64 * MIB
_HOG: Final = "import sys; data = b'x' * int(sys.argv[1])"
_WATCH_EVERY_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Source:
    """One subvolume and how many bytes its files hold."""

    path: Path
    size_bytes: int


@dataclass(slots=True)
class Watch:
    """What was seen of the group while it worked; `together` is the most programs at once."""

    group: MemoryGroup
    anonymous_bytes: int = 0
    together: int = 0

    def look(self, stop: threading.Event) -> None:
        """Look until it is time to stop."""
        while not stop.wait(_WATCH_EVERY_S):
            ours = self.group.pids() & {child.pid for child in psutil.Process().children()}
            self.together = max(self.together, len(ours))
            self.anonymous_bytes = max(self.anonymous_bytes, self.group.anonymous_bytes)


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of it, by source."""

    runs: Mapping[Source, Run]
    seconds: float
    watch: Watch

    @property
    def failures(self) -> dict[str, int]:
        """The exit codes of the sources that were not backed up."""
        return {
            source.path.name: run.exit_code
            for source, run in self.runs.items()
            if run.exit_code != 0 or not run.first.get("backup")
        }

    def figures(self) -> dict[str, Any]:
        """What is worth recording; the peak with the page cache cannot exceed the limit."""
        size = sum(source.size_bytes for source in self.runs)
        peaks = [run.document.get("peak_memory_bytes") or 0 for run in self.runs.values()]
        return {
            "sources": len(self.runs),
            "bytes": size,
            "seconds": round(self.seconds, 1),
            "throughput_mib_per_s": round(size / MIB / self.seconds, 1),
            "limit_mib": self.watch.group.limit_bytes // MIB,
            "peak_with_page_cache_mib": self.watch.group.peak_bytes // MIB,
            "peak_without_page_cache_mib": self.watch.anonymous_bytes // MIB,
            "peak_of_one_program_mib": max(peaks, default=0) // MIB,
            "programs_at_once": self.watch.together,
        }


def make_sources(root: Path, count: int, large_bytes: int, seed: int) -> list[Source]:
    """Seed `count` subvolumes of 1 MiB to 25 MiB below `root`, and a last one of `large_bytes`."""
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    sizes = [rng.randint(*_SMALL_BYTES) for _ in range(count)]
    made = []
    for number, size in enumerate([*sizes, large_bytes]):
        path = root / f"source-{number:02}"
        devices.run("btrfs", "subvolume", "create", path)
        files = max(1, size // _BYTES_PER_FILE)
        spec = SeedSpec(
            seed=seed + number,
            file_count=files,
            total_bytes=size,
            large_files=min(2, files),
            special=number % 4 == 0,
        )
        seed_tree(path, spec)
        made.append(Source(path, size))
    return made


def back_up(
    program: Program,
    sources: Sequence[Source],
    group: MemoryGroup,
    workers: int,
    say: Callable[[str], None],
) -> Batch:
    """Back all sources up inside the group, the largest first, `workers` at a time."""
    watch, stop = Watch(group), threading.Event()
    watching = threading.Thread(target=watch.look, args=[stop])
    watching.start()
    started = time.monotonic()
    runs: dict[Source, Run] = {}
    try:
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            by_size = sorted(sources, key=lambda source: -source.size_bytes)
            waiting = {pool.submit(_back_up, program, group, one): one for one in by_size}
            for done in concurrent.futures.as_completed(waiting):
                source, run = waiting[done], done.result()
                runs[source] = run
                say(
                    f"{len(runs):>3}/{len(sources)}  {source.path.name}  "
                    f"{source.size_bytes / MIB:6.1f} MiB  {run.seconds:5.1f} s  "
                    f"exit {run.exit_code}"
                )
    finally:
        stop.set()
        watching.join()
    return Batch(runs, time.monotonic() - started, watch)


def _back_up(program: Program, group: MemoryGroup, source: Source) -> Run:
    name = source.path.name
    state = program.environment["BTRFS_TO_S3_STATE_DIR"]
    own = Program(
        group.command(program.command), program.environment, program.logs / name
    ).with_settings(host=f"host-{name}", state_dir=f"{state}/{name}")
    return own.run("backup", str(source.path))


def is_in_force(group: MemoryGroup) -> bool:
    """Whether the kernel kills a process of the group that uses more memory than the group may."""
    too_much = str(group.limit_bytes + _HOG_EXCESS_BYTES)
    before = group.kills
    ended = subprocess.run(group.command([sys.executable, "-c", _HOG, too_much]), check=False)
    return ended.returncode == -signal.SIGKILL and group.kills > before


def restore_and_compare(program: Program, source: Source, target: Path) -> str:
    """How a restored source differs from the source, which has not changed since; empty if not."""
    label = source.path.name
    run = program.run("restore", label, "--target", str(target))
    if run.exit_code != 0:
        return f"restore of {label} ended with {run.exit_code}: {run.err}"
    restored = target / run.document["snapshot"]
    differences = compare_trees(source.path, restored, fidelity=Fidelity.EXACT)
    return "; ".join(map(str, differences))
