"""What ``doctor`` says: one line for each thing it looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One line. ``name`` is a stable word; ``subject`` is the source it is about, if any.

    ``remedy`` says what to do about a warning or a failure. ``known`` is False where it could not
    be found out, which ``text`` then explains.
    """

    name: str
    verdict: Verdict
    text: str
    remedy: str | None = None
    subject: str | None = None
    known: bool = True


def passed(name: str, text: str, *, subject: str | None = None) -> Check:
    """It is in order."""
    return Check(name, Verdict.PASS, text, None, subject)


def warned(name: str, text: str, remedy: str | None, *, subject: str | None = None) -> Check:
    """It works, but a person should know."""
    return Check(name, Verdict.WARN, text, remedy, subject)


def failed(name: str, text: str, remedy: str | None, *, subject: str | None = None) -> Check:
    """Backups or restores will not work so."""
    return Check(name, Verdict.FAIL, text, remedy, subject)


def unknown(name: str, why: str, remedy: str | None, *, subject: str | None = None) -> Check:
    """It cannot be known, which is a warning."""
    return Check(name, Verdict.WARN, f"not known: {why}", remedy, subject, known=False)
