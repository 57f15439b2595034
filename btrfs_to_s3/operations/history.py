"""What this host remembers of its runs, per repository. A cache: losing it loses only the past."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError, UsageError
from btrfs_to_s3.format.jsonio import Fields, encode_line, encode_time
from btrfs_to_s3.model.account import (
    CommandHistory,
    Figures,
    LastRun,
    SourceHistory,
    Standing,
    Trouble,
)
from btrfs_to_s3.model.identity import SourceId
from btrfs_to_s3.plan.history import command_after, source_after

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from btrfs_to_s3.model.account import RepositoryAccount, RunAccount
    from btrfs_to_s3.ports import LocalState

_History = SourceHistory | CommandHistory
_SOURCES = "runs"
_COMMANDS = "commands"
_TEXT_LIMIT = 2000


@dataclass(frozen=True, slots=True)
class Remembered:
    """A run's part on one repository, and what is remembered with it.

    ``sources`` are those of the run, by label; ``failed_since`` is since when each of them, or the
    command, had failed that works now.
    """

    account: RepositoryAccount
    command: CommandHistory
    sources: Mapping[str, SourceHistory]
    failed_since: tuple[datetime, ...]


def remember_run(state: LocalState, run: RunAccount, account: RepositoryAccount) -> Remembered:
    """Keep how a run went on one repository.

    One that found another at work leaves nothing: the other will say how it went.
    """
    before = recall_command(state, run.command)
    command = command_after(before, account, run)
    known = {source.label: recall_source(state, source.label) for source in account.sources}
    sources = {
        source.label: source_after(known[source.label], source, run) for source in account.sources
    }
    ends: list[tuple[_History | None, _History]] = [(before, command)]
    ends += [(known[label], sources[label]) for label in sources]
    if account.trouble is None or not account.trouble.locked:
        remember_command_run(state, command)
        for history in sources.values():
            remember_source_run(state, history)
    return Remembered(
        account,
        command,
        sources,
        tuple(
            old.failing_since
            for old, new in ends
            if old is not None and old.failing_since is not None and new.failing_since is None
        ),
    )


def recall_sources(state: LocalState) -> dict[str, SourceHistory]:
    """Every source that a run here worked on, by its label."""
    found = ((label, recall_source(state, label)) for label in state.remembered(_SOURCES))
    return {label: history for label, history in found if history is not None}


def recall_source(state: LocalState, label: str) -> SourceHistory | None:
    """One source; None where nothing is remembered, or not legibly."""
    data = state.recall(_SOURCES, label)
    try:
        return None if data is None else _source(Fields.parse(data, label, versioned=False))
    except (IntegrityError, UsageError):
        return None


def remember_source_run(state: LocalState, history: SourceHistory) -> None:
    """Keep how runs for one source went."""
    members = {
        "label": history.label,
        "source_id": None if history.source_id is None else str(history.source_id),
        **_times(history),
        "last_run": _run_members(history.last_run),
        "figures": None if history.figures is None else _figures_members(history.figures),
        "standing": None
        if history.standing is None
        else {
            "live_backups": history.standing.live_backups,
            "chain_length": history.standing.chain_length,
        },
    }
    state.remember(_SOURCES, history.label, encode_line(members))


def recall_commands(state: LocalState) -> dict[str, CommandHistory]:
    """Every command that ran here on the repository, by its name."""
    found = ((name, recall_command(state, name)) for name in state.remembered(_COMMANDS))
    return {name: history for name, history in found if history is not None}


def recall_command(state: LocalState, command: str) -> CommandHistory | None:
    """One command; None where nothing is remembered, or not legibly."""
    data = state.recall(_COMMANDS, command)
    try:
        if data is None:
            return None
        fields = Fields.parse(data, command, versioned=False)
        return CommandHistory(
            _run(fields.nested("last_run")),
            _time(fields, "last_success"),
            _time(fields, "failing_since"),
        )
    except IntegrityError:
        return None


def remember_command_run(state: LocalState, history: CommandHistory) -> None:
    """Keep how runs of one command went."""
    members = {**_times(history), "last_run": _run_members(history.last_run)}
    state.remember(_COMMANDS, history.last_run.command, encode_line(members))


def _source(fields: Fields) -> SourceHistory:
    no_id, no_figures = fields.absent("source_id"), fields.absent("figures")
    standing = None if fields.absent("standing") else fields.nested("standing")
    return SourceHistory(
        label=fields.text("label"),
        source_id=None if no_id else SourceId.parse(fields.text("source_id")),
        last_run=_run(fields.nested("last_run")),
        last_success=_time(fields, "last_success"),
        failing_since=_time(fields, "failing_since"),
        figures=None if no_figures else _figures(fields.nested("figures")),
        standing=None
        if standing is None
        else Standing(standing.integer("live_backups"), standing.integer("chain_length")),
    )


def _run(fields: Fields) -> LastRun:
    trouble = None if fields.absent("trouble") else fields.nested("trouble")
    return LastRun(
        fields.text("command"),
        fields.time("started"),
        fields.time("finished"),
        None
        if trouble is None
        else Trouble(
            trouble.integer("exit_code"),
            trouble.text("kind"),
            trouble.text("message"),
            None if trouble.absent("hint") else trouble.text("hint"),
        ),
    )


def _figures(fields: Fields) -> Figures:
    return Figures(
        duration=timedelta(milliseconds=fields.integer("duration_ms")),
        raw_bytes=fields.integer("raw_bytes"),
        stored_bytes=fields.integer("stored_bytes"),
        reused_bytes=fields.integer("reused_bytes"),
        requests=fields.integer("requests"),
        retries=fields.integer("retries"),
    )


def _run_members(run: LastRun) -> Mapping[str, object]:
    trouble = run.trouble
    return {
        "command": run.command,
        "started": encode_time(run.started),
        "finished": encode_time(run.finished),
        "trouble": None
        if trouble is None
        else {
            "exit_code": trouble.exit_code,
            "kind": trouble.kind,
            "message": trouble.message[:_TEXT_LIMIT],
            "hint": None if trouble.hint is None else trouble.hint[:_TEXT_LIMIT],
        },
    }


def _figures_members(figures: Figures) -> Mapping[str, object]:
    return {
        "duration_ms": max(0, round(figures.duration / timedelta(milliseconds=1))),
        "raw_bytes": figures.raw_bytes,
        "stored_bytes": figures.stored_bytes,
        "reused_bytes": figures.reused_bytes,
        "requests": figures.requests,
        "retries": figures.retries,
    }


def _times(history: _History) -> Mapping[str, object]:
    success, failing = history.last_success, history.failing_since
    return {
        "last_success": None if success is None else encode_time(success),
        "failing_since": None if failing is None else encode_time(failing),
    }


def _time(fields: Fields, name: str) -> datetime | None:
    return None if fields.absent(name) else fields.time(name)
