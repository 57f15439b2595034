"""The service manager that started this run: it is told how the run goes (sd_notify(3)).

systemd names a datagram socket in NOTIFY_SOCKET, a path or, after ``@``, an abstract name, and
takes ``NAME=value`` lines from it. With a watchdog it also sets WATCHDOG_USEC, and WATCHDOG_PID
for whom that is meant (sd_watchdog_enabled(3)). Nothing here can fail a run.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

_SEND_TIMEOUT_S: Final = 1.0
"""The socket's queue may be full for a moment; systemd empties it."""
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Supervisor:
    """``watchdog_s``: a run that says nothing for so long is ended; None without a watchdog."""

    address: str
    watchdog_s: float | None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self | None:
        """Who started this run, None when it was nobody that wants to know."""
        name = environ.get("NOTIFY_SOCKET", "")
        if name.startswith("@"):
            return cls(f"\0{name[1:]}", _watchdog_s(environ))
        return cls(name, _watchdog_s(environ)) if name.startswith("/") else None

    def tell(self, *lines: str) -> bool:
        """Send ``NAME=value`` lines in one message; whether it was taken. Thread-safe."""
        message = "\n".join(" ".join(line.splitlines()) for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
                to.settimeout(_SEND_TIMEOUT_S)
                to.sendto(message.encode(errors="replace"), self.address)
        except (OSError, ValueError):
            return False
        return True


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    microseconds = int(text) if text.isascii() and text.isdigit() else 0
    return microseconds / _MICROSECONDS if microseconds else None
