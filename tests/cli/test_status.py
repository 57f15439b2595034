"""The answer to "did it work?": what is judged, what runs now, what went wrong last."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.program import ROOT, Ran, until

if TYPE_CHECKING:
    from tests.cli.program import Program

pytestmark = pytest.mark.btrfs
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
SLOW = ("--bandwidth-limit", "100KB/s")


def _source(program: Program, *options: str) -> dict[str, Any]:
    (source,) = program.run("status", "--json", *options).document["sources"]
    assert isinstance(source, dict)
    return source


@dataclass(frozen=True)
class Laptop:
    """The program on another machine: one with a machine id, a name and a state of its own."""

    program: Program
    directory: Path

    def configured(self, text: str) -> Laptop:
        return replace(self, program=self.program.configured(text))

    def run(self, *arguments: str) -> Ran:
        """Run it in a mount namespace where machine-id(5) is the other's."""
        own = self.directory / "machine-id"
        own.write_text("5ca1ab1e" * 4 + "\n")
        program = self.program.with_environment(
            BTRFS_TO_S3_HOST="laptop", BTRFS_TO_S3_STATE_DIR=str(self.directory / "state")
        )
        ran = subprocess.run(
            [
                "unshare",
                "--mount",
                "sh",
                "-c",
                f'mount --bind {own} /etc/machine-id && exec "$@"',
                "sh",
                sys.executable,
                "-m",
                "btrfs_to_s3",
                "-c",
                str(program.file),
                *arguments,
            ],
            env={"PATH": os.environ["PATH"], **program.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)


def test_how_far_a_run_is_can_be_seen_until_it_is_over(program: Program, data: Path) -> None:
    program.run("backup", data)
    assert _source(program)["running"] is None
    (data / "random").write_bytes(os.urandom(3_000_000))
    with program.start("backup", data, *SLOW) as process:
        seen = until(
            lambda: (run := _source(program)["running"]) and run["progress"]["raw_bytes"] and run
        )
        assert seen["command"] == "backup"
        assert seen["pid"] == process.pid
        assert seen["progress"]["subject"] == data.name
        assert seen["progress"]["activity"] == "incremental backup"
        assert 0 < seen["progress"]["raw_bytes"] < 4_000_000
        said = program.run("status").out
        assert f"running: backup (process {process.pid}, for " in said
        assert f"  {data.name}: incremental backup: " in said
        process.terminate()
        process.communicate(timeout=60)
    document = program.run("status", "--json").document
    assert document["running"] == []
    assert document["sources"][0]["running"] is None


def test_what_a_killed_run_left_is_not_shown_as_running(program: Program, data: Path) -> None:
    program.run("backup", data)
    (data / "random").write_bytes(os.urandom(3_000_000))
    with program.start("backup", data, *SLOW) as process:
        until(lambda: _source(program)["running"])
        process.kill()
        process.communicate(timeout=60)
    root = Path(program.environ["BTRFS_TO_S3_STATE_DIR"])
    assert list(root.glob("*/running/*.json"))
    assert program.run("status", "--json").document["running"] == []
    assert program.run("backup", data).code == 0
    assert not list(root.glob("*/running/*"))


def test_the_last_error_is_shown_until_a_run_succeeds(program: Program, data: Path) -> None:
    program = program.configured(f'[[sources]]\npath = "{data}"\n')
    program.run("backup")
    assert _source(program)["last_error"] is None
    away = data.rename(data.with_name(f"{data.name}-away"))
    program.run("backup")
    error = _source(program)["last_error"]
    assert (error["code"], error["kind"], error["command"]) == (3, "source", "backup")
    assert error["hint"]
    said = program.run("status").out
    assert f"nas   {data.name}  failing  20" in said
    assert f"nas/{data.name}: the backup of 20" in said
    assert max(map(len, said.splitlines()[:2])) < 100
    away.rename(data)
    (data / "random").write_bytes(os.urandom(3_000_000))
    with program.start("backup", *SLOW) as process:
        until(lambda: (run := _source(program)["running"]) and run["progress"]["raw_bytes"])
        process.terminate()
        process.communicate(timeout=60)
    stopped = _source(program)
    assert stopped["last_error"]["kind"] == "interrupted"
    # An interruption says nothing about whether it works again.
    assert stopped["failing"]
    assert program.run("backup").code == 0
    assert not _source(program)["failing"]
    assert _source(program)["last_error"] is None
    data.rename(away)
    program.run("backup")
    away.rename(data)
    # Unchanged, so that nothing is written remotely: that it was looked at clears the error.
    assert program.run("backup").code == 0
    assert _source(program)["last_error"] is None


@pytest.mark.parametrize("label", ["a", "zz"])
def test_a_source_that_has_another_label_now_is_shown_with_what_went_wrong_since(
    program: Program, data: Path, label: str
) -> None:
    program = program.configured(f'[[sources]]\npath = "{data}"\n')
    assert program.run("backup").code == 0
    program = program.configured(f'[[sources]]\npath = "{data}"\nlabel = "{label}"\n')
    assert program.run("backup").code == 0
    data.rename(data.with_name(f"{data.name}-away"))
    assert program.run("backup").code == 3
    assert _source(program)["last_error"]["code"] == 3


def test_errors_of_a_source_that_was_never_stored_and_of_commands_are_shown(
    program: Program, data: Path
) -> None:
    program.run("backup", data)
    missing = data.with_name("not-there")
    program = program.configured(f'[[sources]]\npath = "{missing}"\n')
    assert program.run("backup").code == 3
    assert program.run("prune", "no-such-source").code == 2
    errors = program.run("status", "--json").document["other_errors"]
    assert [(error["label"], error["command"], error["code"]) for error in errors] == [
        ("not-there", "backup", 3),
        (None, "prune", 2),
    ]


def test_only_this_hosts_sources_are_judged_unless_all_are_asked_for(
    program: Program, data: Path, tmp_path: Path
) -> None:
    program.run("backup", data)
    laptop = Laptop(program, tmp_path)
    looking = laptop.run("status", "--json", "--max-age", "26h")
    assert looking.code == 0
    assert looking.document["all_hosts"] is True
    assert looking.document["sources"][0]["host"] == "nas"
    assert any("this machine has no source in it" in each for each in looking.lines)
    assert laptop.run("status", "--max-age", "0").code == 8

    own = laptop.configured(f'[[sources]]\npath = "{data}"\nlabel = "mine"\n')
    assert own.run("backup", "--new").code == 0
    mine = own.run("status", "--json").document
    assert [source["label"] for source in mine["sources"]] == ["mine"]
    assert (mine["all_hosts"], mine["other_sources_count"]) == (False, 1)
    assert "1 source of other hosts" in own.run("status").out
    every = own.run("status", "--json", "--all-hosts").document
    assert len(every["sources"]) == 2
    assert (every["all_hosts"], every["other_sources_count"]) == (True, 0)


def test_a_configured_source_that_is_not_stored_is_stale_whatever_others_have(
    program: Program, data: Path, tmp_path: Path
) -> None:
    program.run("backup", data)
    laptop = Laptop(program, tmp_path).configured('[[sources]]\npath = "/not-there"\n')
    ran = laptop.run("status", "--json", "--max-age", "26h")
    assert ran.code == 8
    assert ran.document["never_backed_up"] == ["not-there"]


def test_without_the_state_directory_the_repository_still_answers(
    program: Program, data: Path, tmp_path: Path
) -> None:
    program.run("backup", data)
    forgetful = program.with_environment(BTRFS_TO_S3_STATE_DIR=str(tmp_path / "fresh"))
    source = _source(forgetful, "--max-age", "26h")
    assert not source["stale"]
    assert source["last_error"] is None


def test_somebody_else_than_root_is_told_what_the_repository_says(
    program: Program, data: Path
) -> None:
    program.run("backup", data)
    Path(program.environ["BTRFS_TO_S3_STATE_DIR"]).chmod(0o700)
    with tempfile.TemporaryDirectory() as home:
        os.chown(home, 65534, 65534)
        environ = {"PATH": os.environ["PATH"], **program.environ, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(
            [*NOBODY, sys.executable, "-m", "btrfs_to_s3", "status", "--max-age", "26h", "--json"],
            env={**environ, "HOME": home},
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert ran.returncode == 0, ran.stderr
    (source,) = json.loads(ran.stdout)["sources"]
    assert (source["host"], source["stale"], source["last_error"]) == ("nas", False, None)
