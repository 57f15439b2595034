"""The account of a run: what it did, made once, from which everybody is told.

The screen has its own account (the command's result). This one is for those who are not there: the
next ``status``, a watch service, a person who is notified, Prometheus.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import ExitCode

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from btrfs_to_s3.model.identity import SourceId


class Done(StrEnum):
    """What a run did with a source."""

    FULL = "full"
    INCREMENTAL = "incremental"
    RESUMED = "resumed"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    NOT_ATTEMPTED = "not_attempted"

    @property
    def succeeded(self) -> bool:
        """Whether the source is backed up as it was found."""
        return self not in {Done.FAILED, Done.NOT_ATTEMPTED}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something failed: the exit code it ends a run with, a stable word, and two sentences."""

    exit_code: int
    kind: str
    message: str
    hint: str | None = None

    @property
    def interrupted(self) -> bool:
        """Whether somebody asked the run to stop: nothing is wrong then."""
        return self.exit_code == ExitCode.INTERRUPTED

    @property
    def locked(self) -> bool:
        """Whether another run was there first: it tells how it went."""
        return self.exit_code == ExitCode.LOCKED

    @property
    def is_failure(self) -> bool:
        """Whether people are to be told of it."""
        return not self.interrupted and not self.locked


@dataclass(frozen=True, slots=True)
class Figures:
    """What a backup took and left; ``raw_bytes`` of stream became ``stored_bytes``."""

    duration: timedelta
    raw_bytes: int
    stored_bytes: int
    reused_bytes: int
    requests: int
    retries: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A source's live backups, and how many links its newest one is restored through."""

    live_backups: int
    chain_length: int


@dataclass(frozen=True, slots=True)
class SourceAccount:
    """One source; ``figures`` only of a backup that was made."""

    label: str
    done: Done
    source_id: SourceId | None = None
    trouble: Trouble | None = None
    figures: Figures | None = None
    standing: Standing | None = None


@dataclass(frozen=True, slots=True)
class RepositoryAccount:
    """One repository; ``sources`` are those that the run was to back up to it."""

    url: str
    trouble: Trouble | None
    sources: tuple[SourceAccount, ...]


@dataclass(frozen=True, slots=True)
class RunAccount:
    """One run of one command. ``trouble`` is why it ended non-zero."""

    command: str
    host: str
    started: datetime
    finished: datetime
    trouble: Trouble | None
    repositories: tuple[RepositoryAccount, ...]

    @property
    def exit_code(self) -> int:
        """What the run ended with."""
        return 0 if self.trouble is None else self.trouble.exit_code

    @property
    def duration(self) -> timedelta:
        """How long it took."""
        return self.finished - self.started

    @property
    def failed(self) -> bool:
        """Whether anything in it failed, also before somebody asked it to stop."""
        parts = [self.trouble]
        for repository in self.repositories:
            parts += [repository.trouble, *(source.trouble for source in repository.sources)]
        return any(trouble is not None and trouble.is_failure for trouble in parts)


@dataclass(frozen=True, slots=True)
class LastRun:
    """How a command last ended, for one source or one repository."""

    command: str
    started: datetime
    finished: datetime
    trouble: Trouble | None


@dataclass(frozen=True, slots=True)
class SourceHistory:
    """What this host remembers of its runs for one source in one repository.

    ``failing_since`` is the first failure that no success followed; an interruption is none.
    ``figures`` are those of the last backup that was made.
    """

    label: str
    source_id: SourceId | None
    last_run: LastRun
    last_success: datetime | None
    failing_since: datetime | None
    figures: Figures | None
    standing: Standing | None


@dataclass(frozen=True, slots=True)
class CommandHistory:
    """What this host remembers of one command's runs on one repository."""

    last_run: LastRun
    last_success: datetime | None
    failing_since: datetime | None
