"""`bench memory`: peak memory and CPU time by the stream's size; both must not grow with it."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from integration_tests.bench import contenders as who
from integration_tests.bench.measure import Program, run
from integration_tests.bench.places import sink_server
from integration_tests.bench.report import Report, machine

if TYPE_CHECKING:
    from collections.abc import Sequence

_GB: Final = 1000**3


def measure(sizes_bytes: Sequence[int]) -> Report:
    """Send each stream up to a sink that keeps equal parts once, and bring it down again."""
    report = Report(
        "Memory: synthetic streams, default settings, wanted ≤ 220 MiB",
        {
            **machine(),
            "service": "the sink, which keeps equal parts once",
            "stream": "64 KiB WRITE commands, every other one compressible 4:1",
        },
        [],
    )
    for size in sizes_bytes:
        with ExitStack() as stack:
            service = stack.enter_context(sink_server(keep=True))
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            for direction in ("upload", "download"):
                arguments = [direction, str(work / "records"), str(size)]
                program = Program(
                    who.OURS,
                    arguments,
                    who.environment(service, "bench", work / "state"),
                    "integration_tests.bench.synthetic",
                )
                report.add(f"{direction}, {size / _GB:g} GB", run(program))
    return report
