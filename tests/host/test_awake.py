"""The lock against sleep ends with the run, however that ends, and fails nothing."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from btrfs_to_s3.host.awake import awake
from tests.stand_ins.programs import executable

Children = Callable[[], set[psutil.Process]]

ROOT = Path(__file__).parents[2]
HOLDS = """\
#!/bin/sh
echo "$@" > {0}/asked
for last; do :; done
"$last"
echo over >> {0}/asked
"""
"""What systemd-inhibit does: it runs its command and lets go when that has ended."""
PROMPT_S = 10.0


def stand_in(directory: Path, script: str) -> str:
    return str(executable(directory / "systemd-inhibit", script))


def read_when_there(path: Path, text: str) -> str:
    deadline = time.monotonic() + PROMPT_S
    while time.monotonic() < deadline:
        if path.exists() and text in path.read_text():
            return path.read_text()
        time.sleep(0.02)
    pytest.fail(f"{path} never had {text!r}")


@pytest.fixture
def children() -> Callable[[], set[psutil.Process]]:
    """Which processes were started since; services of other tests may be at work beside."""
    before = set(psutil.Process().children(recursive=True))
    return lambda: set(psutil.Process().children(recursive=True)) - before


def test_the_lock_is_held_within_the_block_alone(tmp_path: Path, children: Children) -> None:
    with awake("a backup", stand_in(tmp_path, HOLDS.format(tmp_path))):
        asked = read_when_there(tmp_path / "asked", "cat")
        assert asked.split() == (
            ["--what=sleep:idle", "--mode=block", "--who=btrfs-to-s3", "--why=a", "backup", "cat"]
        )
        assert children()
    assert (tmp_path / "asked").read_text().endswith("over\n")
    assert not children()


def test_a_killed_run_lets_the_machine_sleep(tmp_path: Path) -> None:
    program = stand_in(tmp_path, HOLDS.format(tmp_path))
    script = f"""
import os, time
from btrfs_to_s3.host.awake import awake
from tests.stand_ins.programs import executable
with awake("a backup", {program!r}):
    os.read(0, 1)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
    ) as run:
        read_when_there(tmp_path / "asked", "cat")
        held = psutil.Process(run.pid).children(recursive=True)
        assert held
        run.send_signal(signal.SIGKILL)
        run.wait(PROMPT_S)
    read_when_there(tmp_path / "asked", "over")
    _, alive = psutil.wait_procs(held, timeout=PROMPT_S)
    assert not alive


@pytest.mark.parametrize(
    "script", ["#!/bin/sh\necho 'Failed to inhibit: Access denied' >&2\nexit 1\n", None]
)
def test_without_logind_the_run_goes_on_and_only_details_tell(
    tmp_path: Path, script: str | None, caplog: pytest.LogCaptureFixture, children: Children
) -> None:
    program = str(tmp_path / "none") if script is None else stand_in(tmp_path, script)
    with caplog.at_level(logging.DEBUG, "btrfs_to_s3"), awake("a backup", program):
        pass
    assert [record.levelno for record in caplog.records] == [logging.DEBUG]
    assert ("none" if script is None else "Access denied") in caplog.text
    assert not children()


def test_one_that_does_not_end_is_killed_and_the_error_of_the_block_stays(
    tmp_path: Path, children: Children
) -> None:
    program = stand_in(tmp_path, "#!/bin/sh\nexec sleep 3600\n")
    with pytest.raises(KeyError), awake("a backup", program):
        raise KeyError
    assert not children()
