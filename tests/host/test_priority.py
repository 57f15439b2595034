"""The idle priority reaches what is started under it, and is given back by who may."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, os, subprocess, sys, threading
import psutil
from btrfs_to_s3.host.priority import idle

def seen(process):
    return [process.nice(), process.ionice().ioclass]
def of_child():
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        children.append(seen(psutil.Process(child.pid)))

if len(sys.argv) > 1:
    os.setuid(65534)
own, children, told = psutil.Process(), [], []
before = seen(own)
with idle(told.append):
    inside = seen(own)
    thread = threading.Thread(target=of_child)
    thread.start()
    thread.join()
print(json.dumps([before, inside, *children, seen(own), told]))
"""
NORMAL, IDLE = [os.nice(0), 0], [19, 3]
"""Niceness and I/O class; a test run may be gentle itself."""


def seen_by_a_process(*arguments: str) -> Any:  # noqa: ANN401 - any JSON
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
        text=True,
    )
    return json.loads(ran.stdout)


def test_threads_and_children_inherit_it_and_root_gets_its_own_back() -> None:
    before, inside, child, after, told = seen_by_a_process()
    assert (before, inside, child, told) == (NORMAL, IDLE, IDLE, [])
    assert after == (NORMAL if os.geteuid() == 0 else [19, 0])


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes somebody else")
def test_an_ordinary_user_may_be_gentle_too_and_stays_so() -> None:
    before, inside, child, after, told = seen_by_a_process("as nobody")
    assert (before, inside, child, told) == (NORMAL, IDLE, IDLE, [])
    assert after == [19, 0]
