"""Keeps the machine from going to sleep while a run needs it."""

from __future__ import annotations

import contextlib
import logging
import subprocess
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.host.environment import environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_log = logging.getLogger(__name__)
_WHAT: Final = "sleep:idle"
_END_TIMEOUT_S: Final = 2.0
_PASSED_ON: Final = ("DBUS_SYSTEM_BUS_ADDRESS", "XDG_SESSION_ID")


@contextlib.contextmanager
def awake(why: str, program: str = "systemd-inhibit") -> Iterator[None]:
    """Within the block logind is asked not to let the machine sleep, alone or on request.

    systemd-inhibit(1) holds the lock as long as its command runs, which is a ``cat`` that reads a
    pipe of ours: however this process ends, the kernel closes the pipe and the lock is let go. A
    machine without logind, or where the user has no right to such a lock, sleeps as it likes:
    nothing here fails a run. Closing the lid still puts a laptop to sleep (logind.conf(5),
    LidSwitchIgnoreInhibited).
    """
    child = _start(
        [program, f"--what={_WHAT}", "--mode=block", "--who=btrfs-to-s3", f"--why={why}", "cat"]
    )
    try:
        yield
    finally:
        if child is not None:
            _end(child)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes] | None:
    """The child, out of the terminal's reach: Ctrl-C is for this program alone."""
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            env=environment(*_PASSED_ON),
            start_new_session=True,
        )
    except OSError as error:
        _log.debug("the machine may go to sleep: %s: %s", command[0], error.strerror)
        return None


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let the lock go and reap the child, whatever it does."""
    try:
        _, said = child.communicate(timeout=_END_TIMEOUT_S)
    except (subprocess.TimeoutExpired, OSError):
        child.kill()
        # No more is read: what it started may still hold its standard error.
        child.wait()
        said = b""
    finally:
        for pipe in (child.stdin, child.stderr):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
    if child.returncode != 0:
        text = said.decode(errors="replace").strip() or f"exit code {child.returncode}"
        _log.debug("the machine could have gone to sleep: %s", text)
