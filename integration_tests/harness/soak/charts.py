"""Line charts as inline SVG: no script, no request; colours and sizes come from the page's CSS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH: Final = 560
_HEIGHT: Final = 250
_LEFT: Final = 66
_RIGHT: Final = 14
_TOP: Final = 12
_BOTTOM: Final = 34
_POINTS: Final = 240
_HALF_A_LABEL: Final = 24
_TICKS: Final = 4
_COLOURS: Final = 7
_TIME_UNITS: Final = ((3600.0, "h", 3 * 3600.0), (60.0, "min", 150.0), (1.0, "s", 0.0))
"""Seconds per unit, its name, and from what length of time on it is used."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line: values at the chart's times, None where there is none."""

    label: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over time; `times_s` from the start, `bands_s` are shaded intervals."""

    title: str
    unit: str
    times_s: Sequence[float]
    series: Sequence[Series]
    bands_s: Sequence[tuple[float, float]] = ()


def draw(chart: Chart) -> str:
    """The chart as a `figure` with a caption and a legend."""
    known = [value for each in chart.series for value in each.values if value is not None]
    if not known or not chart.times_s:
        return ""
    scale = _Scale(max(chart.times_s[-1], 1.0), _ceiling(max(known)))
    lines = [
        f'<path class="line s{index % _COLOURS}" d="{_path(chart.times_s, each.values, scale)}"/>'
        for index, each in enumerate(chart.series)
    ]
    unit = f" <small>{escape(chart.unit)}</small>" if chart.unit else ""
    return (
        f"<figure><figcaption>{escape(chart.title)}{unit}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(chart.title)}">'
        f"{_bands(chart.bands_s, scale)}{_grid(scale)}{''.join(lines)}</svg>"
        f'<ul class="legend">{_legend(chart.series)}</ul></figure>'
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """From seconds and values to the drawing."""

    seconds: float
    highest: float

    def x(self, second: float) -> float:
        share = min(max(second / self.seconds, 0.0), 1.0)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self.highest * (_HEIGHT - _TOP - _BOTTOM)


def _ceiling(value: float) -> float:
    """The least of 1, 2, 4, 5 or 10 times a power of ten that is not below a value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 10) if value <= step * power * (1 + 1e-9))


def _grid(scale: _Scale) -> str:
    parts = []
    for step in range(_TICKS + 1):
        value = scale.highest * step / _TICKS
        y = scale.y(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" class="y">{_number(value)}</text>')
    seconds_per, name, _ = next(unit for unit in _TIME_UNITS if scale.seconds >= unit[2])
    every = _ceiling(scale.seconds / seconds_per / 5)
    at = 0.0
    while at * seconds_per <= scale.seconds:
        x = scale.x(at * seconds_per)
        text = f"{_number(at)} {name}" if at else "0"
        place = "x last" if x > _WIDTH - _RIGHT - _HALF_A_LABEL else "x"
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 10}" class="{place}">{text}</text>')
        at += every
    return "".join(parts)


def _bands(bands_s: Sequence[tuple[float, float]], scale: _Scale) -> str:
    height = _HEIGHT - _TOP - _BOTTOM
    return "".join(
        f'<rect class="band" x="{scale.x(start):.1f}" y="{_TOP}" height="{height}" '
        f'width="{max(scale.x(end) - scale.x(start), 1):.1f}"/>'
        for start, end in bands_s
    )


def _path(times_s: Sequence[float], values: Sequence[float | None], scale: _Scale) -> str:
    """Moves and lines; of the values that fall together the highest, gaps stay gaps."""
    per_point = max(1, math.ceil(len(times_s) / _POINTS))
    parts, drawing = [], False
    for start in range(0, len(times_s), per_point):
        known = [value for value in values[start : start + per_point] if value is not None]
        if not known:
            drawing = False
            continue
        point = f"{scale.x(times_s[start]):.1f} {scale.y(max(known)):.1f}"
        # A lone point has no length: drawn to itself, its round end shows.
        parts.append(f"L{point}" if drawing else f"M{point}L{point}")
        drawing = True
    return "".join(parts)


def _legend(series: Sequence[Series]) -> str:
    entries = []
    for index, each in enumerate(series):
        known = [value for value in each.values if value is not None]
        most = f"at most {_number(max(known))}" if known else "none"
        key = f'<i class="s{index % _COLOURS}"></i>'
        entries.append(f"<li>{key}{escape(each.label)} <small>{most}</small></li>")
    return "".join(entries)


def _number(value: float) -> str:
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if value >= 1 else f"{value:.2g}"
