"""``ObjectStore`` on S3: the package's one public class."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

from btrfs_to_s3.errors import AccessDeniedError, RepositoryError
from btrfs_to_s3.s3 import capabilities as probing
from btrfs_to_s3.s3 import copying, listing, reading, thawing, writing
from btrfs_to_s3.s3.bucket import S3Bucket
from btrfs_to_s3.s3.control import S3BatchJobs
from btrfs_to_s3.s3.destination import destination
from btrfs_to_s3.s3.session import Limits, Session, World

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

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
    from btrfs_to_s3.ports import Body, Cancellation, Way
    from btrfs_to_s3.s3.client import S3Settings


class S3Store:
    """One repository's objects; see ``btrfs_to_s3.ports.ObjectStore`` for every method's promise.

    Making one sends no request. Until ``capabilities`` are given or ``detect`` ran, nothing is
    assumed: conditions are sent and also checked by a HEAD.
    """

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    @classmethod
    def open(
        cls,
        settings: S3Settings,
        limits: Limits | None = None,
        *,
        capabilities: Capabilities | None = None,
        world: World | None = None,
        way: Way | None = None,
    ) -> Self:
        """Make a client; ``ConfigError`` when the settings cannot make one.

        ``capabilities`` are what an earlier run detected on the same service. Nothing is sent
        while there is an objection to ``way``.
        """
        session = Session.open(settings, limits or Limits(), world or World(), way)
        session.learned.capabilities = capabilities
        return cls(session)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, for every store bound to the same client; idempotent."""
        self._session.close()

    @property
    def url(self) -> str:
        """``s3://bucket/prefix`` for messages."""
        return self._session.settings.url

    @property
    def region(self) -> str | None:
        """The region the client works in, wherever it was named."""
        return self._session.client.meta.region_name

    def destination(self) -> str:
        """The name or address of the machine that requests go to first: a proxy, or the service."""
        return destination(self._session.client, self._session.settings.bucket)

    @property
    def capabilities(self) -> Capabilities | None:
        """What was detected or given; None before that."""
        return self._session.learned.capabilities

    def bound(self, cancel: Cancellation) -> S3Store:
        """The same store (client, gate, limits, counters shared), its waits ended by ``cancel``."""
        return S3Store(self._session.bound(cancel))

    def for_data_class(self, data_class: str) -> S3Store:
        """The same store, its new chunks in another storage class."""
        settings = replace(self._session.settings, data_class=data_class)
        return S3Store(replace(self._session, settings=settings))

    def storage_class(self, role: Role) -> str:
        """The storage class that new objects of this role get."""
        return self._session.settings.storage_class(role)

    def bucket(self) -> S3Bucket:
        """The bucket around the repository, through the same client."""
        return S3Bucket(self._session)

    def batch_jobs(self) -> S3BatchJobs:
        """S3 Batch Operations of the account that this store speaks for."""
        return S3BatchJobs(self._session)

    def request_counts(self) -> Mapping[str, int]:
        """Requests sent so far, retries included, by kind: put, get, list, head, delete (thaw)."""
        return self._session.counter.snapshot()

    @property
    def moves(self) -> tuple[int, int]:
        """Changes while requests are made and bytes move: the work with the service is alive."""
        return self._session.counter.moves

    def check_access(self, key: str) -> None:
        """Prove that the bucket can be reached and read with these credentials; one request.

        A role without s3:ListBucket is checked by a HEAD of ``key`` (present or not) instead.
        Raises what the translation of the failure says, with a hint.
        """
        try:
            listing.first_key_exists(self._session, "")
        except AccessDeniedError as error:
            if error.context.get("code") not in {"AccessDenied", "403"}:
                raise
            try:
                reading.head(self._session, key, None)
            except RepositoryError:
                raise error from None

    def check_writable(self, key: str, body: bytes, sha256: bytes) -> None:
        """Prove the right to write without changing anything; ``AccessDeniedError`` without it.

        ``key`` must exist and hold exactly ``body``: the write asks that it be absent.
        """
        probing.check_writable(self._session, key, body, sha256)

    def detect(self, key: str, body: bytes, sha256: bytes) -> Capabilities:
        """Find out what the service does, with ``key`` that holds exactly ``body``; keep it."""
        found = probing.detect(self._session, key, body, sha256)
        self._session.learned.capabilities = found
        return found

    def put(
        self, key: str, body: Body, *, sha256: bytes, role: Role, condition: Condition
    ) -> StoredObject:
        """Write one whole object."""
        return writing.put(self._session, key, body, sha256=sha256, role=role, condition=condition)

    def create_upload(self, key: str, role: Role) -> str:
        """Start a multipart upload."""
        return writing.create_upload(self._session, key, role)

    def upload_part(
        self, key: str, upload_id: str, number: int, body: Body, sha256: bytes
    ) -> UploadedPart:
        """Send one part."""
        return writing.upload_part(self._session, key, upload_id, number, body, sha256)

    def complete_upload(
        self, key: str, upload_id: str, parts: Sequence[UploadedPart], size_bytes: int
    ) -> StoredObject:
        """Make the object out of its parts."""
        return writing.complete_upload(self._session, key, upload_id, parts, size_bytes)

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Give up an upload."""
        writing.abort_upload(self._session, key, upload_id)

    def copy_source(self, key: str, etag: str, version_id: str | None) -> CopySource:
        """How another store names this object."""
        return copying.source(self._session, key, etag, version_id)

    def copies_from(self, source: CopySource) -> bool:
        """Whether both are on one service."""
        return source.service == copying.service_of(self._session)

    def copy(self, key: str, source: CopySource, role: Role) -> ObjectState:
        """Have the service copy a whole object."""
        return copying.copy_object(self._session, key, source, role)

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
        """Have the service copy a range into a part."""
        span = (offset, offset + size_bytes - 1)
        return copying.copy_part(self._session, key, upload_id, number, source, span, sha256)

    def get(
        self, key: str, *, offset: int, size_bytes: int, version_id: str | None = None
    ) -> bytes:
        """Exactly ``size_bytes`` bytes from ``offset``."""
        return reading.get_range(
            self._session, key, offset=offset, size_bytes=size_bytes, version_id=version_id
        )

    def get_into(
        self, key: str, buffer: memoryview, *, offset: int, version_id: str | None = None
    ) -> None:
        """Fill ``buffer`` with the bytes from ``offset``."""
        reading.get_into(self._session, key, buffer, offset=offset, version_id=version_id)

    def get_whole(
        self, key: str, *, limit_bytes: int, version_id: str | None = None
    ) -> tuple[bytes, str]:
        """A small object's bytes and ETag."""
        return reading.get_whole(self._session, key, limit_bytes=limit_bytes, version_id=version_id)

    def head(self, key: str, version_id: str | None = None) -> ObjectState | None:
        """What the service knows of the object."""
        headed = reading.head(self._session, key, version_id)
        return None if headed is None else headed.state

    def request_thaw(
        self, key: str, version_id: str | None, days: int | None, tier: Tier
    ) -> ThawAnswer:
        """Ask for a readable copy of an archived object."""
        return thawing.request_thaw(self._session, key, version_id, days, tier)

    def list(self, prefix: str) -> Iterator[ListedObject]:
        """Objects under a key prefix in key order."""
        return listing.list_objects(self._session, prefix)

    def list_versions(self, prefix: str) -> Iterator[ListedVersion]:
        """Versions and delete markers under a prefix."""
        return listing.list_versions(self._session, prefix)

    def list_uploads(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """Unfinished multipart uploads under a key prefix."""
        return listing.list_uploads(self._session, prefix)

    def delete(self, targets: Iterable[DeleteTarget]) -> Sequence[DeleteFailure]:
        """Delete objects or versions."""
        return listing.delete(self._session, targets)
