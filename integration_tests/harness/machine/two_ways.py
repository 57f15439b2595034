"""A network pair whose client has a second wire to the service, as a laptop has a modem.

    client0 ──veth── service0      the usual way
    wwan0   ──veth── wwan-peer0    the other one

The service answers at the same address on both. A host route through `wwan0` takes the traffic over
there, also that of connections that stand: the service takes packets for its address wherever they
arrive, and the answers find their way back. That is the worst case for a policy: nothing breaks by
itself.
"""

from __future__ import annotations

import contextlib
import ipaddress
import time
from typing import TYPE_CHECKING, Any, Final

from integration_tests.harness.machine import namespaces
from integration_tests.harness.machine.network import NetworkError, NetworkPair, Side

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND: Final = "wwan0"
_POLL_S: Final = 0.005


class TwoWays(NetworkPair):
    """Two namespaces with two wires between them."""

    @property
    def detour_gateway(self) -> str:
        """The service's end of the second wire."""
        return str(ipaddress.IPv4Address(self.service_address) + 8)

    @contextlib.contextmanager
    def detour(self) -> Iterator[None]:
        """Let the kernel's route to the service go through the second wire."""
        client = self._inside[Side.CLIENT]
        where = {"dst": f"{self.service_address}/32", "gateway": self.detour_gateway}
        client.route("add", **where)
        try:
            yield
        finally:
            client.route("del", **where)

    def detour_bytes(self) -> int:
        """Bytes, headers included, that went out of the client's end of the second wire."""
        (link,) = self._inside[Side.CLIENT].get_links(self._index(Side.CLIENT, SECOND))
        return int(link.get_attr("IFLA_STATS64")["tx_bytes"])

    def wait_for_detour_bytes(self, count: int, *, timeout_s: float) -> None:
        """Return when so many more went that way; NetworkError after `timeout_s`."""
        start, deadline = self.detour_bytes(), time.monotonic() + timeout_s
        while (sent := self.detour_bytes() - start) < count:
            if time.monotonic() > deadline:
                raise NetworkError(f"{sent} of {count} bytes went out within {timeout_s} s")
            time.sleep(_POLL_S)

    def _connect(self, here: Any) -> None:  # noqa: ANN401 - pyroute2 has no types
        super()._connect(here)
        self._inside[Side.SERVICE].link(
            "add",
            ifname="wwan-peer0",
            kind="veth",
            peer={"ifname": SECOND, "net_ns_fd": str(namespaces.path_of(self.client))},
        )
        other = str(ipaddress.IPv4Address(self.detour_gateway) + 1)
        for side, name, address in (
            (Side.SERVICE, "wwan-peer0", self.detour_gateway),
            (Side.CLIENT, SECOND, other),
        ):
            index = self._index(side, name)
            self._inside[side].addr("add", index=index, address=address, prefixlen=30)
            self._inside[side].link("set", index=index, state="up")

    def _index(self, side: Side, name: str) -> int:
        (index,) = self._inside[side].link_lookup(ifname=name)
        return int(index)
