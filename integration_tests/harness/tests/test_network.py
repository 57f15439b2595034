"""Each fault of the network really happens, ends with its block, and leaves nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.machine import namespaces
from integration_tests.harness.machine.network import (
    NetworkError,
    NetworkPair,
    Side,
    why_unavailable,
)
from integration_tests.harness.machine.state import Kind, StateFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.btrfs

REPOSITORY = Path(__file__).resolve().parents[3]
MEBIBYTE = 1024**2
PORT = 9000

SERVER = """
import socketserver, sys

class Thankful(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            if data.endswith(b"."):
                self.request.sendall(b"thanks")

with socketserver.ThreadingTCPServer((sys.argv[1], int(sys.argv[2])), Thankful) as server:
    print("ready", flush=True)
    server.serve_forever()
"""
CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[4])) as s:
    s.sendall(b"x" * int(sys.argv[3]) + b".")
    print(s.recv(100).decode())
"""
OWNER = """
import subprocess, sys
from pathlib import Path
from integration_tests.harness.machine.network import NetworkPair
from integration_tests.harness.machine.state import StateFile

with NetworkPair(StateFile(Path(sys.argv[1]))) as network:
    enter = ["nsenter", f"--net=/run/netns/{network.client}", "--"]
    inside = subprocess.Popen([*enter, "sleep", "600"])
    print(network.client, network.service, network.host_link, inside.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def network(privileged: None) -> Iterator[NetworkPair]:  # noqa: ARG001 - order only
    """Return two namespaces, shared by the tests of one worker."""
    reason = why_unavailable()
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI must not skip these tests")
    if reason is not None:
        pytest.skip(reason)
    with NetworkPair() as made:
        yield made


@pytest.fixture(scope="module")
def server(network: NetworkPair) -> Iterator[None]:
    """Run something that takes bytes and thanks for them."""
    command = [sys.executable, "-c", SERVER, network.service_address, str(PORT)]
    with subprocess.Popen(
        [*network.placement.wrapper, *command], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.kill()


@pytest.fixture
def send(network: NetworkPair, server: None) -> Callable[..., str]:  # noqa: ARG001 - order only
    """Return a function that sends bytes from the client; the answer or the error's name."""

    def run(count: int = 10, timeout_s: float = 5) -> str:
        words = [network.service_address, str(PORT), str(count), str(timeout_s)]
        done = subprocess.run(
            [*network.enter_client, sys.executable, "-c", CLIENT, *words],
            capture_output=True,
            text=True,
            check=False,
        )
        return (done.stdout or done.stderr).splitlines()[-1]

    return run


def interfaces() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def test_the_client_and_this_process_reach_the_service(
    network: NetworkPair, send: Callable[..., str]
) -> None:
    assert send() == "thanks"
    with socket.create_connection((network.service_address, PORT), timeout=5) as connection:
        connection.sendall(b".")
        assert connection.recv(100) == b"thanks"


def test_the_client_reaches_nothing_else(network: NetworkPair) -> None:
    with socket.create_server(("", 0)) as listening:
        port = str(listening.getsockname()[1])
        for address in ("127.0.0.1", "192.0.2.1"):
            command = [sys.executable, "-c", CLIENT, address, port, "1", "0.5"]
            done = subprocess.run(
                [*network.enter_client, *command], capture_output=True, check=False
            )
            assert done.returncode != 0


def test_bytes_are_counted_on_both_sides(network: NetworkPair, send: Callable[..., str]) -> None:
    sent, arrived = network.sent_bytes(), network.received_bytes(Side.SERVICE)
    assert send(MEBIBYTE) == "thanks"
    assert MEBIBYTE < network.sent_bytes() - sent < 2 * MEBIBYTE
    assert network.received_bytes(Side.SERVICE) - arrived > MEBIBYTE


def test_a_number_of_bytes_can_be_waited_for(
    network: NetworkPair, send: Callable[..., str]
) -> None:
    with network.rate(8_000_000):
        command = [sys.executable, "-c", CLIENT, network.service_address, str(PORT), "2000000", "9"]
        before = network.sent_bytes()
        with subprocess.Popen(
            [*network.enter_client, *command], stdout=subprocess.DEVNULL
        ) as sending:
            network.wait_for_bytes(500_000, timeout_s=10)
            assert 500_000 <= network.sent_bytes() - before < 2_000_000
            assert sending.wait(20) == 0
    with pytest.raises(NetworkError, match="of 1000000 bytes"):
        network.wait_for_bytes(1_000_000, timeout_s=0.1)
    assert send() == "thanks"


def test_a_limited_wire_is_slow_and_then_fast_again(
    network: NetworkPair, send: Callable[..., str]
) -> None:
    for side in Side:
        began = time.monotonic()
        with network.rate(8_000_000, Side.CLIENT), network.rate(8_000_000, Side.SERVICE):
            assert send(MEBIBYTE) == "thanks"
        assert 0.5 < time.monotonic() - began < 5, side
    began = time.monotonic()
    assert send(MEBIBYTE) == "thanks"
    assert time.monotonic() - began < 0.5


def test_a_dropped_port_is_silent(network: NetworkPair, send: Callable[..., str]) -> None:
    began = time.monotonic()
    with network.drop(PORT):
        assert "timed out" in send(timeout_s=1)
    assert time.monotonic() - began >= 1
    assert send() == "thanks"


def test_a_rejected_port_refuses_at_once(network: NetworkPair, send: Callable[..., str]) -> None:
    began = time.monotonic()
    with network.reject(PORT):
        assert "Connection refused" in send(timeout_s=10)
    assert time.monotonic() - began < 5
    assert send() == "thanks"


def test_a_rejected_port_breaks_connections_that_stand(
    network: NetworkPair, send: Callable[..., str]
) -> None:
    with network.rate(8_000_000):
        command = [sys.executable, "-c", CLIENT, network.service_address, str(PORT), "3000000", "9"]
        with subprocess.Popen(
            [*network.enter_client, *command], stderr=subprocess.PIPE, text=True
        ) as sending:
            network.wait_for_bytes(500_000, timeout_s=10)
            with network.reject(PORT):
                _, said = sending.communicate(timeout=10)
    assert "Connection reset" in said
    assert send() == "thanks"


def test_another_port_and_this_process_are_not_concerned(
    network: NetworkPair, send: Callable[..., str]
) -> None:
    with network.drop(PORT + 1):
        assert send() == "thanks"
    with (
        network.drop(PORT),
        socket.create_connection((network.service_address, PORT), timeout=5) as connection,
    ):
        connection.sendall(b".")
        assert connection.recv(100) == b"thanks"


def test_a_partition_lets_nothing_through_and_heals(
    network: NetworkPair, send: Callable[..., str]
) -> None:
    with network.partition():
        before = network.received_bytes(Side.SERVICE)
        assert send(timeout_s=1) != "thanks"
        assert network.received_bytes(Side.SERVICE) == before
    assert send() == "thanks"


def test_nothing_is_left_at_the_end(privileged: None, tmp_path: Path) -> None:  # noqa: ARG001
    state = StateFile(tmp_path / "state.json")
    with NetworkPair(state) as made:
        assert {resource.kind for resource in state.resources()} == {Kind.NAMESPACE}
        assert made.host_link in interfaces()
        inside = subprocess.Popen([*made.enter_client, "sleep", "600"])
        while inside.pid not in namespaces.processes(made.client):
            assert inside.poll() is None
    assert inside.wait(10) < 0
    assert state.resources() == ()
    assert not namespaces.exists(made.client)
    assert not namespaces.exists(made.service)
    assert made.host_link not in interfaces()


@pytest.mark.parametrize("made", ["network.NetworkPair", "two_ways.TwoWays"])
def test_what_a_killed_owner_left_is_swept(
    privileged: None,  # noqa: ARG001 - order only
    tmp_path: Path,
    made: str,
) -> None:
    state = StateFile(tmp_path / "state.json")
    module, _, name = made.partition(".")
    owner_of = OWNER.replace("network import NetworkPair", f"{module} import {name} as NetworkPair")
    with subprocess.Popen(
        [sys.executable, "-c", owner_of, str(state.path)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        client, service, link, inside = owner.stdout.readline().split()
        owner.kill()
    assert namespaces.exists(client)
    assert int(inside) in namespaces.processes(client)
    assert state.sweep().failed == ()
    assert state.resources() == ()
    assert not namespaces.exists(client)
    assert not namespaces.exists(service)
    deadline = time.monotonic() + 10
    while link in interfaces():  # the kernel takes a namespace apart after its last process
        assert time.monotonic() < deadline
        time.sleep(0.02)
