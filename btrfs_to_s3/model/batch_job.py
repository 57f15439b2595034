"""Jobs of S3 Batch Operations (S3 User Guide, "Restoring objects with Batch Operations")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from btrfs_to_s3.model.storage_class import Tier

_ENDED = frozenset({"Complete", "Failed", "Cancelled"})


@dataclass(frozen=True, slots=True)
class BatchThawOrder:
    """One job that asks for the thaw of every object in a manifest.

    ``manifest_key`` is relative to the repository's prefix; ``report_prefix`` is a prefix of the
    bucket's keys, without a final slash. ``versions``: the manifest has a column for them.
    ``token`` makes repeating the request harmless.
    """

    manifest_key: str
    manifest_etag: str
    versions: bool
    days: int
    tier: Tier
    role_arn: str
    priority: int
    report_prefix: str
    token: str


@dataclass(frozen=True, slots=True)
class BatchJobState:
    """How far a job is. ``status`` is the service's word (S3 Control API, JobStatus).

    Its tasks only ask for thaws: a job that is complete says nothing of what can be read.
    """

    job_id: str
    status: str
    total: int
    succeeded: int
    failed: int
    reasons: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in _ENDED

    @property
    def complete(self) -> bool:
        """Whether every object was tried; some may have failed."""
        return self.status == "Complete"
