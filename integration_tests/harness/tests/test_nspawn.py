"""What walks through a booted machine stand on; the walks themselves are run_systemd.py's."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest

from integration_tests.harness.machine import group, namespaces
from integration_tests.harness.machine.hierarchies import cgroup_mounts
from integration_tests.harness.nspawn.making import loopback_namespace
from integration_tests.harness.nspawn.pings import Ping, watch_service
from integration_tests.harness.nspawn.walks import WALKS
from integration_tests.harness.nspawn.walkthrough import PAGE, Command, commands

if TYPE_CHECKING:
    from pathlib import Path

PING = """
import sys, urllib.request
for path, body in (("/start", None), ("", b""), ("/fail", b"why")):
    urllib.request.urlopen(sys.argv[1] + path, data=body).close()
"""


def test_commands_of_console_blocks_are_found_with_their_sections(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n## 1. First\n```toml\n# not one\n```\n```console\n# one 'two'\nits output\n"
        "```\n### Second\n```ini\n# nor this\n```\n```console\n# three\n```\n"
    )
    assert commands(page) == [Command("First", "one 'two'"), Command("Second", "three")]


def test_the_page_has_every_step_from_keys_to_a_stop() -> None:
    sections = {command.section for command in commands()}
    assert {"Keys", "Timers", "Look at it", "Stop it"} <= sections
    lines = [command.line for command in commands()]
    assert len(lines) == len(re.findall(r"^# [a-z]", _console(PAGE.read_text()), re.MULTILINE))


def test_every_walk_says_what_it_proves() -> None:
    for walk in WALKS.values():
        assert walk.__doc__, walk
        assert walk.__doc__.splitlines()[0].endswith(".")


@pytest.mark.btrfs
@pytest.mark.usefixtures("privileged")
def test_a_watch_service_hears_what_is_called_inside_its_namespace() -> None:
    with loopback_namespace() as namespace, watch_service(namespace) as watch:
        enter = ["nsenter", f"--net={namespaces.path_of(namespace)}", "--"]
        subprocess.run([*enter, sys.executable, "-c", PING, watch.url], check=True)
        assert watch.pings == [Ping("start", ""), Ping("", ""), Ping("fail", "why")]
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(watch.url)  # noqa: S310 - http, and nobody there
    assert not namespaces.exists(namespace)


@pytest.mark.btrfs
@pytest.mark.usefixtures("privileged")
def test_a_group_ends_with_all_its_processes_and_groups_inside() -> None:
    path = group.group_path(f"btrfs-to-s3-test-{secrets.token_hex(4)}")
    script = f"mkdir {path}/inner && sleep 600 & setsid sleep 600 & wait"
    with subprocess.Popen([*group.entering(path), "sh", "-c", script]) as process:
        while len(group.processes(path)) < len(("sh", "sleep", "sleep")):
            assert process.poll() is None
        group.remove(path)
    assert not path.exists()
    group.remove(path)


def test_a_group_lies_in_a_hierarchy_of_version_2() -> None:
    points = [mount.point for mount in cgroup_mounts() if not mount.is_v1]
    if points:
        assert any(group.group_path("x").is_relative_to(point) for point in points)


def _console(text: str) -> str:
    return "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL))
