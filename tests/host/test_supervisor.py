"""A run tells the service manager what it asks for, and never fails because of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.host.supervisor import Supervisor
from tests.stand_ins.service_manager import manager

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("abstract", [False, True])
def test_lines_arrive_in_one_message_at_either_kind_of_socket(*, abstract: bool) -> None:
    with manager(abstract=abstract) as listening:
        supervisor = Supervisor.of({"NOTIFY_SOCKET": listening.name})
        assert supervisor is not None
        assert supervisor.tell("READY=1", "STATUS=two\nlines")
        assert listening.lines == ["READY=1", "STATUS=two lines"]


@pytest.mark.parametrize("name", ["", "vsock:2:1234", "notify"])
def test_no_socket_or_one_of_another_kind_means_that_nobody_listens(name: str) -> None:
    assert Supervisor.of({"NOTIFY_SOCKET": name}) is None
    assert Supervisor.of({}) is None


def test_a_manager_that_went_away_is_no_error(tmp_path: Path) -> None:
    gone = Supervisor.of({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    too_long = Supervisor.of({"NOTIFY_SOCKET": "/" + "x" * 300})
    assert gone is not None
    assert too_long is not None
    assert not gone.tell("READY=1")
    assert not too_long.tell("READY=1")


@pytest.mark.parametrize(
    ("environ", "expected_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "1500000"}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_a_watchdog_counts_only_for_the_process_it_was_set_for(
    environ: dict[str, str], expected_s: float | None
) -> None:
    supervisor = Supervisor.of({"NOTIFY_SOCKET": "/run/x", **environ})
    assert supervisor is not None
    assert supervisor.watchdog_s == expected_s
