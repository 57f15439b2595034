"""How fresh sources are, what runs now and what went wrong, as a document and as text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.rendering import documents, human
from btrfs_to_s3.cli.rendering.text import line, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime, timedelta

    from rich.console import RenderableType

    from btrfs_to_s3.cli.rendering.documents import Document
    from btrfs_to_s3.model.account import LastRun
    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.model.running import Progress, Running
    from btrfs_to_s3.operations.status import StatusReport
    from btrfs_to_s3.plan.status import Freshness

_BACKUPS = frozenset({"backup", "compact"})


@dataclass(frozen=True, slots=True)
class ShownStatus:
    """A report, and what else is known at the moment ``now``.

    ``running`` are this host's runs on the repository; ``due`` is when a timer starts the next
    backup of a source.
    """

    report: StatusReport
    now: datetime
    running: tuple[Running, ...] = ()
    due: Mapping[SourceId, datetime] = field(default_factory=dict)

    def run_of(self, source: Freshness) -> Running | None:
        """The run that backs this source up now."""
        if source.source_id not in self.report.ours:
            return None
        label = source.source_id.label
        making = (run for run in self.running if run.command in _BACKUPS)
        return next((run for run in making if run.progress and run.progress.subject == label), None)


def document(repository: str, shown: ShownStatus, max_age: timedelta | None) -> Document:
    """How fresh every source is."""
    report = shown.report
    return {
        "repository": repository,
        "max_age_s": None if max_age is None else documents.seconds(max_age),
        "all_hosts": report.all_hosts,
        "other_sources_count": report.other_sources,
        "sources": [_source(each, shown) for each in report.sources],
        "never_backed_up": list(report.never),
        "unreadable": [documents.unreadable(each) for each in report.unreadable],
        "running": [_run(each) for each in shown.running],
        "other_errors": [
            *({"label": label, **_error(run)} for label, run in report.never_errors.items()),
            *({"label": None, **_error(run)} for run in report.command_errors),
        ],
    }


def _source(each: Freshness, shown: ShownStatus) -> Document:
    error, due = shown.report.errors.get(each.source_id), shown.due.get(each.source_id)
    run = shown.run_of(each)
    return {
        "source_id": str(each.source_id),
        "label": each.source_id.label,
        "host": each.host_name,
        "stale": each.stale,
        "reason": each.reason,
        "last_success_time": documents.time_or_none(each.last_success),
        "age_s": None if each.age is None else documents.seconds(each.age),
        "next_due_time": documents.time_or_none(due),
        "running": None if run is None else _run(run),
        "last_error": None if error is None else _error(error),
        "newest": None if each.newest is None else documents.entry_of(each.newest),
    }


def _run(run: Running) -> Document:
    progress = run.progress
    return {
        "command": run.command,
        "pid": run.pid,
        "started_time": documents.time(run.started),
        "updated_time": documents.time(run.updated),
        "progress": None
        if progress is None
        else {
            "subject": progress.subject,
            "activity": progress.activity,
            "began_time": documents.time(progress.began),
            "expected_bytes": progress.expected_bytes,
            "raw_bytes": progress.raw_bytes,
            "stored_bytes": progress.stored_bytes,
            "chunk_count": progress.chunks,
            "now": progress.now,
        },
    }


def _error(run: LastRun) -> Document:
    trouble = run.trouble
    if trouble is None:
        raise AssertionError("a run that ended well has no error")
    return {
        "command": run.command,
        "finished_time": documents.time(run.finished),
        "code": trouble.exit_code,
        "kind": trouble.kind,
        "message": trouble.message,
        "hint": trouble.hint,
    }


def text(shown: ShownStatus) -> list[RenderableType]:
    """A line for each source, then what there is to say about some of them."""
    report = shown.report
    rows = [
        (
            each.host_name,
            each.source_id.label,
            _state(each, report.errors.get(each.source_id)),
            "never" if each.last_success is None else human.moment(each.last_success),
            "-" if each.age is None else human.span(each.age),
            _due(shown.due.get(each.source_id)),
        )
        for each in report.sources
    ]
    rows += [("(this host)", label, "STALE", "never", "-", "-") for label in report.never]
    parts: list[RenderableType] = []
    if rows:
        columns = ("HOST", "SOURCE", "STATE", "LAST SUCCESS", "AGE", "NEXT DUE")
        parts.append(table(columns, rows, right=("AGE",)))
    elif not report.unreadable:
        parts.append(line("no backups yet"))
    return [*parts, *map(line, _remarks(shown))]


def _remarks(shown: ShownStatus) -> Iterator[str]:
    report = shown.report
    for each in report.sources:
        name = f"{each.host_name}/{each.source_id.label}"
        if each.stale or "clock" in each.reason:
            yield f"{name}: {each.reason}"
        error = report.errors.get(each.source_id)
        if error is not None:
            yield from _failed(name, error)
    for label in report.never:
        yield f"{label}: it is configured here and not stored"
        if label in report.never_errors:
            yield from _failed(label, report.never_errors[label])
    for run in report.command_errors:
        yield from _failed("", run)
    for running in shown.running:
        yield from _runs(running, shown.now)
    if report.other_sources:
        others = human.count(report.other_sources, "source")
        yield f"{others} of other hosts: --all-hosts judges them too"


def _failed(name: str, run: LastRun) -> Iterator[str]:
    trouble = run.trouble
    if trouble is None:
        return
    how = "did not finish" if trouble.interrupted else "failed"
    where = f"{name}: " if name else ""
    yield f"{where}the {run.command} of {human.moment(run.finished)} {how}: {trouble.message}"
    if trouble.hint is not None:
        yield f"  hint: {trouble.hint}"


def _runs(run: Running, now: datetime) -> Iterator[str]:
    yield f"running: {run.command} (process {run.pid}, for {human.span(now - run.started)})"
    progress = run.progress
    if progress is not None:
        yield f"  {progress.subject}: {progress.activity}: {_far(progress, now)}"


def _far(progress: Progress, now: datetime) -> str:
    parts = [
        human.part(progress.raw_bytes, progress.expected_bytes),
        f"{human.size(progress.stored_bytes)} stored",
        human.rate(progress.raw_bytes, (now - progress.began).total_seconds()),
    ]
    return ", ".join([*parts, progress.now] if progress.now else parts)


def _state(each: Freshness, error: LastRun | None) -> str:
    if each.stale:
        return "STALE"
    failing = error is not None and error.trouble is not None and error.trouble.is_failure
    return "failing" if failing else "ok"


def _due(moment: datetime | None) -> str:
    return "-" if moment is None else human.moment(moment)
