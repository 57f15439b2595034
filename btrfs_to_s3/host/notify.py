"""Telling people, through apprise (the extra ``notify``).

apprise works in a process of its own: it takes long to load, its services may hang, and a pool of
threads that it leaves behind would keep this program from ending. Addresses hold passwords: they go
to that process through a pipe, what it logs goes nowhere, and errors name only an address's scheme
and its place in the list.

This file, run as a program, is that process: it reads a JSON object (``urls``, ``title``,
``body``, ``failure``) and writes a line for each address once that is done with: its place, and
true if the notification was taken, else why not.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ENDED_WITHIN_S: Final = 1.0
INSTALL = f"{sys.executable} -m pip install 'btrfs-to-s3[notify]'"
"""The command for this very installation: another pip would install it beside."""


@dataclass(frozen=True, slots=True)
class Notification:
    """What people are told; ``failure`` for how apprise colours it."""

    title: str
    body: str
    failure: bool


def is_installed() -> bool:
    """Whether there is an apprise."""
    return importlib.util.find_spec("apprise") is not None


def unusable(urls: Sequence[str]) -> tuple[str, ...]:
    """The addresses that apprise makes nothing of, as they may be named; needs apprise."""
    return tuple(named(urls, at) for at, url in enumerate(urls) if not _apprise().add(url))


def named(urls: Sequence[str], at: int) -> str:
    """An address as it may be shown: ``number 2 (mailto://)``."""
    return f"number {at + 1} ({urls[at].partition('://')[0]}://)"


class Notifier(threading.Thread):
    """Tells everybody; done when the thread has ended. ``OSError`` where no process can be started.

    ``warn`` is told, in that thread, who could not be told. ``close`` must be called.
    """

    def __init__(
        self, urls: Sequence[str], notification: Notification, warn: Callable[[str], None]
    ) -> None:
        super().__init__(name="the notifications", daemon=True)
        self._urls = urls
        self._warn = warn
        self._request = json.dumps({"urls": list(urls), **asdict(notification)})
        # -P, and no -m: nothing is imported from the directory somebody happens to be in.
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.start()

    def run(self) -> None:
        """Hand it over, and say what came of it."""
        said, _ = self._process.communicate(self._request)
        results: dict[int, object] = dict(json.loads(line) for line in said.splitlines())
        for at in range(len(self._urls)):
            why = results.get(at, "there was no answer")
            if why is not True:
                self._warn(f"notify_urls: {named(self._urls, at)} could not be told: {why}")

    def close(self) -> None:
        """End what is not done by now; idempotent.

        What a service of apprise's started may hold the pipe open still: nobody waits for that.
        """
        self._process.kill()
        self.join(_ENDED_WITHIN_S)


def main() -> None:
    """Tell everybody at once, each in a thread of its own."""
    request = json.loads(sys.stdin.read())
    lock = threading.Lock()

    def tell(at: int, url: str) -> None:
        outcome = _tell(url, request)
        with lock:
            sys.stdout.write(f"{json.dumps([at, outcome])}\n")
            sys.stdout.flush()

    threads = [threading.Thread(target=tell, args=each) for each in enumerate(request["urls"])]
    for thread in threads:
        thread.start()
    # An interpreter that is ending starts no threads for apprise.
    for thread in threads:
        thread.join()


def _tell(url: str, request: dict[str, Any]) -> str | bool:
    """Whether it was taken, or why not."""
    try:
        service = _apprise()
        if not service.add(url):
            return "apprise knows no such address"
        taken = service.notify(
            title=request["title"],
            body=request["body"],
            notify_type="failure" if request["failure"] else "success",
            body_format="text",
        )
    except Exception as error:  # noqa: BLE001 - its message may repeat the address
        return type(error).__name__
    return True if taken else "it was not taken"


def _apprise() -> Any:  # noqa: ANN401 - apprise has no types
    import apprise  # noqa: PLC0415 - an extra, and slow to load

    # What it logs repeats addresses.
    logging.getLogger("apprise").disabled = True
    return apprise.Apprise()


if __name__ == "__main__":
    main()
