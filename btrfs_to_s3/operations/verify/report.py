"""What a verification found, as values: the command line renders them and takes the exit code."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import timedelta

    from btrfs_to_s3.model.identity import BackupId, SourceId


class Level(StrEnum):
    """How deep a verification looked."""

    QUICK = "quick"
    DATA = "data"


class Severity(Enum):
    """What a finding means for the exit code."""

    FAULT = ExitCode.INTEGRITY
    NOT_YET = ExitCode.NOT_READABLE_YET
    NOTICE = ExitCode.DONE


class Problem(Enum):
    """What is wrong: a stable word, how bad it is, and whether the backup still restores."""

    HEAD_LOST = ("head-lost", Severity.FAULT, True)
    HEAD_UNUSABLE = ("head-unusable", Severity.FAULT, False)
    HEAD_DIFFERS = ("head-differs", Severity.FAULT, True)
    NEVER_COMMITTED = ("never-committed", Severity.NOTICE, True)
    MANIFEST = ("manifest", Severity.FAULT, False)
    CHAIN = ("chain", Severity.FAULT, False)
    INDEX = ("index", Severity.FAULT, False)
    CATALOG = ("catalog", Severity.FAULT, True)
    CHUNK_MISSING = ("chunk-missing", Severity.FAULT, False)
    CHUNK_REPLACED = ("chunk-replaced", Severity.FAULT, False)
    CHUNK_HIDDEN = ("chunk-hidden", Severity.FAULT, True)
    CHUNK_DAMAGED = ("chunk-damaged", Severity.FAULT, False)
    STREAM = ("stream", Severity.FAULT, False)
    NOT_READABLE_YET = ("not-readable-yet", Severity.NOT_YET, True)

    def __init__(self, word: str, severity: Severity, restorable: bool) -> None:  # noqa: FBT001 - a row of the table above
        self.word = word
        self.severity = severity
        self.restorable = restorable


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    ``message`` is a sentence without a final period; ``advice`` says what a person can do.
    ``backup_id`` is None when the whole source is concerned, ``key`` when no one object is.
    """

    problem: Problem
    source_id: SourceId
    backup_id: BackupId | None
    key: str | None
    message: str
    advice: str


@dataclass(slots=True)
class Counts:
    """What was looked at. ``bytes_checked`` are stored bytes whose SHA-256 was recomputed.

    ``objects`` were compared with what names them. ``surplus_objects`` belong to no live backup,
    or lost to another attempt: prune removes them in time. ``checksums`` were compared with what
    the service keeps; for ``checksums_unknown`` it keeps none of the whole object.
    """

    sources: int = 0
    backups: int = 0
    objects: int = 0
    bytes_checked: int = 0
    surplus_objects: int = 0
    surplus_bytes: int = 0
    checksums: int = 0
    checksums_unknown: int = 0

    def surplus(self, size_bytes: int) -> None:
        """One more object that nothing names."""
        self.surplus_objects += 1
        self.surplus_bytes += size_bytes


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of one verification."""

    level: Level
    counts: Counts
    findings: tuple[Finding, ...]
    duration: timedelta

    @property
    def exit_code(self) -> ExitCode:
        """Integrity above all, then what is not readable yet; notices alone are success."""
        severities = {finding.problem.severity for finding in self.findings}
        worst = (Severity.FAULT, Severity.NOT_YET)
        return next((each.value for each in worst if each in severities), ExitCode.DONE)


@dataclass(slots=True)
class Raw:
    """A finding before the whole source was seen. ``advice`` None: to be derived then."""

    problem: Problem
    backup_id: BackupId | None
    key: str | None
    message: str
    advice: str | None = None


@dataclass(slots=True)
class Findings:
    """Collects the findings of one source; one for each object is enough.

    At most ``limit`` of a backup are kept, the rest is counted in one more.
    """

    limit: int = 50
    raw: list[Raw] = field(default_factory=list)
    _counts: dict[BackupId | None, int] = field(default_factory=dict)
    _seen: set[tuple[BackupId | None, str]] = field(default_factory=set)

    def add(self, found: Raw) -> None:
        """Keep a finding unless its object has one already."""
        if found.key is not None and (found.backup_id, found.key) in self._seen:
            return
        count = self._counts.get(found.backup_id, 0) + 1
        self._counts[found.backup_id] = count
        if count <= self.limit:
            self.raw.append(found)
            if found.key is not None:
                self._seen.add((found.backup_id, found.key))

    def full(self, backup_id: BackupId) -> bool:
        """Whether further findings of this backup are only counted."""
        return self._counts.get(backup_id, 0) >= self.limit

    def keep_only(self, backups: Collection[BackupId]) -> None:
        """Forget what was found of any other backup."""
        self.raw = [raw for raw in self.raw if raw.backup_id is None or raw.backup_id in backups]
        self._counts = {
            backup_id: count
            for backup_id, count in self._counts.items()
            if backup_id is None or backup_id in backups
        }

    def left_out(self) -> Sequence[tuple[BackupId | None, int]]:
        """Backups of which more was found than is kept, and how much more."""
        return [
            (backup_id, count - self.limit)
            for backup_id, count in self._counts.items()
            if count > self.limit
        ]
