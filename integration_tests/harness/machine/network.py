"""Two network namespaces with a wire between them that can be cut, choked and filtered.

    client  ──veth──  service  ──veth──  here

The program under test runs in `client`, what it talks to in `service`; this process reaches the
service's address by a wire of its own, which no fault touches. Addresses are from 198.18.0.0/15,
which RFC 2544 sets aside for tests. Needs root, util-linux and nft(8).
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import random
import secrets
import shutil
import signal
import subprocess
import time
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Self

from pyroute2 import IPRoute, netns  # type: ignore[import-untyped]
from pyroute2.netlink.rtnl import TC_H_ROOT  # type: ignore[import-untyped]

from integration_tests.harness.machine import namespaces
from integration_tests.harness.machine.state import Kind, Resource, StateFile
from integration_tests.harness.services.service import Placement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_NETWORK: Final = ipaddress.IPv4Network("198.18.0.0/15")
_SUBNET_BITS: Final = 28
_POLL_S: Final = 0.005
_BURST_BYTES: Final = 32 * 1024
_LATENCY: Final = "400ms"


class NetworkError(RuntimeError):
    """The network cannot do what was asked of it."""


class Side(Enum):
    """Whose end of the wire."""

    CLIENT = "client"
    SERVICE = "service"


class NetworkPair:
    """A client's and a service's namespace; a context manager.

    Everything is recorded before it is made, and removed at the end together with whatever
    process still runs inside. The faults are context managers too: they end with their block.
    """

    def __init__(self, state: StateFile | None = None) -> None:
        token = secrets.token_hex(4)
        self.client = f"b3-client-{token}"
        self.service = f"b3-service-{token}"
        self._state = state or StateFile()
        self.host_link = f"b3-{token}"
        self._records: tuple[Resource, ...] = ()
        self._open = contextlib.ExitStack()
        self._inside: dict[Side, Any] = {}
        self._wire: dict[Side, int] = {}
        self._addresses: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._create()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def client_address(self) -> str:
        """The program's address."""
        return self._addresses[1]

    @property
    def service_address(self) -> str:
        """The service's address, reachable from the client and from here."""
        return self._addresses[0]

    @property
    def placement(self) -> Placement:
        """Where services are to run."""
        return Placement(host=self.service_address, namespace=self.service)

    @property
    def enter_client(self) -> list[str]:
        """The command that enters the client's namespace, to be put before another one.

        That one replaces it, and dies with the thread that started it.
        """
        entered = Placement(namespace=self.client).wrapper
        return [*entered, "setpriv", "--pdeathsig", "KILL", "--"]

    def close(self) -> None:
        """Remove everything; may be repeated. Ctrl-C takes effect afterwards."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with contextlib.ExitStack() as steps:
                steps.callback(self._forget)
                steps.callback(namespaces.remove, self.service)
                steps.callback(namespaces.remove, self.client)
                steps.callback(self._remove_host_link)
                steps.callback(self._open.close)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def sent_bytes(self, side: Side = Side.CLIENT) -> int:
        """Bytes, headers included, that went out of this end of the wire."""
        return int(self._statistics(side)["tx_bytes"])

    def received_bytes(self, side: Side = Side.CLIENT) -> int:
        """Bytes, headers included, that arrived at this end of the wire."""
        return int(self._statistics(side)["rx_bytes"])

    def wait_for_bytes(self, count: int, side: Side = Side.CLIENT, *, timeout_s: float) -> None:
        """Return when `count` more bytes have gone out; NetworkError after `timeout_s`."""
        start, deadline = self.sent_bytes(side), time.monotonic() + timeout_s
        while (sent := self.sent_bytes(side) - start) < count:
            if time.monotonic() > deadline:
                raise NetworkError(f"{sent} of {count} bytes went out within {timeout_s} s")
            time.sleep(_POLL_S)

    @contextlib.contextmanager
    def rate(self, bits_per_s: int, side: Side = Side.CLIENT) -> Iterator[None]:
        """Let no more than this out of one end of the wire (tc-tbf(8))."""
        route, link = self._inside[side], self._wire[side]
        route.tc(
            "add", "tbf", index=link, rate=bits_per_s // 8, burst=_BURST_BYTES, latency=_LATENCY
        )
        try:
            yield
        finally:
            route.tc("del", index=link, parent=TC_H_ROOT)

    @contextlib.contextmanager
    def partition(self) -> Iterator[None]:
        """Pull the plug: the wire is down, and each side knows it."""
        self._set_link("down")
        try:
            yield
        finally:
            self._set_link("up")

    @contextlib.contextmanager
    def drop(self, port: int) -> Iterator[None]:
        """Swallow what the client sends to this TCP port, without a word."""
        with self._filtered(port, "drop"):
            yield

    @contextlib.contextmanager
    def reject(self, port: int) -> Iterator[None]:
        """Refuse what the client sends to this TCP port, with a reset."""
        with self._filtered(port, "reject with tcp reset"):
            yield

    @contextlib.contextmanager
    def _filtered(self, port: int, verdict: str) -> Iterator[None]:
        self._nft(
            "table inet faults { chain arriving { type filter hook input priority 0; "
            f'iifname "service0" tcp dport {port} {verdict}; }}; }}'
        )
        try:
            yield
        finally:
            self._nft("delete table inet faults")

    def _nft(self, rules: str) -> None:
        enter = Placement(namespace=self.service).wrapper
        done = subprocess.run(
            [*enter, "nft", rules], capture_output=True, text=True, check=False, process_group=0
        )
        if done.returncode:
            raise NetworkError(f"nft {rules}: {done.stderr.strip()}")

    def _create(self) -> None:
        self._records = self._state.add(
            (Kind.NAMESPACE, self.client, ""), (Kind.NAMESPACE, self.service, "")
        )
        for side, name in ((Side.CLIENT, self.client), (Side.SERVICE, self.service)):
            namespaces.create(name)
            with thread_in(name):
                inside = self._open.enter_context(IPRoute())
            self._inside[side] = inside
            inside.link("set", index=_link(inside, "lo"), state="up")
        here = self._open.enter_context(IPRoute())
        self._addresses = _free_addresses(here)
        self._connect(here)

    def _connect(self, here: Any) -> None:  # noqa: ANN401 - pyroute2 has no types
        service, client, host, gateway = self._addresses
        outer, inner = self._inside[Side.CLIENT], self._inside[Side.SERVICE]
        inner.link(
            "add",
            ifname="service0",
            kind="veth",
            peer={"ifname": "client0", "net_ns_fd": str(namespaces.path_of(self.client))},
        )
        here.link(
            "add",
            ifname=self.host_link,
            kind="veth",
            peer={"ifname": "host0", "net_ns_fd": str(namespaces.path_of(self.service))},
        )
        for route, name, address in (
            (inner, "service0", service),
            (outer, "client0", client),
            (inner, "host0", gateway),
            (here, self.host_link, host),
        ):
            index = _link(route, name)
            route.addr("add", index=index, address=address, prefixlen=30)
            route.link("set", index=index, state="up")
        self._wire = {
            Side.CLIENT: _link(outer, "client0"),
            Side.SERVICE: _link(inner, "service0"),
        }
        here.route("add", dst=f"{service}/32", gateway=gateway)

    def _set_link(self, state: str) -> None:
        self._inside[Side.SERVICE].link("set", index=self._wire[Side.SERVICE], state=state)

    def _statistics(self, side: Side) -> Any:  # noqa: ANN401
        (link,) = self._inside[side].get_links(self._wire[side])
        return link.get_attr("IFLA_STATS64")

    def _remove_host_link(self) -> None:
        with IPRoute() as here:
            for index in here.link_lookup(ifname=self.host_link):
                here.link("del", index=index)

    def _forget(self) -> None:
        if not namespaces.exists(self.client) and not namespaces.exists(self.service):
            self._state.discard(*self._records)
            self._records = ()


def why_unavailable() -> str | None:
    """Return why no namespaces can be made here, or None when they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [
        tool for tool in ("nft", "nsenter", "setpriv", "unshare") if shutil.which(tool) is None
    ]
    if missing:
        return f"network faults need {', '.join(missing)} (Debian: nftables, util-linux)"
    return None


@contextlib.contextmanager
def thread_in(name: str) -> Iterator[None]:
    """Have this thread in a namespace; a socket made there stays there."""
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        netns.setns(str(namespaces.path_of(name)), flags=0, fork=False)
        try:
            yield
        finally:
            netns.setns(outside, fork=False)
    finally:
        os.close(outside)


def _link(route: Any, name: str) -> int:  # noqa: ANN401
    (index,) = route.link_lookup(ifname=name)
    return int(index)


def _free_addresses(here: Any) -> list[str]:  # noqa: ANN401
    """Service, client, host and gateway, in a subnet that nothing here uses."""
    used = {
        ipaddress.IPv4Address(address)
        for entry in here.get_addr(family=2)
        if (address := entry.get_attr("IFA_ADDRESS"))
    }
    subnets = list(_NETWORK.subnets(new_prefix=_SUBNET_BITS))
    while True:
        subnet = random.choice(subnets)  # noqa: S311 - any will do
        if not any(address in subnet for address in used):
            return [str(subnet[host]) for host in (1, 2, 5, 6)]
