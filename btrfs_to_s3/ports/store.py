"""One repository's objects in S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from btrfs_to_s3.model.objects import (
        Capabilities,
        Condition,
        CopySource,
        DeleteFailure,
        DeleteTarget,
        ListedObject,
        ListedVersion,
        ObjectState,
        Role,
        StoredObject,
        ThawAnswer,
        UnfinishedUpload,
        UploadedPart,
    )
    from btrfs_to_s3.model.storage_class import Tier
    from btrfs_to_s3.ports.cancellation import Cancellation

Body = bytes | bytearray | memoryview | BinaryIO
"""What a request sends."""


class ObjectStore(Protocol):
    """One repository's objects. Keys are relative to its prefix. Safe to call from many threads.

    Every method retries what can heal by the one retry policy and waits at the outage gate, so a
    raised error is final: ``UnreachableError`` after the patience, ``AccessDeniedError`` at once,
    ``InterruptedRunError`` when the bound cancellation is set. A failed write may or may not have
    left its object; a caller that repeats one must use another key (data) or the same bytes
    (metadata, the head). ``put`` and ``complete_upload`` treat a lost answer to their own success
    as success: 412 with equal size and content is not an error.
    """

    @property
    def url(self) -> str:
        """``s3://bucket/prefix`` for messages."""

    @property
    def capabilities(self) -> Capabilities | None:
        """What the service was seen to do; None before ``detect``."""

    def bound(self, cancel: Cancellation) -> ObjectStore:
        """The same store (client, gate, counters shared), its waits ended by ``cancel``."""

    def storage_class(self, role: Role) -> str:
        """The storage class that new objects of this role get."""

    def check_access(self, key: str) -> None:
        """Prove that the bucket can be reached and read; ``key`` may exist or not."""

    def check_writable(self, key: str, body: bytes, sha256: bytes) -> None:
        """Prove the right to write, changing nothing; ``key`` exists and holds exactly ``body``."""

    def detect(self, key: str, body: bytes, sha256: bytes) -> Capabilities:
        """Find out what the service does, by ``key`` that holds exactly ``body``; remembered."""

    def request_counts(self) -> Mapping[str, int]:
        """Requests made so far, retries included, by kind: put, get, list, head, delete (thaw)."""

    def retry_count(self) -> int:
        """How often a call was tried again so far."""

    def put(
        self, key: str, body: Body, *, sha256: bytes, role: Role, condition: Condition
    ) -> StoredObject:
        """Write one whole object (≤ 5 GiB).

        ``ConditionFailedError`` when ``condition`` does not hold; nothing was changed then.
        """

    def create_upload(self, key: str, role: Role) -> str:
        """Start a multipart upload; the caller completes or aborts it. Returns the upload id."""

    def upload_part(
        self, key: str, upload_id: str, number: int, body: Body, sha256: bytes
    ) -> UploadedPart:
        """Send one part (numbers from 1); repeating it replaces the part."""

    def complete_upload(
        self, key: str, upload_id: str, parts: Sequence[UploadedPart], size_bytes: int
    ) -> StoredObject:
        """Make the object out of its parts, only if the key is new.

        ``ConditionFailedError`` when another object holds the key, or the service reported a
        conflict (409): send the chunk again under a new key.
        """

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Give up an upload; one that is already gone is no error."""

    def copy_source(self, key: str, etag: str, version_id: str | None) -> CopySource:
        """How another store names this object to copy it inside the service."""

    def copies_from(self, source: CopySource) -> bool:
        """Whether both are on one service, so that it is worth trying to copy inside it."""

    def copy(self, key: str, source: CopySource, role: Role) -> ObjectState:
        """Have the service copy a whole object (≤ 5 GiB) to a new key; what is there then.

        ``RepositoryError`` or ``MissingObjectError`` where it will not, for want of a right or
        because the object is not the one with that ETag; ``NotReadableYetError``.
        """

    def copy_part(
        self,
        key: str,
        upload_id: str,
        number: int,
        source: CopySource,
        *,
        offset: int,
        size_bytes: int,
        sha256: bytes,
    ) -> UploadedPart:
        """Have the service copy a range into a part; completing the upload checks ``sha256``."""

    def get(
        self, key: str, *, offset: int, size_bytes: int, version_id: str | None = None
    ) -> bytes:
        """Exactly ``size_bytes`` bytes from ``offset``.

        ``MissingObjectError``; ``NotReadableYetError`` for an archived object;
        ``IntegrityError`` when the object ends before the range does.
        """

    def get_into(
        self, key: str, buffer: memoryview, *, offset: int, version_id: str | None = None
    ) -> None:
        """As ``get``, but the bytes fill ``buffer``; after an error it holds anything."""

    def get_whole(
        self, key: str, *, limit_bytes: int, version_id: str | None = None
    ) -> tuple[bytes, str]:
        """A small object's bytes and ETag; ``IntegrityError`` when larger than ``limit_bytes``."""

    def head(self, key: str, version_id: str | None = None) -> ObjectState | None:
        """What the service knows of the object, None when it does not exist."""

    def request_thaw(
        self, key: str, version_id: str | None, days: int | None, tier: Tier
    ) -> ThawAnswer:
        """Ask for a readable copy of an archived object, kept ``days`` days once it is there.

        Repeating it is safe: on a thawed object it sets the days anew, counted from now. ``days``
        is None for INTELLIGENT_TIERING, which brings the object itself back. ``UsageError`` where
        the class lacks the tier or is no archive class; ``MissingObjectError``;
        ``RepositoryError`` while the service has no capacity for expedited thaws. The requests of
        a client stay below the service's rate limit.
        """

    def list(self, prefix: str) -> Iterator[ListedObject]:
        """Objects under a key prefix in key order, pages fetched as needed."""

    def list_versions(self, prefix: str) -> Iterator[ListedVersion]:
        """Versions and delete markers under a prefix; empty where the bucket keeps none.

        In key order; the versions of one key stand together.
        """

    def list_uploads(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """Unfinished multipart uploads under a key prefix."""

    def delete(self, targets: Iterable[DeleteTarget]) -> Sequence[DeleteFailure]:
        """Delete objects or versions, 1000 a request; what is already gone counts as deleted."""
