"""One run at a time: real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from btrfs_to_s3.errors import ExitCode, LockedError, SourceError, UsageError
from btrfs_to_s3.host.lock import RunLock, shown_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

REPOSITORY_ROOT = Path(__file__).parents[2]
HOLDER = textwrap.dedent("""
    import subprocess, sys
    from pathlib import Path
    from btrfs_to_s3.host.lock import RunLock
    with RunLock(Path(sys.argv[1])):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
        print(child.pid, flush=True)
        sys.stdin.readline()
        child.kill()
        child.wait()
""")


@contextmanager
def another_run(directory: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that holds the lock, and the pid of a child it has."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY_ROOT,
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            yield process, child
        finally:
            process.kill()
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def test_a_second_run_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    with another_run(tmp_path) as (process, _):
        with pytest.raises(LockedError) as caught, RunLock(tmp_path):
            pass
        started = psutil.Process(process.pid).create_time()
    assert caught.value.exit_code is ExitCode.LOCKED
    assert f"process {process.pid}, running since " in caught.value.message
    assert time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(started)) in caught.value.message
    assert str(tmp_path) in caught.value.message
    assert f"kill {process.pid}" in str(caught.value.hint)


def test_a_run_that_ended_normally_leaves_the_lock_free_and_empty(tmp_path: Path) -> None:
    with another_run(tmp_path) as (process, _):
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(10) == 0
        assert (tmp_path / "lock").read_bytes() == b""
        with RunLock(tmp_path):
            pass


def test_a_run_killed_with_9_is_no_obstacle_even_while_its_children_live(tmp_path: Path) -> None:
    with another_run(tmp_path) as (process, child):
        process.kill()
        process.wait()
        assert psutil.pid_exists(child)
        assert (tmp_path / "lock").read_bytes()
        with RunLock(tmp_path):
            assert json.loads((tmp_path / "lock").read_bytes())["pid"] == os.getpid()


def test_threads_of_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    start, most, inside, entered = threading.Barrier(6), 0, 0, 0
    guard = threading.Lock()

    def run() -> None:
        nonlocal inside, most, entered
        start.wait()
        for _ in range(5):
            try:
                with RunLock(tmp_path):
                    with guard:
                        inside += 1
                        entered += 1
                        most = max(most, inside)
                    time.sleep(0.001)
                    with guard:
                        inside -= 1
            except LockedError:
                time.sleep(0.001)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert entered >= 1


def test_the_lock_can_be_taken_again_after_an_error_inside(tmp_path: Path) -> None:
    with pytest.raises(KeyError), RunLock(tmp_path):
        raise KeyError
    with RunLock(tmp_path):
        pass


def test_two_repositories_do_not_exclude_each_other(tmp_path: Path) -> None:
    with RunLock(tmp_path / "one"), RunLock(tmp_path / "two"):
        pass


def test_what_a_predecessor_left_is_not_reported_as_the_holder(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        stale = {"pid": os.getpid(), "started_s": 1.0, "command": "long gone"}
        (tmp_path / "lock").write_text(json.dumps(stale))
        with pytest.raises(LockedError) as caught, RunLock(tmp_path):
            pass
    assert "the last that is known to have started" in caught.value.message
    assert "kill" not in str(caught.value.hint)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1}'])
def test_an_unreadable_lock_file_still_excludes(tmp_path: Path, content: str) -> None:
    with RunLock(tmp_path):
        (tmp_path / "lock").write_text(content)
        with pytest.raises(LockedError, match="does not say who it is"), RunLock(tmp_path):
            pass


def test_a_holder_that_is_just_starting_is_waited_for(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        own = (tmp_path / "lock").read_bytes()
        (tmp_path / "lock").write_bytes(b"")
        late = threading.Timer(0.2, (tmp_path / "lock").write_bytes, [own])
        late.start()
        with pytest.raises(LockedError, match=f"process {os.getpid()}, running"), RunLock(tmp_path):
            pass
        late.join()


def test_a_directory_that_cannot_be_written_says_what_to_do(
    public_directory: Path, ordinary_user: Callable[[], AbstractContextManager[None]]
) -> None:
    with ordinary_user(), pytest.raises(UsageError) as caught, RunLock(public_directory / "state"):
        pass
    assert "sudo" in str(caught.value.hint)


def test_a_place_that_is_no_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="cannot be used"), RunLock(tmp_path / "file"):
        pass


def test_secrets_on_a_command_line_are_not_shown_to_who_comes_second() -> None:
    shown = shown_command(
        ["program", "backup", "--ping-url", "https://h/s", "--notify-urls=json://s", "--host", "x"]
    )
    assert shown == "program backup --ping-url '…' '--notify-urls=…' --host x"
