"""The network policy on the command line: who obeys it, and how it ends.

The service is on this machine, so the kernel's route to it goes through ``lo``.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.program import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.program import Program

RUNS = {
    "backup": ["backup", "{data}"],
    "compact": ["compact", "{data}"],
    "copy": ["copy", "{name}", "--to", "s3://elsewhere"],
    "prune": ["prune"],
    "restore": ["restore", "{name}", "--target", "{target}"],
    "thaw request": ["thaw", "{name}", "request"],
    "thaw wait": ["thaw", "{name}", "wait"],
    "verify": ["verify"],
}
LOOKS = {
    "backup --dry-run": ["backup", "{data}", "--dry-run"],
    "compact --dry-run": ["compact", "{data}", "--dry-run"],
    "cost": ["cost"],
    "doctor": ["doctor", "{data}"],
    "list": ["list"],
    "plan": ["plan", "{data}"],
    "prune --dry-run": ["prune", "--dry-run"],
    "restore --dry-run": ["restore", "{name}", "--target", "{target}", "--dry-run"],
    "show": ["show", "{name}"],
    "status": ["status"],
    "thaw plan": ["thaw", "{name}", "plan"],
    "thaw status": ["thaw", "{name}", "status"],
}


def _filled(arguments: list[str], data: Path, target: Path) -> list[str]:
    return [each.format(data=data, name=data.name, target=target) for each in arguments]


@pytest.fixture
def stored(program: Program, data: Path) -> Program:
    """The program with one backup, which its policy now keeps from anything more."""
    assert program.run("backup", data).code == 0
    return program.with_environment(
        BTRFS_TO_S3_NETWORK_EXCLUDE="wwan* lo", BTRFS_TO_S3_NETWORK_WAIT="0s"
    )


def test_every_run_obeys_and_no_look_does(stored: Program, data: Path, target: Path) -> None:
    for name, arguments in RUNS.items():
        ran = stored.run(*_filled(arguments, data, target), "--json")
        assert ran.code == 4, name
        error = ran.document["error"]
        assert error["kind"] == "unreachable", name
        assert "goes through lo, which network_exclude names (lo)" in error["message"]
        assert "network_wait" in error["hint"]
    for name, arguments in LOOKS.items():
        ran = stored.run(*_filled(arguments, data, target))
        assert ran.code == 0, (name, ran.err)
    assert not any(target.iterdir())


def test_no_state_is_locked_or_sent_while_a_run_waits_and_a_signal_ends_it(
    stored: Program, data: Path
) -> None:
    waiting = stored.with_environment(BTRFS_TO_S3_NETWORK_WAIT="1h")
    with waiting.start("verify") as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert "waiting up to 1 h 0 min for a route to 127.0.0.1 that may be used: " in said
        free = stored.with_environment(BTRFS_TO_S3_NETWORK_EXCLUDE="none")
        assert free.run("backup", data, "--force").code == 0
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped by SIGTERM" in err
    assert err.count("waiting up to") == 0


def test_an_interface_that_is_listed_is_used(stored: Program, data: Path) -> None:
    free = stored.with_environment(BTRFS_TO_S3_NETWORK_EXCLUDE="none")
    assert free.run("backup", data, "--force", "--network-interfaces", "eth9 lo").code == 0
    ran = free.run("backup", data, "--network-interfaces", "eth9", "--network-wait", "0s")
    assert ran.code == 4
    assert "lo, which network_interfaces does not name (eth9)" in ran.err


def test_the_command_line_may_lift_what_the_file_excludes(stored: Program) -> None:
    assert stored.run("verify", "--network-exclude", "none").code == 0


def test_a_name_that_cannot_be_resolved_is_waited_for_and_then_named(stored: Program) -> None:
    ran = stored.run(
        "verify", "--endpoint-url", "http://nowhere.invalid:9", "--network-exclude", "wwan*",
        "--network-wait", "1s",
    )  # fmt: skip
    assert ran.code == 4
    assert "waiting up to 1 s" in ran.err
    assert "no route to nowhere.invalid may be used: its name cannot be resolved" in ran.err


def test_repositories_wait_out_of_one_purse_and_by_their_own_ways(two: Program) -> None:
    ran = two.run("backup", "--json", "--network-exclude", "lo", "--network-wait", "1s")
    assert ran.code == 4
    # What the first one waited is gone: the second one does not even begin to wait.
    assert ran.err.count("waiting up to") == 1
    errors = [each["error"]["message"] for each in ran.document["repositories"]]
    assert all("network_exclude names (lo)" in each for each in errors)


@pytest.mark.parametrize(
    ("exclude", "verdict", "said"),
    [
        ("lo", "warn", "127.0.0.1: the route to 127.0.0.1 goes through lo"),
        ("wwan*", "pass", "127.0.0.1 is reached by a way that may be used: 127.0.0.1 through lo"),
        ("none", "pass", "data may go through every interface"),
    ],
)
def test_doctor_says_which_way_data_goes(
    program: Program, exclude: str, verdict: str, said: str
) -> None:
    ran = program.run("doctor", "--network-exclude", exclude, "--json")
    [check] = [each for each in ran.document["checks"] if each["name"] == "network"]
    assert check["verdict"] == verdict
    assert check["text"].startswith(said)


def test_without_a_policy_nothing_is_loaded_or_looked_at(program: Program) -> None:
    shown = (
        "import sys; from btrfs_to_s3.cli.main import main\n"
        "try: main()\nfinally: print('pyroute2' in sys.modules, file=sys.stderr)"
    )
    for exclude, loaded in (("none", "False"), ("wwan*", "True")):
        ran = subprocess.run(
            [sys.executable, "-c", shown, "verify", "--network-exclude", exclude],
            env={**program.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.stderr.splitlines()[-1] == loaded
