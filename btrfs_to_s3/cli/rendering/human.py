"""Sizes, rates, times and names as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_STEP = 1024
_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86400
_TENTHS_BELOW_S = 60


def size(size_bytes: float) -> str:
    """``812 B``, ``1.5 MiB``: one decimal from KiB on."""
    amount = float(size_bytes)
    for unit in _UNITS:
        # 1023.96 KiB would be shown as 1024.0 KiB.
        if round(amount, 1) < _STEP or unit == _UNITS[-1]:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= _STEP
    raise AssertionError("the last unit takes everything")


def part(done_bytes: int, expected_bytes: int | None) -> str:
    """``1.0 GiB of about 4.0 GiB (25%)``; the size alone without an estimate, or past it."""
    if not expected_bytes or done_bytes > expected_bytes:
        return size(done_bytes)
    return f"{size(done_bytes)} of about {size(expected_bytes)} ({done_bytes / expected_bytes:.0%})"


def rate(size_bytes: float, seconds: float) -> str:
    """Bytes a second; ``-`` where no time passed."""
    return f"{size(size_bytes / seconds)}/s" if seconds > 0 else "-"


def span(length: timedelta) -> str:
    """A length of time in its two largest units: ``12.3 s``, ``4 min 05 s``, ``3 h 20 min``."""
    seconds = length.total_seconds()
    if round(seconds, 1) < _TENTHS_BELOW_S:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02d} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02d} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def ratio(raw_bytes: int, stored_bytes: int) -> str:
    """How many raw bytes one stored byte stands for, as ``2.4``."""
    return f"{raw_bytes / stored_bytes:.2f}" if stored_bytes else "-"


def moment(time: datetime) -> str:
    """A time in UTC, to the second, in a form that ``SOURCE@WHEN`` takes."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def count(number: int, word: str, plural: str | None = None) -> str:
    """``1 chunk``, ``3 chunks``."""
    return f"{number} {word if number == 1 else plural or word + 's'}"


def printable(text: str) -> str:
    """The text with everything a terminal could act on, line ends included, written as escapes."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )
