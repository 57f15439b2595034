"""A service manager's notification socket, as systemd has one (sd_notify(3))."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_POLL_S = 0.05


class Manager:
    """What was told so far, as lines with the time they came."""

    def __init__(self, listening: socket.socket, name: str) -> None:
        self.name = name
        self._socket = listening
        self._socket.setblocking(False)
        self._heard: list[tuple[float, str]] = []

    @property
    def heard(self) -> list[tuple[float, str]]:
        """Every line, with the time at which it was read."""
        while True:
            try:
                message = self._socket.recv(65536).decode()
            except BlockingIOError:
                return self._heard
            self._heard += [(time.monotonic(), line) for line in message.split("\n")]

    @property
    def lines(self) -> list[str]:
        """Every line."""
        return [line for _, line in self.heard]

    def pings(self) -> int:
        """How often the watchdog was told that the work is alive."""
        return self.lines.count("WATCHDOG=1")

    def wait_for(self, wanted: Callable[[str], bool], timeout_s: float = 30.0) -> str:
        """The first line of that kind; ``AssertionError`` with all lines if none comes."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = next(filter(wanted, self.lines), None)
            if found is not None:
                return found
            time.sleep(_POLL_S)
        raise AssertionError(self.lines)


@contextmanager
def manager(*, abstract: bool = False) -> Iterator[Manager]:
    """A manager that listens; ``name`` is what NOTIFY_SOCKET holds."""
    with (
        TemporaryDirectory() as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening,
    ):
        path = str(Path(directory, "notify"))
        listening.bind(f"\0{path}" if abstract else path)
        yield Manager(listening, f"@{path}" if abstract else path)
