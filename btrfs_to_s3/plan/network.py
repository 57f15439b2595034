"""Whether data may go the way that the kernel would send it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from btrfs_to_s3.model.network import NetworkPolicy, Route


def objection(policy: NetworkPolicy, routes: Sequence[Route]) -> str | None:
    """Why nothing may be sent to a service at these addresses now; None if it may.

    Which address a connection takes is the resolver's and the service's affair. So one address
    behind an interface that may not be used is enough to wait, also where others would do. An
    address without any route does no harm beside one that has one.
    """
    for route in routes:
        if route.interface is not None:
            why = _refusal(policy, route.interface)
            if why is not None:
                return f"the route to {route.address} goes through {route.interface}, {why}"
    if any(route.interface is not None for route in routes):
        return None
    if not routes:
        return "its name cannot be resolved"
    return f"there is no route to {' or '.join(route.address for route in routes)}"


def through(routes: Sequence[Route]) -> str:
    """The routes in words: ``192.0.2.1 through eth0``."""
    return ", ".join(
        f"{route.address} through {route.interface}"
        if route.interface is not None
        else f"{route.address} without a route"
        for route in routes
    )


def _refusal(policy: NetworkPolicy, interface: str) -> str | None:
    """Why an interface may not be used; what is excluded is so, whatever else is said of it."""
    excluded = _first(policy.exclude, interface)
    if excluded is not None:
        return f"which network_exclude names ({excluded})"
    if policy.interfaces and _first(policy.interfaces, interface) is None:
        return f"which network_interfaces does not name ({' '.join(policy.interfaces)})"
    return None


def _first(patterns: Iterable[str], interface: str) -> str | None:
    return next((each for each in patterns if fnmatchcase(interface, each)), None)
