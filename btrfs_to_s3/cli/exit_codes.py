"""Exit codes: which one a failure ends the program with, and which one a run over several sources.

A path that does not exist is a mistake of the command line if it stands there (2); one of the
configuration file may only not be mounted now (3).

The rule for several sources: 0 when every source was backed up or had nothing due. Otherwise what
ended the run (4 the repository, 130 a signal) decides; then, when all that failed failed with one
code, that code; else 3. The codes themselves are ``errors.ExitCode``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from btrfs_to_s3 import errors
from btrfs_to_s3.errors import BtrfsToS3Error, ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

_ENDS_A_RUN = frozenset({ExitCode.REPOSITORY, ExitCode.LOCKED, ExitCode.INTERRUPTED})
_OWN_WORDS = {"BtrfsToS3Error": "bug", "InterruptedRunError": "interrupted"}
_RESUMABLE = "run the same command again: it goes on where this run stopped"
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the program ends non-zero. ``kind`` is a stable word for scripts."""

    code: ExitCode
    kind: str
    message: str
    hint: str | None = None
    context: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, error: BtrfsToS3Error) -> Failure:
        """An error of ours."""
        return cls(error.exit_code, kind_of(error), error.message, error.hint, dict(error.context))

    @classmethod
    def of_stop(cls, signal: str, hint: str | None = None) -> Failure:
        """A run that a signal ended."""
        return cls(ExitCode.INTERRUPTED, "interrupted", f"stopped by {signal}", hint or _RESUMABLE)

    @classmethod
    def of_click(cls, error: click.ClickException) -> Failure:
        """A command line that click could not read."""
        message = " ".join(error.format_message().split()).removesuffix(".")
        context = error.ctx if isinstance(error, click.UsageError) else None
        path = context.command_path if context else "btrfs-to-s3"
        message = message[:1].lower() + message[1:]
        return cls(ExitCode.USAGE, "usage", message, f"'{path} --help' shows what is possible")

    @classmethod
    def of_bug(cls, error: BaseException) -> Failure:
        """Anything that should not have happened."""
        said = " ".join(str(error).split())
        what = type(error).__name__ + (f": {said}" if said else "")
        return cls(
            ExitCode.BUG,
            "bug",
            f"this is a bug in btrfs-to-s3: {what}",
            "please report it with the output of the same command with -v",
        )


def kind_of(error: BtrfsToS3Error) -> str:
    """The error tree's name for it: ``AccessDeniedError`` is ``access_denied``.

    Finer classes that adapters keep for themselves go by the one they derive from.
    """
    names = (kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    name = next(names)
    return _OWN_WORDS.get(name) or _WORD.sub("_", name.removesuffix("Error")).lower()


def of_named(error: BtrfsToS3Error, named: Collection[Path]) -> BtrfsToS3Error:
    """The error, or the ``UsageError`` it is if one of the command line's paths does not exist."""
    if error.context.get("absent") and error.context.get("path") in named:
        return UsageError(error.message, hint=error.hint, **error.context)
    return error


def of_sources(failures: Mapping[str, Failure], total: int) -> Failure | None:
    """The failure of a run over ``total`` sources; ``failures`` by label, in order."""
    if not failures:
        return None
    code = _code([failure.code for failure in failures.values()])
    several = f"{len(failures)} of {total} sources failed: {', '.join(failures)}"
    names = {"labels": list(failures)}
    return _one_of(failures, code) or Failure(code, "sources_failed", several, None, names)


def of_repositories(failures: Mapping[str, Failure], total: int) -> Failure | None:
    """The failure of a run over ``total`` repositories; ``failures`` by name, in order.

    A signal decides, then a repository that cannot be used, whatever became of the others.
    """
    if not failures:
        return None
    codes = [failure.code for failure in failures.values()]
    ends = [code for code in (ExitCode.INTERRUPTED, ExitCode.REPOSITORY) if code in codes]
    code = ends[0] if ends else _code(codes)
    several = f"{len(failures)} of {total} repositories failed: {', '.join(failures)}"
    names = {"names": list(failures)}
    return _one_of(failures, code) or Failure(code, "repositories_failed", several, None, names)


def _one_of(failures: Mapping[str, Failure], code: ExitCode) -> Failure | None:
    """The only failure, with the name of what failed; None of several."""
    if len(failures) > 1:
        return None
    ((name, only),) = failures.items()
    return Failure(code, only.kind, f"{name}: {only.message}", only.hint, only.context)


def _code(codes: Sequence[ExitCode]) -> ExitCode:
    if codes[-1] in _ENDS_A_RUN:
        return codes[-1]
    return codes[0] if len(set(codes)) == 1 else ExitCode.SOURCES_FAILED
