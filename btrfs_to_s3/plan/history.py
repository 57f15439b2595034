"""What a run adds to what is remembered of runs, and what of it has to be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.model.account import (
    CommandHistory,
    LastRun,
    SourceHistory,
    Standing,
)
from btrfs_to_s3.plan.chain import chain_of

if TYPE_CHECKING:
    from datetime import datetime

    from btrfs_to_s3.model.account import RepositoryAccount, RunAccount, SourceAccount, Trouble
    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.model.identity import BackupId


def standing_of(
    head: Head | None, added: BackupId | None = None, parent: BackupId | None = None
) -> Standing | None:
    """How a source stands, by its head before the run and the backup that the run ``added``.

    None where there is nothing, or where the head's chains do not hold.
    """
    entries = () if head is None else head.backups
    before = {entry.backup_id for entry in entries}
    try:
        if added is None:
            newest = None if head is None else head.newest
            if head is None or newest is None:
                return None
            return Standing(len(before), len(chain_of(head, newest.backup_id)))
        links = 0 if head is None or parent is None else len(chain_of(head, parent))
    except IntegrityError:
        return None
    return Standing(len(before | {added}), links + 1)


def source_after(
    before: SourceHistory | None, account: SourceAccount, run: RunAccount
) -> SourceHistory:
    """What is remembered of a source once this run is over."""
    trouble = account.trouble
    success = run.finished if account.done.succeeded else None
    return SourceHistory(
        label=account.label,
        source_id=account.source_id or (before.source_id if before else None),
        last_run=LastRun(run.command, run.started, run.finished, trouble),
        last_success=success or (before.last_success if before else None),
        failing_since=_failing(before.failing_since if before else None, trouble, run.finished),
        figures=account.figures or (before.figures if before else None),
        standing=account.standing or (before.standing if before else None),
    )


def command_after(
    before: CommandHistory | None, account: RepositoryAccount, run: RunAccount
) -> CommandHistory:
    """What is remembered of a command once this run is over."""
    trouble = account.trouble
    return CommandHistory(
        last_run=LastRun(run.command, run.started, run.finished, trouble),
        last_success=run.finished if trouble is None else (before.last_success if before else None),
        failing_since=_failing(before.failing_since if before else None, trouble, run.finished),
    )


def _failing(
    before: datetime | None, trouble: Trouble | None, finished: datetime
) -> datetime | None:
    """Since when it fails: a success ends that, an interruption says nothing."""
    if trouble is None:
        return None
    if trouble.interrupted:
        return before
    return before or finished
