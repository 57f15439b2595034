"""Units are found where the package was installed, and in a checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from btrfs_to_s3.errors import SourceError
from btrfs_to_s3.host.units import read_unit, shipped_units

ROOT = Path(__file__).parents[2]


def units(folder: Path, text: str) -> Path:
    (folder / "user").mkdir(parents=True)
    for path in (folder, folder / "user"):
        (path / "btrfs-to-s3@.service").write_text(text)
        (path / "notes.md").write_text("no unit")
    return folder


@pytest.mark.parametrize("user", [False, True])
def test_the_checkouts_folder_is_found(user: bool) -> None:
    folder = ROOT / "systemd" / "user" if user else ROOT / "systemd"
    shipped = shipped_units(user=user)
    assert set(shipped) == {path.name for path in folder.iterdir() if path.is_file()}
    assert all("ExecStart=" in text or "[Timer]" in text for text in shipped.values())


@pytest.mark.parametrize("user", [False, True])
def test_every_command_in_a_unit_is_the_program_that_is_replaced_or_the_systems(user: bool) -> None:
    for text in shipped_units(user=user).values():
        commands = [line for line in text.splitlines() if line.startswith("ExecStart=")]
        for command in commands:
            _, _, called = command.partition("=")
            assert called.lstrip("-").startswith(("/usr/local/bin/btrfs-to-s3 -c ", "/bin/"))


def test_those_of_the_installed_package_come_first(tmp_path: Path) -> None:
    wheel, checkout = units(tmp_path / "wheel", "wheel"), units(tmp_path / "checkout", "checkout")
    found = shipped_units(user=False, places=(wheel, checkout))
    assert found == {"btrfs-to-s3@.service": "wheel"}
    found = shipped_units(user=False, places=(tmp_path / "none", checkout))
    assert found == {"btrfs-to-s3@.service": "checkout"}


def test_a_folder_of_another_package_with_that_name_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / "journal.py").write_text("")
    with pytest.raises(SourceError, match="no units"):
        shipped_units(user=False, places=(tmp_path / "none", tmp_path / "systemd"))


def test_a_wheel_gets_them_where_they_are_looked_for() -> None:
    assert 'systemd = "btrfs_to_s3/units"' in (ROOT / "pyproject.toml").read_text()


def test_a_link_that_leads_nowhere_is_somebodys_file(tmp_path: Path) -> None:
    link = tmp_path / "btrfs-to-s3@.service"
    assert read_unit(link) is None
    link.symlink_to(tmp_path / "absent")
    assert read_unit(link) == ""
