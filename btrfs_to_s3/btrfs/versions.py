"""What this machine's kernel and btrfs-progs can do."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Final

from btrfs_to_s3.btrfs.process import environment, find_program
from btrfs_to_s3.errors import SourceError, UsageError
from btrfs_to_s3.model.subvolume import SendOptions
from btrfs_to_s3.model.versions import numbers

PROTOCOL_1: Final = SendOptions(protocol=1, compressed_data=False)
PROTOCOL_2: Final = SendOptions(protocol=2, compressed_data=True)
_STREAM_VERSION_FILE: Final = Path("/sys/fs/btrfs/features/send_stream_version")
_KERNEL_NEEDED: Final = (6, 0)
_PROGS_NEEDED: Final = (6, 0, 2)
_TIMEOUT_S: Final = 30.0


def kernel_release() -> str:
    """``uname -r``."""
    return os.uname().release


def progs_version(program: str) -> str:
    """The version ``btrfs --version`` prints, such as ``6.2``; ``SourceError`` without one."""
    path = find_program(program, "btrfs-progs")
    done = subprocess.run(
        [path, "--version"],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
        env=environment(),
    )
    match = re.search(r"btrfs-progs v(\S+)", done.stdout)
    if match is None:
        raise SourceError(
            f"{path} --version does not say which btrfs-progs it is",
            hint="apt install btrfs-progs",
            output=done.stdout + done.stderr,
        )
    return match[1]


def kernel_stream_version() -> int:
    """The highest send protocol of the running kernel (sysfs, Linux 5.16; 1 where absent)."""
    try:
        return int(_STREAM_VERSION_FILE.read_text())
    except FileNotFoundError:
        return 1


def choose_send_options(
    wanted: str, *, stream_version: int, kernel: str, progs: str
) -> SendOptions:
    """Options for ``auto``, ``1`` or ``2``.

    Protocol 2 needs Linux 6.0 with ``stream_version`` ≥ 2 and progs 6.0.2 (earlier 6.0 releases
    received it wrongly); ``UsageError`` when it is demanded without them.
    """
    if wanted == "1":
        return PROTOCOL_1
    if wanted not in {"auto", "2"}:
        raise UsageError(f"{wanted!r} is not a send protocol", hint="auto, 1 or 2")
    able = (
        stream_version >= PROTOCOL_2.protocol
        and numbers(kernel) >= _KERNEL_NEEDED
        and numbers(progs) >= _PROGS_NEEDED
    )
    if wanted == "2" and not able:
        raise UsageError(
            f"send protocol 2 needs Linux 6.0 and btrfs-progs 6.0.2; here are {kernel} and {progs}",
            hint='protocol = "auto" takes the newest that works',
            kernel=kernel,
            progs=progs,
        )
    return PROTOCOL_2 if able else PROTOCOL_1
