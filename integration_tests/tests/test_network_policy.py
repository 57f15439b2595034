"""The network policy with real routes: a program in a namespace with a cable and a modem.

The route to the service is moved to the modem and back under a running transfer. Its connections
would survive that (the last test shows it), so what does not go through the modem was held back.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.machine import network
from integration_tests.harness.machine.two_ways import SECOND, TwoWays
from integration_tests.harness.machine.waiting import wait_until
from integration_tests.harness.services.moto import moto_server
from integration_tests.harness.trees.compare import compare_fully
from integration_tests.tests.machine import REPOSITORY_ROOT, Machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from integration_tests.harness.machine.loopback import LoopbackBtrfs
    from integration_tests.harness.services.moto import Moto

pytestmark = pytest.mark.btrfs

MIB = 1024**2
RATE = 2_000_000
DATA_BYTES = 8_000_000
SEEN_WITHIN_S = 0.8
"""Half a second that an answer of the kernel is believed, and the watch's own 0.2 s."""
SLACK = 1.6
"""What a busy machine and packet headers add."""
STRAY_BYTES = 2_000
"""Neighbour discovery and the like, over seconds."""
EXCLUDED = f"goes through {SECOND}, which network_exclude names (wwan*)"

LOOK = """
import sys
from btrfs_to_s3.host.routes import routes_to
for route in routes_to(sys.argv[1:]):
    print(route.address, route.interface)
"""


@pytest.fixture(scope="module")
def ways(privileged: None) -> Iterator[TwoWays]:  # noqa: ARG001 - order only
    """A cable and a modem, shared by the tests of one worker."""
    reason = network.why_unavailable()
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI must not skip these tests")
    if reason is not None:
        pytest.skip(reason)
    with TwoWays() as made:
        yield made


@pytest.fixture(scope="module")
def service(ways: TwoWays) -> Iterator[Moto]:
    """A service at the other end of both."""
    with moto_server(placement=ways.placement) as made:
        yield made


@pytest.fixture
def laptop(ways: TwoWays, service: Moto, fast_directory: Path) -> Machine:
    """The program behind them; a chunk takes seconds, so that a move finds one under way."""
    settings = {
        "chunk_size": "2MiB",
        "part_size": "5MiB",
        "bandwidth_limit": f"{RATE}B/s",
        "network_exclude": "wwan*",
        "retry_attempts": "2",
        "host": "laptop",
    }
    return Machine(
        service,
        service.create_bucket(),
        fast_directory / "state",
        settings,
        enter=tuple(ways.enter_client),
    )


@pytest.fixture
def big(filesystem: LoopbackBtrfs) -> Path:
    """A source that takes some seconds to send."""
    path = filesystem.subvolume("data")
    (path / "random").write_bytes(os.urandom(DATA_BYTES))
    return path


@contextlib.contextmanager
def started(laptop: Machine, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The program at work; not beyond the block."""
    with laptop.start(*arguments) as process:
        try:
            yield process
        finally:
            process.kill()


def finished(process: subprocess.Popen[str]) -> str:
    """What a run that ends with 0 said from here on."""
    _, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    return err


def settled(ways: TwoWays, seconds: float) -> int:
    """Bytes that go through the modem in the second after the move, and none later."""
    before = ways.detour_bytes()
    time.sleep(2 * SEEN_WITHIN_S)
    leaked = ways.detour_bytes() - before
    time.sleep(seconds)
    assert ways.detour_bytes() - before - leaked < STRAY_BYTES
    return leaked


def assert_restores(laptop: Machine, big: Path, target: LoopbackBtrfs) -> None:
    """Restore the newest backup through the cable, and compare."""
    fast = laptop.with_settings(bandwidth_limit="none")
    ran = fast.run("restore", "data", "--target", str(target.mount_point), "--verify", "full")
    assert ran.returncode == 0, ran.stderr
    [restored] = target.mount_point.iterdir()
    assert not compare_fully(big, restored).differences


def test_the_kernels_own_answers_are_understood(ways: TwoWays) -> None:
    def look() -> list[str]:
        command = [*ways.enter_client, sys.executable, "-c", LOOK, *addresses]
        environ = {**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)}
        return subprocess.check_output(command, env=environ, text=True).splitlines()

    here = ways.service_address
    addresses = [here, ways.detour_gateway, "192.0.2.1", "2001:db8::1", "127.0.0.1"]
    rest = [f"{ways.detour_gateway} {SECOND}", "192.0.2.1 None", "2001:db8::1 None", "127.0.0.1 lo"]
    assert look() == [f"{here} client0", *rest]
    with ways.detour():
        assert look() == [f"{here} {SECOND}", *rest]


def test_a_run_waits_for_a_route_that_may_be_used_or_gives_up(
    ways: TwoWays, laptop: Machine, big: Path
) -> None:
    before = ways.detour_bytes()
    with ways.detour():
        ran = laptop.with_settings(network_wait="1s").run("backup", str(big))
        assert ran.returncode == 4
        assert f"no route to {ways.service_address} may be used" in ran.stderr
        assert EXCLUDED in ran.stderr
    with contextlib.ExitStack() as stack:
        with ways.detour():
            fast = laptop.with_settings(bandwidth_limit="none")
            process = stack.enter_context(started(fast, "backup", str(big)))
            assert process.stderr is not None
            said = process.stderr.readline()
            assert "waiting up to 5 min 0 s for a route" in said
            assert EXCLUDED in said
            time.sleep(1)
            assert process.poll() is None
            assert laptop.keys() == []
        finished(process)
    assert ways.detour_bytes() - before < STRAY_BYTES
    assert laptop.keys("manifests/")


def test_a_backup_whose_route_moves_to_the_modem_waits_until_it_moves_back(
    ways: TwoWays, laptop: Machine, big: Path, target: LoopbackBtrfs
) -> None:
    with started(laptop, "backup", str(big)) as process:
        ways.wait_for_bytes(2 * MIB, timeout_s=30)
        with ways.detour():
            leaked = settled(ways, 2)
            assert process.poll() is None
        err = finished(process)
    assert leaked < RATE * SEEN_WITHIN_S * SLACK
    assert err.count("nothing is sent: ") == 1
    assert f"{EXCLUDED}; waiting up to 1 h 0 min" in err
    assert err.count("the service is reached by a way that may be used, after ") == 1
    assert "failed" not in err
    assert_restores(laptop, big, target)


def test_a_restore_is_held_back_in_mid_download(
    ways: TwoWays, laptop: Machine, big: Path, target: LoopbackBtrfs
) -> None:
    with started(laptop.with_settings(bandwidth_limit="none"), "backup", str(big)) as process:
        finished(process)
    arguments = ["restore", "data", "--target", str(target.mount_point), "--verify", "full"]
    begun = ways.received_bytes()
    with started(laptop, *arguments) as process:
        wait_until(lambda: ways.received_bytes() - begun > 2 * MIB)
        with ways.detour():
            time.sleep(2 * SEEN_WITHIN_S)
            held = ways.received_bytes()
            settled(ways, 1)
            assert ways.received_bytes() - held < STRAY_BYTES
        err = finished(process)
    assert err.count("nothing is sent: ") == 1


def test_a_route_that_stays_away_ends_the_run_and_the_next_one_goes_on(
    ways: TwoWays, laptop: Machine, big: Path, target: LoopbackBtrfs
) -> None:
    hasty = laptop.with_settings(outage_patience="2s", concurrency="2")
    with started(hasty, "backup", str(big)) as process:
        wait_until(lambda: laptop.keys("chunks/"))
        with ways.detour():
            _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "nothing was sent to " in err
    assert EXCLUDED in err
    assert "the work can be resumed by another way" in err
    assert laptop.keys("manifests/") == []
    ran = laptop.with_settings(bandwidth_limit="none").run("backup", str(big), "--json")
    assert ran.returncode == 0, ran.stderr
    [source] = json.loads(ran.stdout)["sources"]
    assert source["backup"]["reused_bytes"] > 0
    assert_restores(laptop, big, target)


def test_without_a_policy_the_same_connections_go_on_over_the_modem(
    ways: TwoWays, laptop: Machine, big: Path
) -> None:
    careless = laptop.with_settings(network_exclude="none")
    with started(careless, "backup", str(big)) as process:
        ways.wait_for_bytes(2 * MIB, timeout_s=30)
        before = ways.detour_bytes()
        with ways.detour():
            err = finished(process)
    assert ways.detour_bytes() - before > MIB
    assert "nothing is sent" not in err


def test_each_repository_is_reached_by_its_own_way_or_not(
    ways: TwoWays, laptop: Machine, filesystem: LoopbackBtrfs, tmp_path: Path
) -> None:
    small = filesystem.subvolume("small")
    file = tmp_path / "config.toml"
    file.write_text(
        '[[repositories]]\nname = "beyond"\nrepository = "s3://beyond"\n'
        f'endpoint_url = "http://{ways.detour_gateway}:9"\n'
        f'[[sources]]\npath = "{small}"\nrepositories = ["default", "beyond"]\n'
    )
    began = time.monotonic()
    ran = laptop.with_settings(network_wait="2s").run("-c", str(file), "--json", "backup")
    assert ran.returncode == 4, ran.stderr
    assert time.monotonic() - began > 2
    first, second = json.loads(ran.stdout)["repositories"]
    assert first["sources"][0]["backup"]["raw_size_bytes"] > 0
    assert "error" not in first
    assert EXCLUDED in second["error"]["message"]
