"""The way to a service: what the kernel says of it, and which ways are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

_WITH_SCOPE: Final = 4


@dataclass(frozen=True, slots=True)
class Route:
    """Which interface the kernel sends to ``address`` through; None where it has no route."""

    address: str
    interface: str | None


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """Names of interfaces, where ``*`` stands for anything.

    Data may go through ``interfaces`` (empty: any), but never through ``exclude``.
    """

    interfaces: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


def address_in(place: tuple[Any, ...]) -> str:
    """The address in what the socket module calls one; with its interface where it has only one.

    IPv6 has four fields there, the last of them the index of a link-local address's interface.
    """
    scoped = len(place) == _WITH_SCOPE and place[-1]
    return f"{place[0]}%{place[-1]}" if scoped and "%" not in place[0] else str(place[0])
