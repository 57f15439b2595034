"""Sizes, rates and durations as people write them, and back.

Every ``format_*`` is exact: parsing its result gives the same value. Every ``parse_*`` raises
``UsageError`` with what was found and what is allowed; the caller adds where it was found.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

from btrfs_to_s3.errors import UsageError

_NUMBER_AND_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", re.ASCII)
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?\s*[a-z]+\s*)+", re.ASCII)
_DURATION_TERM = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)", re.ASCII)

_SIZE_UNITS = {"": 1, "b": 1} | {
    letter + suffix: base**power
    for power, letter in enumerate("kmgtpe", start=1)
    for suffix, base in (("ib", 1024), ("b", 1000), ("", 1024))
}
_BIT_UNITS = {"bit": 1} | {f"{letter}bit": 1000**p for p, letter in enumerate("kmgt", start=1)}
_SIZE_NAMES = tuple(
    (factor, name)
    for power, letter in reversed(tuple(enumerate("KMGTPE", start=1)))
    for factor, name in ((1024**power, f"{letter}iB"), (1000**power, f"{letter}B"))
)
_SECOND = timedelta(seconds=1)
_DURATION_UNITS = {
    "s": _SECOND,
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}
_MICROSECOND = timedelta(microseconds=1)
_UNLIMITED = frozenset({"unlimited", "none", "0"})

SIZES_ALLOWED = "a size such as 256MiB, 1.5GB or a plain number of bytes"
RATES_ALLOWED = "a rate such as 20MB/s, 512KiB/s or 100Mbit/s, or unlimited"
DURATIONS_ALLOWED = "a duration such as 90s, 30m, 26h, 7d, 2w, 1y or 1h30m"


def parse_size(text: str) -> int:
    """Bytes in ``256MiB``, ``16 MiB``, ``1GB`` (powers of 1000), ``4G`` (as 4GiB) or ``4096``."""
    match = _NUMBER_AND_UNIT.fullmatch(text.strip())
    factor = _SIZE_UNITS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise UsageError(f"{text!r} is not {SIZES_ALLOWED}")
    return _whole(Decimal(match[1]) * factor, text)


def format_size(size_bytes: int) -> str:
    """The shortest exact size: ``256MiB``, ``20MB``, ``4097``; ``size_bytes`` is not negative."""
    if size_bytes:
        for factor, name in _SIZE_NAMES:
            if size_bytes % factor == 0:
                return f"{size_bytes // factor}{name}"
    return str(size_bytes)


def parse_rate(text: str) -> int | None:
    """Bytes a second in ``20MB/s`` or ``100Mbit/s``; None for ``unlimited`` and ``0``."""
    stripped = text.strip()
    if stripped.lower() in _UNLIMITED:
        return None
    amount = re.sub(r"\s*(/\s*s|ps)\Z", "", stripped)
    match = _NUMBER_AND_UNIT.fullmatch(amount)
    if match is None:
        raise UsageError(f"{text!r} is not {RATES_ALLOWED}")
    unit = match[2]
    if re.fullmatch("[A-Za-z]b", unit):
        # Half of its writers mean bits: guessing would be wrong by a factor of eight.
        raise UsageError(
            f"{text!r} could mean bytes or bits: write {match[1]}{unit[0]}B/s "
            f"or {match[1]}{unit[0]}bit/s"
        )
    if unit.lower() in _BIT_UNITS:
        per_second = _whole(Decimal(match[1]) * _BIT_UNITS[unit.lower()] / 8, text)
    elif unit.lower() in _SIZE_UNITS:
        per_second = _whole(Decimal(match[1]) * _SIZE_UNITS[unit.lower()], text)
    else:
        raise UsageError(f"{text!r} is not {RATES_ALLOWED}")
    return per_second or None


def format_rate(bytes_per_s: int | None) -> str:
    """``20MB/s``, or ``unlimited`` for None."""
    return f"{format_size(bytes_per_s)}/s" if bytes_per_s else "unlimited"


def parse_duration(text: str) -> timedelta:
    """The sum of terms such as ``1h30m``; a year is 365 days, ``m`` is minutes.

    A bare number is refused (``orphan_age = 7`` must not mean seven seconds), ``0`` excepted.
    """
    stripped = text.strip().lower()
    if stripped == "0":
        return timedelta(0)
    if not _DURATION.fullmatch(stripped):
        raise UsageError(f"{text!r} is not {DURATIONS_ALLOWED}")
    microseconds = Decimal(0)
    for number, unit in _DURATION_TERM.findall(stripped):
        length = _DURATION_UNITS.get(unit)
        if length is None:
            raise UsageError(f"{text!r} is not {DURATIONS_ALLOWED} (no unit {unit!r})")
        microseconds += Decimal(number) * (length // _MICROSECOND)
    try:
        return timedelta(microseconds=_whole(microseconds, text))
    except OverflowError as error:
        raise UsageError(f"{text!r} is longer than any duration can be") from error


def format_duration(duration: timedelta) -> str:
    """Days, hours, minutes and seconds, zeros left out: ``7d``, ``1h30m``, ``0.5s``, ``0s``."""
    rest = duration - timedelta(days=duration.days)
    hours, rest = divmod(rest, timedelta(hours=1))
    minutes, rest = divmod(rest, timedelta(minutes=1))
    seconds = f"{rest // _SECOND}"
    if fraction := rest % _SECOND // _MICROSECOND:
        seconds = f"{seconds}.{fraction:06d}".rstrip("0")
    terms = ((str(duration.days), "d"), (str(hours), "h"), (str(minutes), "m"), (seconds, "s"))
    return "".join(number + unit for number, unit in terms if number != "0") or "0s"


def _whole(amount: Decimal, text: str) -> int:
    if amount != int(amount):
        raise UsageError(f"{text!r} is not a whole number of its smallest unit")
    return int(amount)
