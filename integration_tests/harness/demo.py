"""The demonstration: a full backup, changes, an incremental one, a restore, and an exact look.

Run it with ``integration_tests/bootstrap.sh demo``. It makes its own filesystems and its own S3
service, and leaves nothing of them behind; the program's output stays below ``run/demo``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from integration_tests.harness.machine.loopback import LoopbackBtrfs, why_unavailable
from integration_tests.harness.machine.state import sweep
from integration_tests.harness.services.moto import moto_server
from integration_tests.harness.services.paths import run_directory
from integration_tests.harness.trees.compare import Comparison, compare_fully
from integration_tests.harness.trees.mutate import mutate_tree
from integration_tests.harness.trees.seed import SeedSpec, seed_tree

if TYPE_CHECKING:
    from pathlib import Path

SPEC = SeedSpec(seed=20261121, file_count=2000, total_bytes=96 * 1024**2)
FILESYSTEM_BYTES = 2 * 1024**3
MUTATIONS = 60
_MIB = 1024 * 1024


@dataclass(slots=True)
class Demo:
    """Runs the program and keeps a line of the table for each step."""

    directory: Path
    environment: dict[str, str]
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    failures: int = 0

    def program(self, step: str, *arguments: str) -> dict[str, Any]:
        """Run the program; its JSON document. A failure is shown and counted."""
        started = time.monotonic()
        command = [sys.executable, "-m", "btrfs_to_s3", "--json", *arguments]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        seconds = time.monotonic() - started
        name = step.replace(" ", "-")
        (self.directory / f"{name}.json").write_text(done.stdout)
        (self.directory / f"{name}.log").write_text(done.stderr)
        if done.returncode:
            self.failures += 1
            print(f"$ btrfs-to-s3 {' '.join(arguments)}\n{done.stderr}{done.stdout}")
        document: dict[str, Any] = json.loads(done.stdout or "{}")
        self.rows.append((step, f"exit {done.returncode}", f"{seconds:.1f} s"))
        return document

    def compared(self, step: str, found: Comparison) -> None:
        """Add the result of a comparison."""
        self.failures += bool(found.differences)
        for difference in found.differences[:20]:
            print(f"DIFFERENCE {difference}")
        count = len(found.differences)
        self.rows.append((step, "identical" if not count else f"{count} differences", ""))

    def show(self) -> None:
        """Print the table."""
        widths = [max(len(row[column]) for row in self.rows) for column in range(3)]
        print()
        for row in self.rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            print("  " + "  ".join(cells).rstrip())


def run(demo: Demo, source: LoopbackBtrfs, target: LoopbackBtrfs) -> None:
    """Walk the whole way; the table is filled on the way."""
    data = source.subvolume("data")
    seed_tree(data, SPEC)
    demo.program("full backup", "backup", str(data))
    before = source.snapshot(data, "as-first-backed-up")
    changes = mutate_tree(data, seed=1, count=MUTATIONS)
    demo.program("incremental backup", "backup", str(data))
    listed = demo.program("list", "list")
    demo.program("verify every byte", "verify", "--level", "data")
    demo.program(
        "restore", "restore", "data", "--target", str(target.mount_point), "--writable", "restored"
    )
    restored = target.mount_point / "restored"
    if restored.is_dir():
        found = compare_fully(data, restored)
        demo.compared("restored and source", found)
        lost = sorted({difference.aspect.value for difference in found.not_carried})
        if lost:
            print(f"btrfs send does not carry: {', '.join(lost)} (listed, not compared)")
    first = listed["sources"][0]["backups"][0]["backup_id"] if listed.get("sources") else ""
    older = target.mount_point / "older"
    older.mkdir()
    demo.program("restore the first", "restore", f"data@{first}", "--target", str(older))
    for snapshot in older.iterdir():
        demo.compared("first backup as it was", compare_fully(before, snapshot))
    print(
        f"{len(changes)} changes between the two backups, of {len({c.kind for c in changes})} kinds"
    )


def main() -> int:
    """Run the demonstration; 0 only when everything came back exactly."""
    reason = why_unavailable()
    if reason is not None:
        print(f"the demonstration needs a loopback Btrfs: {reason}", file=sys.stderr)
        return 1
    sweep()
    directory = run_directory() / "demo" / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    directory.mkdir(parents=True)
    with (
        moto_server() as service,
        LoopbackBtrfs(size_bytes=FILESYSTEM_BYTES, options=["compress=zstd"]) as source,
        LoopbackBtrfs(size_bytes=FILESYSTEM_BYTES) as target,
    ):
        bucket = service.create_bucket()
        environment = {
            **os.environ,
            **service.environment(),
            "BTRFS_TO_S3_URL": f"s3://{bucket}/demo",
            "BTRFS_TO_S3_STATE_DIR": str(directory / "state"),
            "BTRFS_TO_S3_CHUNK_SIZE": "32MiB",
        }
        demo = Demo(directory, environment)
        run(demo, source, target)
    demo.show()
    print(f"\nOutput of every step: {directory}")
    print("Everything came back exactly." if not demo.failures else "FAILED: see above.")
    return 1 if demo.failures else 0


if __name__ == "__main__":
    sys.exit(main())
