"""What a person is told who was not there: a title and a text that stand alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.cli.rendering import human
from btrfs_to_s3.model.account import Done

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from btrfs_to_s3.model.account import RunAccount, SourceAccount, Trouble
    from btrfs_to_s3.operations.history import Remembered

_WORDS = {
    Done.FULL: "full backup made",
    Done.INCREMENTAL: "incremental backup made",
    Done.RESUMED: "interrupted backup completed",
    Done.UNCHANGED: "unchanged, nothing to do",
    Done.FAILED: "FAILED",
    Done.NOT_ATTEMPTED: "not attempted",
}


def failure(run: RunAccount, remembered: Sequence[Remembered]) -> tuple[str, str]:
    """Title and text about a run that failed."""
    first = (
        f"'{run.command}' failed on {run.host} with exit code {run.exit_code} at "
        f"{human.moment(run.finished)}, after {human.span(run.duration)}."
    )
    return f"btrfs-to-s3 on {run.host}: {run.command} failed", _text(first, run, remembered)


def recovery(run: RunAccount, remembered: Sequence[Remembered]) -> tuple[str, str]:
    """Title and text about a run that worked where one before it had failed."""
    since = min(time for each in remembered for time in each.failed_since)
    first = (
        f"'{run.command}' works again on {run.host} since {human.moment(run.finished)}. "
        f"It had failed since {human.moment(since)}."
    )
    return f"btrfs-to-s3 on {run.host}: {run.command} works again", _text(first, run, remembered)


def _text(first: str, run: RunAccount, remembered: Sequence[Remembered]) -> str:
    lines = [first]
    if not remembered and run.trouble is not None:
        lines += ["", *_why(run.trouble)]
    for each in remembered:
        lines += ["", f"Repository {each.account.url}", *_repository(each, run.finished)]
    return "\n".join(human.printable(line) for line in lines) + "\n"


def _repository(each: Remembered, now: datetime) -> Iterator[str]:
    account = each.account
    if account.trouble is not None and not any(source.trouble for source in account.sources):
        yield from _why(account.trouble)
    if not account.sources:
        yield _last(each.command.last_success, now)
    told: Trouble | None = None
    for source in account.sources:
        yield f"{source.label}: {_did(source)}"
        if source.trouble is not None:
            if source.trouble != told:
                yield from (f"  {line}" for line in _why(source.trouble))
            told = source.trouble
            yield f"  {_last(each.sources[source.label].last_success, now)}"


def _did(source: SourceAccount) -> str:
    figures = source.figures
    if figures is None:
        return _WORDS[source.done]
    stored, took = human.size(figures.stored_bytes), human.span(figures.duration)
    return f"{_WORDS[source.done]}, {stored} stored in {took}"


def _why(trouble: Trouble) -> Iterator[str]:
    yield f"error: {trouble.message}"
    if trouble.hint is not None:
        yield f"hint: {trouble.hint}"


def _last(success: datetime | None, now: datetime) -> str:
    if success is None:
        return "last success: none that this machine remembers"
    return f"last success: {human.moment(success)}, {human.span(now - success)} ago"
