"""`python -m integration_tests.bench WHAT...`: measure, print tables, keep JSON. Needs root."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from integration_tests.bench import backup, memory, restore, scale
from integration_tests.bench.places import SHARED_MEMORY, DataSpec, choose_folder, seeded
from integration_tests.harness.machine.loopback import why_unavailable
from integration_tests.harness.machine.state import sweep

if TYPE_CHECKING:
    from integration_tests.bench.report import Report

_MB, _GB = 1000**2, 1000**3
_UNITS = {"MB": _MB, "GB": _GB}


def _size(text: str) -> int:
    number, unit = text[:-2], text[-2:].upper()
    if not number.isdigit() or unit not in _UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 500MB or 5GB")
    return int(number) * _UNITS[unit]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m integration_tests.bench", description=__doc__)
    parser.add_argument("what", nargs="+", choices=["backup", "restore", "memory", "scale"])
    parser.add_argument("--files", type=int, default=125_000, help="[default: 125000]")
    parser.add_argument("--bytes", type=_size, default=5 * _GB, help="[default: 5GB]")
    parser.add_argument("--runs", type=int, default=3, help="rounds [default: 3]")
    parser.add_argument("--quick", action="store_true", help="small data, one round")
    parser.add_argument(
        "--directory", type=Path, help="for images and objects [default: /dev/shm if it has room]"
    )
    parser.add_argument(
        "--streams", type=_size, nargs="+", default=[_GB, 10 * _GB, 50 * _GB], help="for memory"
    )
    parser.add_argument(
        "--backups", type=int, default=10_000, help="for scale; 100 chunks each [default: 10000]"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.backups = 600
        arguments.files, arguments.bytes, arguments.runs = 5_000, 300 * _MB, 1
        arguments.streams = [300 * _MB, _GB]
    return arguments


def _on_data(arguments: argparse.Namespace) -> list[tuple[str, Report]]:
    """`backup` and `restore`, which share the source."""
    if (reason := why_unavailable()) is not None:
        sys.exit(f"bench: {reason}")
    sweep()
    spec = DataSpec(arguments.files, arguments.bytes)
    folder = choose_folder(arguments.directory, spec.size_bytes)
    conditions = {
        "command": f"`python -m integration_tests.bench {shlex.join(sys.argv[1:])}`",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "data": f"{spec.size_bytes / _GB:g} GB in {spec.files} files, on a loopback Btrfs",
        "place of images and objects": str(folder),
        "load average at the start": f"{os.getloadavg()[0]:.1f}",
        "rounds, interleaved": str(arguments.runs),
    }
    reports = []
    with ExitStack() as service:
        with seeded(spec, folder) as source:
            if "backup" in arguments.what:
                reports.append(
                    ("backup", backup.measure(source, folder, arguments.runs, conditions))
                )
            if "restore" in arguments.what:
                held = service.enter_context(restore.stored(source, folder))
        # The source is gone here: only the service's objects and the target take room.
        if "restore" in arguments.what:
            reports.append(("restore", restore.measure(held, arguments.runs, conditions)))
    return reports


def main() -> None:
    """Measure what was asked for."""
    arguments = _parse()
    reports = _on_data(arguments) if {"backup", "restore"} & set(arguments.what) else []
    if "memory" in arguments.what:
        reports.append(("memory", memory.measure(arguments.streams)))
    if "scale" in arguments.what:
        folder = arguments.directory or SHARED_MEMORY
        reports.append(("scale", scale.measure(folder, arguments.backups, arguments.runs)))
    for name, report in reports:
        print(f"\n{report.table()}\n{report.save(name)}")


if __name__ == "__main__":
    main()
