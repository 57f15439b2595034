"""How backups went, as Prometheus reads it from a file (its text-based exposition format 0.0.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from btrfs_to_s3.model.account import Figures, SourceHistory, Standing

_PREFIX = "btrfs_to_s3_"


@dataclass(frozen=True, slots=True)
class Series:
    """One source in one repository, as this host remembers it."""

    host: str
    repository: str
    history: SourceHistory


@dataclass(frozen=True, slots=True)
class _Metric:
    """A gauge. A source of which ``value`` knows nothing has no sample."""

    name: str
    help: str
    value: Callable[[SourceHistory], float | None]


def text(series: Sequence[Series]) -> str:
    """The whole file."""
    return "".join(_metric(metric, series) for metric in _METRICS)


def _metric(metric: _Metric, series: Sequence[Series]) -> str:
    name = _PREFIX + metric.name
    samples = [
        f"{name}{_labels(each)} {value!r}\n"
        for each in series
        if (value := metric.value(each.history)) is not None
    ]
    return f"# HELP {name} {metric.help}\n# TYPE {name} gauge\n" + "".join(samples)


def _labels(each: Series) -> str:
    labels = {"host": each.host, "repository": each.repository, "source": each.history.label}
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _last_success(history: SourceHistory) -> float:
    return 0.0 if history.last_success is None else history.last_success.timestamp()


def _exit_code(history: SourceHistory) -> float:
    trouble = history.last_run.trouble
    return 0 if trouble is None else trouble.exit_code


def _duration(history: SourceHistory) -> float:
    return (history.last_run.finished - history.last_run.started).total_seconds()


def _figure(value: Callable[[Figures], float]) -> Callable[[SourceHistory], float | None]:
    return lambda history: None if history.figures is None else value(history.figures)


def _stands(value: Callable[[Standing], float]) -> Callable[[SourceHistory], float | None]:
    return lambda history: None if history.standing is None else value(history.standing)


_METRICS = (
    _Metric(
        "last_success_timestamp_seconds",
        "When a run last backed the source up or found it unchanged; 0 if none is remembered.",
        _last_success,
    ),
    _Metric(
        "last_run_timestamp_seconds",
        "When the last run that was to back the source up ended.",
        lambda history: history.last_run.finished.timestamp(),
    ),
    _Metric(
        "last_run_exit_code",
        "What became of the source in that run, as an exit code: 0 is success.",
        _exit_code,
    ),
    _Metric("last_run_duration_seconds", "How long that run took, all its sources.", _duration),
    _Metric(
        "last_backup_duration_seconds",
        "How long the last backup that was made of the source took.",
        _figure(lambda figures: figures.duration.total_seconds()),
    ),
    _Metric(
        "last_backup_raw_bytes",
        "The size of that backup's send stream.",
        _figure(lambda figures: figures.raw_bytes),
    ),
    _Metric(
        "last_backup_stored_bytes",
        "The size of that backup as it is stored.",
        _figure(lambda figures: figures.stored_bytes),
    ),
    _Metric(
        "last_backup_reused_bytes",
        "How much of that backup's stream an interrupted run had stored before.",
        _figure(lambda figures: figures.reused_bytes),
    ),
    _Metric(
        "last_backup_requests",
        "The requests that backup made, retries included.",
        _figure(lambda figures: figures.requests),
    ),
    _Metric(
        "last_backup_retries",
        "How often that backup repeated a request.",
        _figure(lambda figures: figures.retries),
    ),
    _Metric(
        "chain_length",
        "How many backups a restore of the newest one reads, as the last backup run saw it.",
        _stands(lambda standing: standing.chain_length),
    ),
    _Metric(
        "live_backups",
        "How many backups of the source are stored, as the last backup run saw it.",
        _stands(lambda standing: standing.live_backups),
    ),
)
