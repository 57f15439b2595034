"""`analysis-report.html`: one file without any request, for light and dark, wide and narrow."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

from integration_tests.harness.soak.charts import Chart, Series, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from integration_tests.harness.soak.analysis import Analysis
    from integration_tests.harness.soak.monitor import Sample
    from integration_tests.harness.soak.report import ActivityFigures

_MIB: Final = 1024**2
_KINDS_SHOWN: Final = 7
_STYLE: Final = """
:root { color-scheme: light dark; --back: #fbfbfa; --card: #fff; --ink: #1d2327; --soft: #5b6670;
  --edge: #dfe3e6; --good: #1a7f4b; --bad: #c2281d; --band: #f3a71226;
  --s0: #1f6fd1; --s1: #c8500f; --s2: #16836a; --s3: #8a4fbf; --s4: #a97900; --s5: #c0357f;
  --s6: #5b6670; }
@media (prefers-color-scheme: dark) { :root { --back: #14181b; --card: #1c2226; --ink: #e6eaed;
  --soft: #9aa6af; --edge: #323b41; --good: #4ecb8d; --bad: #ff7b6e; --band: #f3a7122e;
  --s0: #6eaaf5; --s1: #f2915b; --s2: #4fc7a8; --s3: #c09aec; --s4: #dfb543; --s5: #ee83b8;
  --s6: #9aa6af; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 74rem; background: var(--back);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
header p, small, footer { color: var(--soft); } header p { margin: .2rem 0 0; }
.verdict { font-weight: 700; padding: .1rem .6rem; border: 2px solid; border-radius: .4rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem),
  1fr)); }
figure, .card { background: var(--card); border: 1px solid var(--edge); border-radius: .5rem;
  margin: 0; padding: .8rem; }
.card { overflow-x: auto; } figcaption { font-weight: 600; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 13px; }
.x { text-anchor: middle; } .last { text-anchor: end; } .y { text-anchor: end; }
.grid { stroke: var(--edge); fill: none; } .band { fill: var(--band); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.line.s0 { stroke: var(--s0); } .line.s1 { stroke: var(--s1); } .line.s2 { stroke: var(--s2); }
.line.s3 { stroke: var(--s3); } .line.s4 { stroke: var(--s4); } .line.s5 { stroke: var(--s5); }
.line.s6 { stroke: var(--s6); }
i.s0 { background: var(--s0); } i.s1 { background: var(--s1); } i.s2 { background: var(--s2); }
i.s3 { background: var(--s3); } i.s4 { background: var(--s4); } i.s5 { background: var(--s5); }
i.s6 { background: var(--s6); }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; list-style: none; margin: .3rem 0 0;
  padding: 0; font-size: .88rem; }
.legend i { display: inline-block; width: .8em; height: .8em; border-radius: .2em;
  margin-right: .4em; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0; }
tr + tr > * { border-top: 1px solid var(--edge); } th { font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td { white-space: pre-line; overflow-wrap: anywhere; } td.good, td.bad { white-space: nowrap;
  overflow-wrap: normal; font-weight: 600; }
@media (min-width: 48rem) { th { white-space: nowrap; } td:last-child { width: 99%; }
  td.number:last-child { width: auto; } }
@media (max-width: 36rem) { svg text { font-size: 19px; } body { padding: 1rem .6rem 2rem; } }
"""


def render(analysis: Analysis, table: Sequence[ActivityFigures], figures: Mapping[str, Any]) -> str:
    """The page. `table` and `figures` are shown as the text report shows them."""
    verdict, kind = ("PASS", "good") if analysis.passed else ("FAIL", "bad")
    lasted = f"{analysis.seconds / 60:.1f} minutes; {analysis.end or 'no end was recorded'}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Soak: {verdict}</title>
<style>{_STYLE}</style>
</head>
<body>
<header><h1>Soak <span class="verdict {kind}">{verdict}</span></h1><p>{escape(lasted)}</p></header>
<h2>Criteria</h2>
<div class="card"><table>{_criteria(analysis)}</table></div>
<h2>Over time</h2>
<div class="charts">{"".join(draw(chart) for chart in charts(analysis))}</div>
<h2>Activities</h2>
<div class="card"><table>{_activities(table)}</table></div>
<h2>Figures</h2>
<div class="card"><table>{_figures(figures)}</table></div>
<footer><p>Shaded: something was made to go wrong.</p></footer>
</body>
</html>
"""


def charts(analysis: Analysis) -> list[Chart]:
    """What is drawn, in order; empty without samples."""
    samples = analysis.samples
    if not samples:
        return []
    began = samples[0].time_s
    times = [sample.time_s - began for sample in samples]
    bands = [(each.started_s - began, each.ended_s - began) for each in analysis.faults]

    def line(label: str, of: Callable[[Sample], float | None], divisor: float = 1) -> Series:
        found = [of(sample) for sample in samples]
        return Series(label, [None if each is None else each / divisor for each in found])

    return [
        Chart(
            "Throughput",
            "MiB/s",
            times,
            [
                Series("uploaded", _rates(times, [one.request_bytes / _MIB for one in samples])),
                Series("downloaded", _rates(times, [one.answer_bytes / _MIB for one in samples])),
            ],
            bands,
        ),
        Chart(
            "Memory",
            "MiB",
            times,
            [
                line("program", lambda one: one.program_rss_bytes, _MIB),
                line("soak", lambda one: one.soak_rss_bytes, _MIB),
                line("service", lambda one: one.service_rss_bytes, _MIB),
                line("proxy", lambda one: one.proxy_rss_bytes, _MIB),
            ],
        ),
        Chart("Objects in the bucket", "", times, [line("objects", lambda one: one.object_count)]),
        Chart(
            "Bytes in the bucket",
            "MiB",
            times,
            [line("stored", lambda one: one.object_bytes, _MIB)],
        ),
        Chart(
            "Chain length",
            "backups",
            times,
            [
                line("of the newest backup", lambda one: one.chain_length),
                line("live backups", lambda one: one.backup_count),
            ],
        ),
        Chart("Errors by kind", "since the start", times, _errors(samples), bands),
        Chart(
            "Descriptors and threads",
            "",
            times,
            [
                line("program, descriptors", lambda one: one.program_descriptors),
                line("program, threads", lambda one: one.program_threads),
                line("soak, descriptors", lambda one: one.soak_descriptors),
                line("soak, threads", lambda one: one.soak_threads),
            ],
        ),
        Chart(
            "Requests",
            "per second",
            times,
            [Series("all", _rates(times, [sum(one.requests.values()) for one in samples]))],
            bands,
        ),
    ]


def _rates(times: Sequence[float], totals: Sequence[float]) -> list[float | None]:
    """From totals to what was added per second since the sample before."""
    rates: list[float | None] = [0.0]
    for index in range(1, len(times)):
        seconds = max(times[index] - times[index - 1], 1e-3)
        rates.append((totals[index] - totals[index - 1]) / seconds)
    return rates


def _errors(samples: Sequence[Sample]) -> list[Series]:
    """The most frequent kinds, and all others together."""
    counts = samples[-1].errors
    kinds = sorted(counts, key=lambda kind: -counts[kind])
    shown = kinds if len(kinds) <= _KINDS_SHOWN else kinds[: _KINDS_SHOWN - 1]
    series = [Series(kind, [one.errors.get(kind, 0) for one in samples]) for kind in shown]
    if rest := kinds[len(shown) :]:
        series.append(
            Series(
                f"{len(rest)} more kinds",
                [sum(one.errors.get(kind, 0) for kind in rest) for one in samples],
            )
        )
    return series


def _criteria(analysis: Analysis) -> str:
    return "".join(
        f'<tr><td class="{"good" if each.passed else "bad"}">{"ok" if each.passed else "FAIL"}</td>'
        f"<th>{escape(each.name)}</th><td>{escape(each.found)}</td></tr>"
        for each in analysis.criteria
    )


def _activities(table: Sequence[ActivityFigures]) -> str:
    heads = ("done", "explained", "unexpected", "median", "longest")
    head = "".join(f'<th class="number">{name}</th>' for name in heads)
    rows = [
        f"<tr><th>{escape(each.name)}</th>"
        + "".join(
            f'<td class="number">{value}</td>'
            for value in (
                each.succeeded,
                each.explained,
                each.unexpected,
                f"{each.median_s:.1f} s",
                f"{each.longest_s:.1f} s",
            )
        )
        + "</tr>"
        for each in table
    ]
    return f"<tr><th></th>{head}</tr>{''.join(rows)}"


def _figures(figures: Mapping[str, Any]) -> str:
    return "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
        for name, value in figures.items()
    )
