"""The error tree. Each error knows its exit code, its context and a hint for the person.

::

    BtrfsToS3Error                     1  a bug, when nothing more exact was raised
    ├── UsageError                     2  the command line or the configuration cannot be used
    │   └── ConfigError                2  one setting, with the place it came from
    ├── SourceError                    3  one source or one target cannot be used
    │   ├── SendError                  3  btrfs send failed, or its stream is not complete
    │   ├── ReceiveError               3  btrfs receive failed
    │   ├── LocalSpaceError            3  a local disk is full
    │   └── RaceLostError              3  another writer committed to the same source first
    ├── RepositoryError                4  the service cannot be used
    │   ├── UnreachableError           4  no answer within the patience
    │   ├── AccessDeniedError          4  credentials missing, wrong or without the right
    │   └── ConditionFailedError       4  a conditional write was refused
    ├── IntegrityError                 5  stored data is not what was stored
    │   └── MissingObjectError         5  an object that a manifest or index names is not there
    ├── NotReadableYetError            6  archived data that must be thawed first
    ├── LockedError                    7  another run on this host holds the repository
    ├── StaleError                     8  the last success is older than allowed
    └── InterruptedRunError          130  a signal, or another stage's failure, ended the work
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit codes of the program (design: part of the public interface)."""

    DONE = 0
    BUG = 1
    USAGE = 2
    SOURCES_FAILED = 3
    REPOSITORY = 4
    INTEGRITY = 5
    NOT_READABLE_YET = 6
    LOCKED = 7
    STALE = 8
    INTERRUPTED = 130


class BtrfsToS3Error(Exception):
    """Root of every error this program raises on purpose.

    ``message`` is one sentence without a final period; ``hint`` says what a person can do about
    it; ``context`` holds the facts (keys, paths, ids) for logs and ``--json``.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.BUG

    def __init__(self, message: str, *, hint: str | None = None, **context: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.context = context

    def __str__(self) -> str:
        return self.message


class UsageError(BtrfsToS3Error):
    """The command line or the configuration cannot be used."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """A setting is unknown, of the wrong type or impossible; says where it was found."""


class SourceError(BtrfsToS3Error):
    """One source cannot be backed up, or one target cannot be restored to."""

    exit_code = ExitCode.SOURCES_FAILED


class SendError(SourceError):
    """``btrfs send`` failed or its stream ended before its END command."""


class ReceiveError(SourceError):
    """``btrfs receive`` failed, or what it left is not what the stream promised."""


class LocalSpaceError(SourceError):
    """A local filesystem has no space left."""


class RaceLostError(SourceError):
    """Another writer changed the source's head so that this backup can no longer be committed."""


class RepositoryError(BtrfsToS3Error):
    """The service refused or could not be used."""

    exit_code = ExitCode.REPOSITORY


class UnreachableError(RepositoryError):
    """The service gave no usable answer within the retries and the outage patience."""


class AccessDeniedError(RepositoryError):
    """Credentials are missing, wrong, expired or lack a permission."""


class ConditionFailedError(RepositoryError):
    """A conditional write was refused: the object exists, or is not the expected version."""


class IntegrityError(BtrfsToS3Error):
    """Stored data is not what was stored, or does not follow the format."""

    exit_code = ExitCode.INTEGRITY


class MissingObjectError(IntegrityError):
    """An object that must exist does not."""


class NotReadableYetError(BtrfsToS3Error):
    """The data lies in an archive class and has not been thawed."""

    exit_code = ExitCode.NOT_READABLE_YET


class LockedError(BtrfsToS3Error):
    """Another run on this host works on the same repository."""

    exit_code = ExitCode.LOCKED


class StaleError(BtrfsToS3Error):
    """The newest backup is older than the age asked for."""

    exit_code = ExitCode.STALE


class InterruptedRunError(BtrfsToS3Error):
    """The run was asked to stop, or a stage stopped because another one failed."""

    exit_code = ExitCode.INTERRUPTED
