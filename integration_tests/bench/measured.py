"""Run a Python module as a program, then write what it and its children cost.

`python -P measured.py OUT MODULE [ARGUMENT...]`. It needs the standard library only, so that any
environment can run it. OUT gets JSON: CPU seconds of the process alone, of the children it waited
for, and its own peak of resident memory (VmHWM, proc_pid_status(5)) in bytes.
"""

from __future__ import annotations

import json
import resource
import runpy
import sys
from pathlib import Path


def peak_bytes(pid: int | str = "self") -> int:
    """Peak resident memory of a process since its exec; 0 of one that has ended."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(who: int) -> float:
    """User and system time."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Run the module; its exit code is ours."""
    out, module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        cost = {
            "cpu_self_s": cpu_seconds(resource.RUSAGE_SELF),
            "cpu_children_s": cpu_seconds(resource.RUSAGE_CHILDREN),
            "peak_bytes": peak_bytes(),
        }
        Path(out).write_text(json.dumps(cost), encoding="ascii")


if __name__ == "__main__":
    main()
