"""The way to one service, watched while a run goes on."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.errors import UnreachableError
from btrfs_to_s3.host.routes import routes_to
from btrfs_to_s3.plan.network import objection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from btrfs_to_s3.model.network import NetworkPolicy, Route

_log = logging.getLogger(__name__)
_FRESH_S: Final = 0.5
"""How long an answer of the kernel is believed: looking on takes 0.2 to 0.5 % of a processor."""


class WatchedWay:
    """Implements ``ports.Way``: asks the kernel again, once what it said is half a second old.

    It has no thread: whoever asks looks, and the others meanwhile wait for milliseconds.
    """

    def __init__(
        self,
        policy: NetworkPolicy,
        *,
        routes: Callable[[Sequence[str]], Sequence[Route]] = routes_to,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._routes = routes
        self._clock = clock
        self._lock = threading.Lock()
        self._addresses: tuple[str, ...] = ()
        self._objection: str | None = None
        self._again_s = clock()
        self._permitted: dict[str, float] = {}

    def aim(self, addresses: Sequence[str]) -> str | None:
        """The service is at these addresses; why nothing may be sent there, None if it may.

        ``UnreachableError`` when the kernel cannot be asked.
        """
        routes = self._routes(addresses)
        with self._lock:
            self._addresses = tuple(addresses)
            self._note(objection(self._policy, routes))
            return self._objection

    def objection(self) -> str | None:
        """Why nothing may be sent to the service now, in words; None if it may."""
        with self._lock:
            return self._current()

    def objection_to(self, address: str) -> str | None:
        """The same of one address that a connection was opened to."""
        with self._lock:
            if address in self._addresses:
                return self._current()
            now_s = self._clock()
            if self._permitted.get(address, now_s) > now_s:
                return None
            found = self._look((address,))
            if found is None:
                fresh = {each: until for each, until in self._permitted.items() if until > now_s}
                self._permitted = {**fresh, address: now_s + _FRESH_S}
                return None
            self._addresses = (*self._addresses, address)
            self._note(found)
            return found

    def _current(self) -> str | None:
        if self._clock() >= self._again_s:
            self._note(self._look(self._addresses))
        return self._objection

    def _look(self, addresses: Sequence[str]) -> str | None:
        """What cannot be known must not be taken for permitted."""
        try:
            return objection(self._policy, self._routes(addresses))
        except UnreachableError as error:
            return error.message

    def _note(self, found: str | None) -> None:
        if found != self._objection:
            _log.debug("the way to the service: %s", found or "may be used")
        self._objection, self._again_s = found, self._clock() + _FRESH_S
