"""The scripts as a user meets them: help, refusals, and the whole way with sudo."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import secrets
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from integration_tests.harness.machine import devices
from integration_tests.harness.scripting.sequence import SCRIPTS
from integration_tests.harness.services.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

LINES = 60
NAMES = sorted(path.stem for path in SCRIPTS.glob("[a-z]*.py"))


def run(name: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPTS / f"{name}.py", *options],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_no_script_is_long_or_unknown_to_the_readme() -> None:
    readme = (REPOSITORY / "integration_tests" / "README.md").read_text()
    for path in sorted(SCRIPTS.glob("*.py")):
        assert len(path.read_text().splitlines()) <= LINES, path.name
    assert [name for name in NAMES if f"{name}.py" not in readme] == []


@pytest.mark.parametrize("name", NAMES)
def test_help_says_what_a_script_does(name: str) -> None:
    done = run(name, "--help", COLUMNS="200")
    assert done.returncode == 0
    assert "--config" in done.stdout
    first = (SCRIPTS / f"{name}.py").read_text().splitlines()[0].strip('"')
    assert first.rstrip(".") in done.stdout


def test_a_wrong_configuration_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("surprise = 1")
    done = run("seed_data", "--config", str(tmp_path / "a.toml"))
    assert (done.returncode, "surprise" in done.stderr) == (2, True)


def test_without_a_stage_the_command_to_use_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('name = "nowhere"')
    done = run("seed_data", "--config", str(tmp_path / "a.toml"), HARNESS_RUN_DIR=str(tmp_path))
    assert done.returncode == 1
    assert f"setup_btrfs.py --config {tmp_path / 'a.toml'}" in done.stderr
    [result] = (tmp_path / "nowhere" / "results").glob("*-seed_data.json")
    document = json.loads(result.read_text())
    assert (document["passed"], "nothing is set up" in document["error"]) == (False, True)


@dataclass(frozen=True, slots=True)
class Person:
    """An ordinary user who may use sudo, and their view of checkout and interpreter."""

    name: str
    home: Path
    python: str
    environment: dict[str, str]

    def script(self, name: str, *options: str, sudo: bool = False) -> str:
        """Run a script as this user; its output. It must pass."""
        done = self.tried(name, *options, sudo=sudo)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tried(
        self, name: str, *options: str, sudo: bool = False
    ) -> subprocess.CompletedProcess[str]:
        path = self.home / "checkout" / "integration_tests" / "scripts" / f"{name}.py"
        command = [*(["sudo", "-n", "-E"] if sudo else []), self.python, str(path), *options]
        entry = pwd.getpwnam(self.name)
        return subprocess.run(
            command,
            env=self.environment,
            cwd=self.home,
            user=entry.pw_uid,
            group=entry.pw_gid,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )


@pytest.fixture
def person(privileged: None) -> Iterator[Person]:  # noqa: ARG001
    """A user of this machine for one test; checkout and packages are bound into their home.

    Neither need be readable for others where they lie.
    """
    name = f"harness{secrets.token_hex(3)}"
    home = Path("/var/tmp") / name  # noqa: S108 - made here, with a name nobody else has
    sudoers = Path("/etc/sudoers.d") / name
    with contextlib.ExitStack() as stack:
        stack.callback(sudoers.unlink, missing_ok=True)
        stack.callback(command, "rm", "-rf", "--one-file-system", home)
        home.mkdir()
        command("useradd", "--no-create-home", "--home", home, name)
        stack.callback(command, "userdel", name)
        sudoers.write_text(f"{name} ALL=(root) NOPASSWD:SETENV: ALL\n")
        sudoers.chmod(0o440)
        for folder, what in (
            ("checkout", REPOSITORY),
            ("packages", Path(sysconfig.get_path("platlib"))),
        ):
            bound = home / folder
            bound.mkdir()
            command("mount", "--bind", what, bound)
            stack.callback(command, "umount", bound)
        run_dir = home / "run"
        run_dir.mkdir()
        python = reachable_python(pwd.getpwnam(name).pw_uid)
        command(python, "-m", "venv", "--without-pip", run_dir / "venv")
        [packages] = (run_dir / "venv" / "lib").glob("python*/site-packages")
        (packages / "bound.pth").write_text(f"{home / 'packages'}\n")
        entry = pwd.getpwnam(name)
        os.chown(run_dir, entry.pw_uid, entry.pw_gid)
        yield Person(
            name,
            home,
            python,
            {
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": str(home),
                "HARNESS_RUN_DIR": str(run_dir),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )


def command(*arguments: str | Path) -> None:
    subprocess.run(arguments, check=True)


def reachable_python(user: int) -> str:
    """An interpreter of this version that another user can start."""
    version = f"python3.{sys.version_info.minor}"
    for candidate in (
        os.path.realpath(sys.executable),
        f"/usr/local/bin/{version}",
        f"/usr/bin/{version}",
    ):
        with contextlib.suppress(OSError):
            done = subprocess.run([candidate, "-c", ""], user=user, cwd="/", check=False)
            if done.returncode == 0:
                return candidate
    pytest.fail(f"no {version} that an ordinary user can start")


def owners(path: Path) -> set[int]:
    """Who owns what lies below, the path included."""
    return {entry.lstat().st_uid for entry in (path, *path.rglob("*"))}


@pytest.mark.btrfs
@pytest.mark.timeout(600)
def test_an_ordinary_user_goes_the_whole_way_with_sudo_where_it_is_needed(person: Person) -> None:
    user = pwd.getpwnam(person.name).pw_uid
    run_dir = person.home / "run"
    refused = person.tried("setup_btrfs")
    assert refused.returncode == 3
    assert re.search(r"Use: sudo -E \S+python\S* \S+/setup_btrfs.py", refused.stderr)
    person.script("setup_btrfs", sudo=True)
    try:
        stage = json.loads((run_dir / "test" / "stage.json").read_text())
        assert Path(stage["source"], "data").stat().st_uid == user
        assert person.tried("run_full").returncode == 3
        person.script("seed_data")
        assert owners(Path(stage["source"], "data")) == {user}
        person.script("run_full", sudo=True)
        person.script("verify_manifest")
        person.script("mutate_data", "--seed", "3")
        person.script("run_incremental", sudo=True)
        person.script("run_restore", sudo=True)
        person.script("verify_restore")
        person.script("verify_s3")
        person.script("cleanup_s3_prefix")
        for folder in ("logs", "results"):
            assert owners(run_dir / "test" / folder) == {user}, folder
    finally:
        person.script("teardown_btrfs", sudo=True)
    person.script("teardown_btrfs", sudo=True)
    assert "FAIL" not in person.script("setup_btrfs", sudo=True)
    person.script("teardown_btrfs", sudo=True)


@pytest.mark.btrfs
@pytest.mark.parametrize("after_s", [0.4, 0.7, 1.0, 1.4])
def test_tear_down_removes_what_a_killed_set_up_left(
    privileged: None,  # noqa: ARG001
    tmp_path: Path,
    after_s: float,
) -> None:
    variables = {
        "HARNESS_RUN_DIR": str(tmp_path),
    }
    with subprocess.Popen(
        [sys.executable, SCRIPTS / "setup_btrfs.py"],
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
    ) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(after_s)
        process.kill()
    for _ in range(2):
        done = run("teardown_btrfs", **variables)
        assert done.returncode == 0, done.stdout + done.stderr
    assert not [mount for mount in devices.mounts() if mount.point.is_relative_to(tmp_path)]
    backing = [path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    assert not [file for file in backing if file.startswith(str(tmp_path))]
    assert users_of(tmp_path) == []


def users_of(folder: Path) -> list[int]:
    """Processes that have a file below a folder open, such as a server its log."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(Path(file.path).is_relative_to(folder) for file in process.open_files()):
                found.append(process.pid)
    return found
