"""What an installation of units needs of the machine and of the program."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from btrfs_to_s3.errors import UsageError
from btrfs_to_s3.host.systemd import JOBS, Systemctl
from btrfs_to_s3.wiring.scheduling import (
    Manager,
    require_safe,
    require_writable,
    running_program,
)

NOBODY = 65534


def program(directory: Path, name: str = "btrfs-to-s3", mode: int = 0o755) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    made = directory / name
    made.write_text("#!/bin/sh\n")
    made.chmod(mode)
    return made


def test_the_program_is_the_one_that_was_called_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = program(tmp_path / "bin")
    assert running_program(str(made), "/nowhere/python") == str(made)
    monkeypatch.chdir(tmp_path)
    assert running_program("bin/../bin/btrfs-to-s3", "/nowhere/python") == str(made)
    link = tmp_path / "link" / "btrfs-to-s3"
    link.parent.mkdir()
    link.symlink_to(made)
    assert running_program(str(link), "/nowhere/python") == str(link)


def test_a_module_has_its_program_beside_the_interpreter(tmp_path: Path) -> None:
    made = program(tmp_path / "venv")
    module = program(tmp_path / "package", "__main__.py")
    assert running_program(str(module), str(tmp_path / "venv" / "python")) == str(made)


@pytest.mark.parametrize("mode", [0o644, None])
def test_a_program_that_is_missing_or_no_program_is_refused(
    tmp_path: Path, mode: int | None
) -> None:
    if mode is not None:
        program(tmp_path, mode=mode)
    with pytest.raises(UsageError, match="was not found"):
        running_program(str(tmp_path / "btrfs-to-s3"), "/nowhere/python")


@pytest.mark.parametrize(
    "path",
    ["/home/me/venv/bin/btrfs-to-s3", "/run/user/1000/x", "/tmp/x/btrfs-to-s3"],  # noqa: S108 - named, not used
)
def test_a_program_in_somebodys_home_is_not_given_to_the_machine(path: str) -> None:
    with pytest.raises(UsageError, match="should not run it"):
        require_safe(["/usr/bin/btrfs-to-s3", path])
    require_safe(["/usr/bin/btrfs-to-s3", "/opt/venv", "/root/.pyenv"])


def test_a_link_into_a_home_is_seen_through(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(UsageError):
        require_safe([str(tmp_path / "link" / "btrfs-to-s3")], [tmp_path / "secret"])


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes somebody else for a moment")
def test_an_ordinary_user_is_told_to_use_sudo() -> None:
    there = Manager(Path("/etc/x/system"), Path("/etc/x"), Systemctl(program="/bin/echo"), JOBS)
    require_writable(there)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(UsageError, match="cannot be written by this user") as caught:
            require_writable(there)
    finally:
        os.seteuid(0)
    assert "sudo btrfs-to-s3 systemd" in str(caught.value.hint)
