"""The kernel's routes, and the addresses of names.

A route is looked up as ``ip route get ADDRESS`` does (rtnetlink(7), RTM_GETROUTE), in this
process's network namespace and with its user id, so rules and several tables count. Rules by mark,
port or source address are not seen. Needs no privilege, but a socket of the family AF_NETLINK.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

from pyroute2 import IPRoute  # type: ignore[import-untyped]
from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

from btrfs_to_s3.errors import InterruptedRunError, UnreachableError
from btrfs_to_s3.model.network import Route, address_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from btrfs_to_s3.ports import Cancellation

_NO_ROUTE: Final = frozenset(
    {
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,  # a route of the type unreachable
        errno.EACCES,  # prohibit
        errno.EINVAL,  # blackhole
        errno.EAFNOSUPPORT,
        errno.EOPNOTSUPP,  # no such family in this kernel
    }
)
_NOWHERE: Final = frozenset({6, 7, 8})
"""Types of routes that lead nowhere (linux/rtnetlink.h: RTN_BLACKHOLE, _UNREACHABLE, _PROHIBIT)."""
_POLL_S: Final = 0.1


def routes_to(addresses: Iterable[str], connect: Callable[[], Any] = IPRoute) -> tuple[Route, ...]:
    """The kernel's route to each address; ``UnreachableError`` when it cannot be asked.

    The socket is opened and closed within: about a millisecond, and half a one for each address.
    """
    try:
        with connect() as kernel:
            return tuple(Route(each, _interface(kernel, each)) for each in addresses)
    except Exception as error:
        # Whatever pyroute2's event loop raises: what cannot be known is not permitted.
        raise UnreachableError(
            f"the kernel does not say which way data goes (netlink): {error}",
            hint="allow sockets of the family AF_NETLINK (a unit's RestrictAddressFamilies), or "
            "give up network_interfaces and network_exclude",
        ) from error


def _interface(kernel: Any, address: str) -> str | None:  # noqa: ANN401 - pyroute2 has no types
    plain, _, scope = address.partition("%")
    if scope:
        # A link-local address names its interface itself (RFC 4007, 11).
        return _name(int(scope)) if scope.isdecimal() else scope
    try:
        found = list(kernel.route("get", dst=plain))
    except NetlinkError as error:
        if error.code in _NO_ROUTE:
            return None
        raise
    index = next((each.get_attr("RTA_OIF") for each in found if each["type"] not in _NOWHERE), None)
    return None if index is None else _name(index)


def _name(index: int) -> str | None:
    try:
        return socket.if_indextoname(index)
    except OSError:  # it went away meanwhile, and the route with it
        return None


def addresses_of(host: str, cancel: Cancellation) -> tuple[str, ...]:
    """Every address that a connection to ``host`` may take, in the resolver's order.

    None where the name cannot be resolved now. A resolver that is silent does not delay the
    answer to a signal: then ``InterruptedRunError`` is raised, and the question is left to itself.
    """
    if _is_address(host):
        return (host,)
    found: list[str] = []
    asking = threading.Thread(target=_resolve, args=(host, found), daemon=True, name="resolver")
    asking.start()
    while asking.is_alive():
        if cancel.is_set():
            raise InterruptedRunError(f"interrupted while the address of {host} was asked for")
        asking.join(_POLL_S)
    return tuple(dict.fromkeys(found))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _resolve(host: str, found: list[str]) -> None:
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return
    found += [address_in(answer[4]) for answer in answers]
