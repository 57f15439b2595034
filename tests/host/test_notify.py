"""Everybody is told through the real apprise, in a process that ends when it is told to."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

import psutil
import pytest

from btrfs_to_s3.host.notify import Notification, Notifier, unusable
from tests.cli.program import until
from tests.stand_ins.watch_service import WatchService

if TYPE_CHECKING:
    from pathlib import Path

TOLD = Notification("it failed", "line 1\nline 2 <b>&\n", failure=True)


def _notify(*urls: str, within_s: float = 60) -> list[str]:
    warnings: list[str] = []
    notifier = Notifier(urls, TOLD, warnings.append)
    notifier.join(within_s)
    notifier.close()
    return warnings


def test_what_is_told_arrives_as_it_was_written() -> None:
    with WatchService() as service:
        assert _notify(f"json://{service.address}/a") == []
    (message,) = [json.loads(heard.body) for heard in service.heard]
    assert (message["title"], message["message"]) == ("it failed", "line 1\nline 2 <b>&")
    assert message["type"] == "failure"


def test_one_that_cannot_be_told_keeps_no_other_from_it() -> None:
    with WatchService() as good, WatchService(status=500) as bad:
        warnings = _notify(
            f"json://{bad.address}/5ecre7", "nosuch://5ecre7", f"json://{good.address}/"
        )
    assert len(good.heard) == 1
    assert sorted(warnings) == [
        "notify_urls: number 1 (json://) could not be told: not reached, or refused there",
        "notify_urls: number 2 (nosuch://) could not be told: apprise knows no such address",
    ]


def test_one_that_hangs_is_left_behind_and_no_process_stays() -> None:
    before = set(psutil.Process().children())
    with socket.create_server(("127.0.0.1", 0)) as server:
        (warning,) = _notify(f"json://127.0.0.1:{server.getsockname()[1]}/5ecre7", within_s=1)
    assert warning == "notify_urls: number 1 (json://) could not be told: there was no answer"
    assert set(psutil.Process().children()) <= before


def test_nothing_is_imported_from_the_directory_somebody_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "apprise", "btrfs_to_s3"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(0)\n")
    monkeypatch.chdir(tmp_path)
    with WatchService() as service:
        assert _notify(f"json://{service.address}/a") == []
    assert len(service.heard) == 1


def test_a_pipe_that_somebody_else_holds_open_delays_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, held = tmp_path / "apprise", tmp_path / "held"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import pathlib, subprocess, time\nsubprocess.Popen(['sleep', '6'])\n"
        f"pathlib.Path({str(held)!r}).touch()\ntime.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    notifier = Notifier(["json://localhost/"], TOLD, lambda _: None)
    until(held.exists)
    notifier.close()
    assert notifier.is_alive()
    notifier.join(20)


@pytest.mark.filterwarnings("ignore:.*slated for removal in Python:DeprecationWarning")
def test_addresses_that_apprise_does_not_know_are_named_without_their_secrets() -> None:
    assert unusable(["json://localhost/5ecre7", "nosuch://5ecre7"]) == ("number 2 (nosuch://)",)
