"""What stands around a repository in S3: its bucket, and the jobs of its account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import timedelta

    from btrfs_to_s3.model.batch_job import BatchJobState, BatchThawOrder
    from btrfs_to_s3.model.bucket import Lifecycle, ObjectLock, Versioning


class Bucket(Protocol):
    """The bucket around a repository, for ``doctor``. Errors and waits are as of ``ObjectStore``.

    What the service does not know, or the credentials may not ask, is a ``RepositoryError``.
    """

    @property
    def name(self) -> str:
        """The bucket's name."""

    @property
    def configured_region(self) -> str | None:
        """The region that requests are signed for."""

    def credentials_origin(self) -> str:
        """Where credentials are found, in words; never they themselves.

        ``AccessDeniedError`` when there are none, or they cannot be read.
        """

    def region(self) -> str | None:
        """The bucket's region; None where the service does not say."""

    def clock_skew(self) -> timedelta | None:
        """How far this machine's clock is ahead of the service's, by its last answer to this store.

        To a second; None before any answer. Errors are answers.
        """

    def versioning(self) -> Versioning:
        """Whether the bucket keeps versions."""

    def object_lock(self) -> ObjectLock | None:
        """Object Lock's state; None where it is off, or unknown to the service."""

    def lifecycle(self) -> Lifecycle:
        """The lifecycle configuration; without rules where there is none."""

    def replace_lifecycle(self, wanted: Lifecycle) -> None:
        """Set the whole configuration: S3 takes no condition, so read it just before."""


class BatchJobs(Protocol):
    """S3 Batch Operations of the repository's account. Errors are as of ``ObjectStore``.

    Where the service has no S3 Control API every method raises ``RepositoryError``, at once and
    with the remedy.
    """

    def create(self, order: BatchThawOrder) -> str:
        """Start a job; its id. Repeating it with the same token gives the same job."""

    def state(self, job_id: str) -> BatchJobState:
        """How far a job is."""
