"""Which routes data may go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.model.network import NetworkPolicy, Route, address_in
from btrfs_to_s3.plan.network import objection, through

HERE, THERE = "192.0.2.1", "2001:db8::1"
NAMES = st.sampled_from(["eth0", "eth1", "wwan0", "wwan1", "lo", "wg0"])


def by(*interfaces: str | None) -> list[Route]:
    return [Route(address, name) for address, name in zip((HERE, THERE), interfaces, strict=False)]


def test_an_excluded_interface_is_named_with_the_pattern_that_excludes_it() -> None:
    policy = NetworkPolicy(exclude=("usb*", "wwan*"))
    assert objection(policy, by("wwan0")) == (
        "the route to 192.0.2.1 goes through wwan0, which network_exclude names (wwan*)"
    )
    assert objection(policy, by("eth0")) is None


def test_an_interface_that_is_not_listed_may_not_be_used() -> None:
    policy = NetworkPolicy(interfaces=("eth0", "enp*"))
    assert objection(policy, by("enp3s0")) is None
    assert objection(policy, by("wlan0")) == (
        "the route to 192.0.2.1 goes through wlan0, which network_interfaces does not name "
        "(eth0 enp*)"
    )


def test_what_is_excluded_is_so_although_it_is_listed() -> None:
    policy = NetworkPolicy(interfaces=("e*",), exclude=("eth1",))
    assert objection(policy, by("eth0")) is None
    assert "network_exclude" in str(objection(policy, by("eth1")))


def test_a_pattern_is_the_whole_name_and_its_case_counts() -> None:
    policy = NetworkPolicy(exclude=("wwan",))
    assert objection(policy, by("wwan0")) is None
    assert objection(policy, by("WWAN")) is None
    assert objection(policy, by("wwan")) is not None


def test_one_address_by_an_excluded_interface_is_enough_to_wait() -> None:
    policy = NetworkPolicy(exclude=("wwan*",))
    assert THERE in str(objection(policy, by("eth0", "wwan0")))
    assert HERE in str(objection(policy, by("wwan0", "eth0")))


def test_an_address_without_a_route_does_no_harm_beside_one_that_has_one() -> None:
    policy = NetworkPolicy(exclude=("wwan*",))
    assert objection(policy, by("eth0", None)) is None
    assert objection(policy, by(None, "wwan0")) is not None


def test_without_any_route_or_address_there_is_nothing_to_go_on() -> None:
    policy = NetworkPolicy(exclude=("wwan*",))
    assert objection(policy, by(None, None)) == "there is no route to 192.0.2.1 or 2001:db8::1"
    assert objection(policy, []) == "its name cannot be resolved"


def test_this_machine_itself_counts_like_any_other_way() -> None:
    assert objection(NetworkPolicy(interfaces=("eth0",)), by("lo")) is not None
    assert objection(NetworkPolicy(interfaces=("eth0", "lo")), by("lo")) is None
    assert objection(NetworkPolicy(exclude=("wwan*",)), by("lo")) is None


@given(st.lists(NAMES | st.none(), max_size=4), st.sets(NAMES), st.sets(NAMES))
def test_what_may_be_used_is_never_excluded_and_always_listed(
    interfaces: list[str | None], listed: set[str], excluded: set[str]
) -> None:
    routes = [Route(f"192.0.2.{number}", name) for number, name in enumerate(interfaces)]
    used = {name for name in interfaces if name is not None}
    allowed = used and not used & excluded and (not listed or used <= listed)
    found = objection(NetworkPolicy(tuple(listed), tuple(excluded)), routes)
    assert (found is None) == bool(allowed)


def test_routes_are_told_in_words() -> None:
    assert through(by("eth0", None)) == "192.0.2.1 through eth0, 2001:db8::1 without a route"


def test_a_link_local_address_keeps_its_interface() -> None:
    assert address_in(("192.0.2.1", 443)) == "192.0.2.1"
    assert address_in(("2001:db8::1", 443, 0, 0)) == "2001:db8::1"
    assert address_in(("fe80::1", 443, 0, 3)) == "fe80::1%3"
    assert address_in(("fe80::1%eth0", 443, 0, 3)) == "fe80::1%eth0"
