"""The kernel's answers about routes, by real lookups; names and addresses."""

from __future__ import annotations

import errno
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

from btrfs_to_s3.errors import InterruptedRunError, UnreachableError
from btrfs_to_s3.host.routes import addresses_of, routes_to
from btrfs_to_s3.model.network import Route
from btrfs_to_s3.stream.cancel import LinkedCancellation

if TYPE_CHECKING:
    from typing import Self


def test_the_route_to_this_machine_itself_is_its_loopback() -> None:
    assert routes_to(["127.0.0.1", "127.0.0.77"]) == (
        Route("127.0.0.1", "lo"),
        Route("127.0.0.77", "lo"),
    )


def test_a_link_local_address_names_its_own_interface() -> None:
    assert routes_to(["fe80::1%lo", "fe80::1%1"]) == (
        Route("fe80::1%lo", "lo"),
        Route("fe80::1%1", socket.if_indextoname(1)),
    )


def test_lookups_from_many_threads_leave_no_descriptor() -> None:
    def look() -> None:
        for _ in range(5):
            routes_to(["127.0.0.1"])

    routes_to(["127.0.0.1"])
    before = _descriptors()
    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _descriptors() == before


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Kernel:
    """What pyroute2 gives a socket for; each lookup ends with this error."""

    def __init__(self, code: int) -> None:
        self._code = code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def route(self, _verb: str, **_: object) -> list[object]:
        raise NetlinkError(self._code, "so it says")


@pytest.mark.parametrize(
    "code", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL]
)
def test_an_address_that_leads_nowhere_has_no_interface(code: int) -> None:
    assert routes_to(["192.0.2.1"], lambda: Kernel(code)) == (Route("192.0.2.1", None),)


def test_any_other_answer_is_no_answer() -> None:
    with pytest.raises(UnreachableError, match="so it says"):
        routes_to(["192.0.2.1"], lambda: Kernel(errno.ENOMEM))


def test_a_sandbox_without_netlink_is_named_with_its_remedy() -> None:
    def refused() -> Kernel:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    with pytest.raises(UnreachableError, match="Address family not supported") as caught:
        routes_to(["192.0.2.1"], refused)
    assert "AF_NETLINK" in str(caught.value.hint)


def test_an_address_is_its_own_and_a_name_has_all_of_its_own() -> None:
    cancel = LinkedCancellation()
    assert addresses_of("192.0.2.1", cancel) == ("192.0.2.1",)
    assert addresses_of("2001:db8::1", cancel) == ("2001:db8::1",)
    assert set(addresses_of("localhost", cancel)) & {"127.0.0.1", "::1"}


def test_a_name_that_cannot_be_resolved_has_none() -> None:
    assert addresses_of("name.invalid..", LinkedCancellation()) == ()


def test_a_resolver_that_is_silent_does_not_delay_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: silence.wait(3600) and [])
    cancel = LinkedCancellation()
    threading.Timer(0.2, cancel.set).start()
    with pytest.raises(InterruptedRunError):
        addresses_of("s3.example.com", cancel)
    assert not silence.is_set()
    silence.set()
