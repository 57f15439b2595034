"""Whether this machine is connected to power."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import psutil

_SUPPLIES = Path("/sys/class/power_supply")


@dataclass(frozen=True, slots=True)
class Power:
    """``on_battery`` only where that is certain; ``percent`` of the charge, None if unknown."""

    on_battery: bool
    percent: float | None = None


CONNECTED = Power(on_battery=False)
"""Also a machine that has no battery, or does not tell."""


def power_now(supplies: Path = _SUPPLIES) -> Power:
    """What psutil sees now. A mouse's or a headset's battery is none of the machine's."""
    try:
        found = psutil.sensors_battery()
    except (OSError, ValueError):
        return CONNECTED
    if found is None or found.power_plugged is not False or not _has_own_battery(supplies):
        return CONNECTED
    return Power(on_battery=True, percent=float(found.percent))


def _has_own_battery(supplies: Path) -> bool:
    """Whether a battery feeds the machine: its scope is not a device's.

    Documentation/ABI/testing/sysfs-class-power (scope is in power_supply_sysfs.c); batteries of
    ACPI have none.
    """
    with contextlib.suppress(OSError):
        return any(
            _read(each / "type") == "Battery" and _read(each / "scope") != "Device"
            for each in supplies.iterdir()
        )
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
