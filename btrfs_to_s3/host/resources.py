"""What this run has used, for its summary."""

from __future__ import annotations

import re
from pathlib import Path

_STATUS = Path("/proc/self/status")
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def peak_memory_bytes() -> int | None:
    """The largest resident set of this process so far (proc(5), VmHWM); None if unknown.

    Not getrusage(2): its maximum survives execve, so a large parent would be counted as ours.
    """
    try:
        match = _PEAK.search(_STATUS.read_text("ascii"))
    except (OSError, ValueError):
        return None
    return int(match[1]) * 1024 if match else None
