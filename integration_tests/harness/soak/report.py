"""`analysis-report.txt`: the verdict, the criteria and the figures, for a terminal."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from integration_tests.harness.soak.page import render

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from integration_tests.harness.soak.analysis import Analysis
    from integration_tests.harness.soak.events import Event

REPORT_FILE: Final = "analysis-report.txt"
PAGE_FILE: Final = "analysis-report.html"
_MIB: Final = 1024**2
_GRAVEST_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class ActivityFigures:
    """How one activity went; seconds are medians and maxima of the successful runs."""

    name: str
    succeeded: int
    explained: int
    unexpected: int
    median_s: float
    longest_s: float


def write_reports(analysis: Analysis, directory: Path) -> None:
    """Write both reports into the directory."""
    (directory / REPORT_FILE).write_text(report(analysis), encoding="utf-8")
    (directory / PAGE_FILE).write_text(
        render(analysis, table(analysis), figures(analysis)), encoding="utf-8"
    )


def report(analysis: Analysis) -> str:
    """The whole text."""
    lines = [
        f"verdict: {'PASS' if analysis.passed else 'FAIL'}",
        f"lasted {analysis.seconds / 60:.1f} min; {analysis.end or 'no end was recorded'}",
        "",
    ]
    for criterion in analysis.criteria:
        mark = "ok  " if criterion.passed else "FAIL"
        first, *rest = criterion.found.splitlines() or [""]
        lines.append(f"{mark}  {criterion.name:<31} {first}")
        lines += [f"{'':38}{line}" for line in rest]
    lines += ["", f"{'activity':<14}{'done':>7}{'explained':>11}{'unexpected':>12}{'median':>9}"]
    lines[-1] += f"{'longest':>9}"
    lines += [
        f"{each.name:<14}{each.succeeded:>7}{each.explained:>11}{each.unexpected:>12}"
        f"{each.median_s:>7.1f} s{each.longest_s:>7.1f} s"
        for each in table(analysis)
    ]
    lines.append("")
    lines += [f"{name:<28} {value}" for name, value in figures(analysis).items()]
    wrong = [each for each in analysis.events if not each.expected][:_GRAVEST_SHOWN]
    if wrong:
        lines += ["", "unexpected:"]
        lines += [f"  {each.name}, exit {each.exit_code}: {each.message}" for each in wrong]
    return "\n".join(lines) + "\n"


def table(analysis: Analysis) -> list[ActivityFigures]:
    """One line for each activity."""
    by_name: dict[str, list[Event]] = {}
    for run in analysis.runs:
        by_name.setdefault(run.name, []).append(run)
    return [_figures_of(name, runs) for name, runs in sorted(by_name.items())]


def figures(analysis: Analysis) -> dict[str, Any]:
    """What is worth recording of a soak, in words and numbers."""
    if not analysis.samples:
        return {}
    last = analysis.samples[-1]
    peaks = [run.peak_memory_bytes for run in analysis.runs if run.peak_memory_bytes]
    counts = Counter(fault.name for fault in analysis.faults)
    objects = [one.object_count for one in analysis.samples if one.object_count is not None]
    chains = [one.chain_length for one in analysis.samples if one.chain_length is not None]
    return {
        "minutes": round(analysis.seconds / 60, 1),
        "samples": len(analysis.samples),
        "requests": sum(last.requests.values()),
        "requests that went wrong": sum(last.errors.values()),
        "uploaded": f"{last.request_bytes / _MIB:,.0f} MiB",
        "downloaded": f"{last.answer_bytes / _MIB:,.0f} MiB",
        "backups resumed": sum(run.resumed for run in analysis.runs),
        "faults": ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none",
        "peak memory of a run": f"{max(peaks, default=0) / _MIB:.0f} MiB",
        "most objects": max(objects, default=0),
        "longest chain": max(chains, default=0),
        "disk images": f"{max(one.image_bytes for one in analysis.samples) / _MIB:,.0f} MiB",
    }


def _figures_of(name: str, runs: Sequence[Event]) -> ActivityFigures:
    seconds = [run.ended_s - run.started_s for run in runs if run.succeeded]
    unexpected = sum(not run.expected or run.identical is False for run in runs)
    return ActivityFigures(
        name,
        len(seconds),
        len(runs) - len(seconds) - unexpected,
        unexpected,
        statistics.median(seconds) if seconds else 0.0,
        max(seconds, default=0.0),
    )
