"""A plan that must not be carried out, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from btrfs_to_s3.errors import SourceError


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing may be done, and what a person can do about it."""

    reason: str
    remedy: str

    def as_error(self) -> SourceError:
        """The error to raise when the plan is executed all the same."""
        return SourceError(self.reason, hint=self.remedy)
