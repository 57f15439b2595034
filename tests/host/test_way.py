"""The watched way: what it believes, for how long, and that it never lets through by mistake."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import UnreachableError
from btrfs_to_s3.host.way import WatchedWay
from btrfs_to_s3.model.network import NetworkPolicy, Route

if TYPE_CHECKING:
    from collections.abc import Sequence

POLICY = NetworkPolicy(exclude=("wwan*",))
ASLEEP_S = 0.4
STALE_S = 0.6


@dataclass
class Kernel:
    """Routes by address, ``default`` for the rest; a clock; every question that was asked."""

    default: str | None = "eth0"
    special: dict[str, str] = field(default_factory=dict)
    now: float = 100.0
    asked: list[tuple[str, ...]] = field(default_factory=list)
    mute: bool = False

    def routes(self, addresses: Sequence[str]) -> list[Route]:
        self.asked.append(tuple(addresses))
        if self.mute:
            raise UnreachableError("the kernel does not say")
        return [Route(each, self.special.get(each, self.default)) for each in addresses]

    def way(self) -> WatchedWay:
        made = WatchedWay(POLICY, routes=self.routes, clock=lambda: self.now)
        made.aim(["a", "b"])
        return made


def test_a_route_that_moves_is_seen_once_the_last_answer_is_stale() -> None:
    kernel = Kernel()
    way = kernel.way()
    kernel.default = "wwan0"
    kernel.now += ASLEEP_S
    assert way.objection() is None
    kernel.now += STALE_S
    assert "wwan0" in str(way.objection())
    kernel.default = "eth0"
    kernel.now += STALE_S
    assert way.objection() is None


def test_the_kernel_is_asked_twice_a_second_at_most() -> None:
    kernel = Kernel()
    way = kernel.way()
    for _ in range(1000):
        way.objection()
        kernel.now += 0.01
    assert 18 <= len(kernel.asked) <= 22


def test_an_address_that_appears_later_is_looked_at_by_itself() -> None:
    kernel = Kernel(special={"c": "wwan0"})
    way = kernel.way()
    assert way.objection_to("a") is None
    assert "wwan0" in str(way.objection_to("c"))
    assert kernel.asked[1:] == [("c",)]


def test_an_address_that_was_objected_to_holds_everything_back_until_it_is_permitted() -> None:
    kernel = Kernel(special={"c": "wwan0"})
    way = kernel.way()
    way.objection_to("c")
    assert "wwan0" in str(way.objection())
    kernel.now += STALE_S
    assert "wwan0" in str(way.objection())
    kernel.special.clear()
    kernel.now += STALE_S
    assert way.objection() is None


def test_a_permitted_address_is_not_asked_for_again_at_once_but_soon() -> None:
    kernel = Kernel()
    way = kernel.way()
    for _ in range(10):
        way.objection_to("c")
    assert kernel.asked[1:] == [("c",)]
    kernel.special["c"] = "wwan0"
    kernel.now += STALE_S
    assert way.objection_to("c") is not None


def test_a_kernel_that_stops_answering_is_an_objection() -> None:
    kernel = Kernel()
    way = kernel.way()
    kernel.mute = True
    kernel.now += STALE_S
    assert way.objection() == "the kernel does not say"
    assert way.objection_to("c") == "the kernel does not say"


def test_a_kernel_that_never_answered_is_an_error() -> None:
    with pytest.raises(UnreachableError):
        Kernel(mute=True).way()
