"""On battery is only what certainly is; psutil reads a sysfs of the tests' own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
import pytest

from btrfs_to_s3.host.power import CONNECTED, Power, power_now

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def supplies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the kernel shows power supplies."""
    monkeypatch.setattr("psutil._pslinux.POWER_SUPPLY_PATH", str(tmp_path))
    return tmp_path


def supply(supplies: Path, name: str, **files: str) -> None:
    """A power supply as the kernel shows it."""
    made = supplies / name
    made.mkdir()
    for file, text in files.items():
        (made / file).write_text(f"{text}\n")


def test_a_machine_without_a_battery_is_connected(supplies: Path) -> None:
    assert power_now(supplies) == CONNECTED
    supply(supplies, "AC", type="Mains", online="1")
    assert power_now(supplies) == CONNECTED


def test_a_kernel_without_power_supplies_is_connected(
    supplies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil._pslinux.POWER_SUPPLY_PATH", str(supplies / "gone"))
    assert power_now(supplies / "gone") == CONNECTED


@pytest.mark.parametrize(("online", "status"), [("0", "Not charging"), (None, "Discharging")])
def test_a_laptop_without_its_cable_is_on_battery(
    supplies: Path, online: str | None, status: str
) -> None:
    supply(supplies, "BAT0", type="Battery", capacity="57", status=status)
    if online is not None:
        supply(supplies, "AC", type="Mains", online=online)
    assert power_now(supplies) == Power(on_battery=True, percent=57.0)


@pytest.mark.parametrize(
    ("online", "status"), [("1", "Charging"), (None, "Full"), (None, "Not charging")]
)
def test_a_laptop_with_its_cable_or_that_does_not_tell_is_connected(
    supplies: Path, online: str | None, status: str
) -> None:
    supply(supplies, "BAT0", type="Battery", capacity="57", status=status)
    if online is not None:
        supply(supplies, "AC", type="Mains", online=online)
    assert power_now(supplies) == CONNECTED


def test_a_mouses_battery_is_none_of_the_machines(supplies: Path) -> None:
    mouse = {"type": "Battery", "scope": "Device", "capacity": "40", "status": "Discharging"}
    supply(supplies, "hidpp_battery_0", **mouse)
    found = psutil.sensors_battery()
    assert found is not None
    assert found.power_plugged is False
    assert power_now(supplies) == CONNECTED
