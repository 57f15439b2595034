"""The network policy of a configuration, at the beginning of a run and while it goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.errors import InterruptedRunError, UnreachableError
from btrfs_to_s3.host.routes import addresses_of, routes_to
from btrfs_to_s3.host.way import WatchedWay
from btrfs_to_s3.model.network import NetworkPolicy
from btrfs_to_s3.plan.network import objection
from btrfs_to_s3.s3.gate import in_words

if TYPE_CHECKING:
    from btrfs_to_s3.config.effective import Config
    from btrfs_to_s3.model.network import Route
    from btrfs_to_s3.ports import Cancellation, Reporter

_LOOK_EVERY_S: Final = 1.0


@dataclass(slots=True)
class Patience:
    """How long a run may still wait for routes: all its repositories wait out of one purse."""

    left_s: float


def _policy_of(config: Config) -> NetworkPolicy:
    return NetworkPolicy(config.machine.network_interfaces, config.machine.network_exclude)


@dataclass(frozen=True, slots=True)
class Departure:
    """The way to one repository's service, and how long the beginning may wait for it."""

    way: WatchedWay
    patience: Patience

    @classmethod
    def of(cls, config: Config, patience: Patience) -> Departure:
        """What the configuration asks for."""
        return cls(WatchedWay(_policy_of(config)), patience)

    def wait(self, host: str, cancel: Cancellation, reporter: Reporter) -> None:
        """Return once nothing speaks against the way to ``host``; it is watched from then on.

        Raises ``UnreachableError`` when the patience is over, or at once when the kernel cannot
        be asked; ``InterruptedRunError`` as soon as ``cancel`` is set.
        """
        began_s = time.monotonic()
        told = False
        while True:
            looked_s = time.monotonic()
            why_not = self.way.aim(addresses_of(host, cancel))
            if why_not is None:
                break
            if self.patience.left_s <= 0:
                raise _gave_up(host, why_not, time.monotonic() - began_s)
            if not told:
                told = True
                _tell(reporter, host, why_not, self.patience.left_s)
            if cancel.wait(min(_LOOK_EVERY_S, self.patience.left_s)):
                raise InterruptedRunError(f"interrupted while waiting for a route to {host}")
            self.patience.left_s -= time.monotonic() - looked_s
        if told:
            waited = in_words(time.monotonic() - began_s)
            reporter.note(f"there is a route to {host} that may be used, after {waited}")


def look(config: Config, host: str, cancel: Cancellation) -> tuple[tuple[Route, ...], str | None]:
    """The routes to a host now, and the objection to them, if any.

    ``UnreachableError`` when the kernel cannot be asked.
    """
    routes = routes_to(addresses_of(host, cancel))
    return routes, objection(_policy_of(config), routes)


def _tell(reporter: Reporter, host: str, why_not: str, left_s: float) -> None:
    reporter.note(
        f"waiting up to {in_words(left_s)} for a route to {host} that may be used: {why_not}"
    )
    reporter.activity("waiting for the network")


def _gave_up(host: str, why_not: str, waited_s: float) -> UnreachableError:
    after = f"after {in_words(waited_s)} " if waited_s >= 1 else ""
    return UnreachableError(
        f"{after}no route to {host} may be used: {why_not}",
        hint="network_interfaces and network_exclude say which interfaces data may go through, "
        "network_wait how long a run waits at its beginning",
        host=host,
    )
