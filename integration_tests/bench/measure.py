"""One run of a pipeline of programs: wall time, and CPU time and memory of each of them."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from integration_tests.bench.measured import peak_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from resource import struct_rusage

_MEASURED: Final = Path(__file__).with_name("measured.py")
_LOOK_MS: Final = 50
_LOG_TAIL: Final = 2000


class RunError(RuntimeError):
    """A measured program failed, so there is no measurement; the message holds its last words."""


@dataclass(frozen=True, slots=True)
class Program:
    """One command, or with `module` a Python module that `interpreter` runs.

    Of a module its children are told apart, and its memory is exactly its own.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    module: str | None = None
    interpreter: Path = Path(sys.executable)

    def command(self, out: Path) -> list[str]:
        """The command line; a Python module writes its cost to `out`."""
        if self.module is None:
            return list(self.arguments)
        return [
            *(str(self.interpreter), "-P", str(_MEASURED), str(out), self.module),
            *self.arguments,
        ]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run cost, by program. `load_before` is the machine's load average at its start.

    Peaks are of resident memory; those of programs other than Python modules are looked at twenty
    times a second, so growth in the last moment goes unseen.
    """

    wall_s: float
    cpu_s: Mapping[str, float]
    peak_bytes: Mapping[str, int]
    load_before: float


def drop_caches() -> None:
    """Write back, then forget page cache, dentries and inodes (proc_sys_vm(5)). Needs root.

    What lies in a tmpfs stays; so do an image and objects in /dev/shm, for every contender alike.
    """
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")


def run(*programs: Program) -> Sample:
    """Run programs as one pipeline into /dev/null; RunError unless every one exits 0."""
    load = os.getloadavg()[0]
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        children: list[subprocess.Popen[bytes]] = []
        peaks = dict.fromkeys((program.name for program in programs), 0)
        started = time.perf_counter()
        try:
            for number, program in enumerate(programs):
                last = number == len(programs) - 1
                children.append(_start(program, children[-1:], folder, last=last))
            _wait(dict(zip(peaks, children, strict=True)), peaks)
        finally:
            wall_s = time.perf_counter() - started
            for child in children:
                os.kill(child.pid, signal.SIGKILL)  # in vain on one that has ended
            usages = [_reap(child) for child in children]
        for program, child in zip(programs, children, strict=True):
            if child.returncode:
                said = _log(folder, program).read_text(errors="replace")[-_LOG_TAIL:]
                raise RunError(f"{program.name} ended with {child.returncode}: {said}")
        cpu_s: dict[str, float] = {}
        for program, usage in zip(programs, usages, strict=True):
            if program.module is None:
                cpu_s[program.name] = usage.ru_utime + usage.ru_stime
            else:
                cost = json.loads(_cost(folder, program).read_text(encoding="ascii"))
                cpu_s[program.name] = cost["cpu_self_s"]
                cpu_s["its children"] = cost["cpu_children_s"]
                peaks[program.name] = cost["peak_bytes"]
        return Sample(wall_s, cpu_s, peaks, load)


def _start(
    program: Program, before: Sequence[subprocess.Popen[bytes]], folder: Path, *, last: bool
) -> subprocess.Popen[bytes]:
    """Start a program that reads what the one before it writes."""
    source = before[0].stdout if before else None
    with _log(folder, program).open("wb") as log:
        child = subprocess.Popen(
            program.command(_cost(folder, program)),
            stdin=source or subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if last else subprocess.PIPE,
            stderr=log,
            env={**os.environ, **program.environment},
        )
    if source is not None:
        source.close()
    return child


def _wait(children: Mapping[str, subprocess.Popen[bytes]], peaks: dict[str, int]) -> None:
    """Wait until all have ended; not yet reaped, so that each can still be asked for its memory.

    ru_maxrss would not do: a child inherits its parent's across vfork (getrusage(2)).
    """
    with ExitStack() as stack:
        poller = select.poll()
        running: dict[int, str] = {}
        for name, child in children.items():
            descriptor = os.pidfd_open(child.pid)
            stack.callback(os.close, descriptor)
            poller.register(descriptor, select.POLLIN)
            running[descriptor] = name
        while running:
            for descriptor, _ in poller.poll(_LOOK_MS):
                poller.unregister(descriptor)
                del running[descriptor]
            for name in running.values():
                peaks[name] = max(peaks[name], peak_bytes(children[name].pid))


def _reap(child: subprocess.Popen[bytes]) -> struct_rusage:
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage


def _log(folder: Path, program: Program) -> Path:
    return folder / f"{program.name}.log"


def _cost(folder: Path, program: Program) -> Path:
    return folder / f"{program.name}.json"
