"""Object stores that fail, lie or act at a chosen moment, around a real one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from btrfs_to_s3.errors import UnreachableError
from btrfs_to_s3.model.objects import DeleteFailure, DeleteTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from typing import Self

    from btrfs_to_s3.model.objects import (
        Capabilities,
        Condition,
        CopySource,
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
    from btrfs_to_s3.ports import Body, Cancellation, ObjectStore

T = TypeVar("T")


class Delegate:
    """Implements ``ports.ObjectStore`` by another one; subclasses change what they need.

    Bound copies are the delegate itself: cancellation is not what these are for.
    """

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner

    @property
    def url(self) -> str:
        """As the inner store."""
        return self.inner.url

    @property
    def capabilities(self) -> Capabilities | None:
        """As the inner store."""
        return self.inner.capabilities

    def bound(self, cancel: Cancellation) -> Self:  # noqa: ARG002 - see the class
        """Itself."""
        return self

    def storage_class(self, role: Role) -> str:
        """As the inner store."""
        return self.inner.storage_class(role)

    def check_access(self, key: str) -> None:
        """As the inner store."""
        self.inner.check_access(key)

    def check_writable(self, key: str, body: bytes, sha256: bytes) -> None:
        """As the inner store."""
        self.inner.check_writable(key, body, sha256)

    def detect(self, key: str, body: bytes, sha256: bytes) -> Capabilities:
        """As the inner store."""
        return self.inner.detect(key, body, sha256)

    def request_counts(self) -> Mapping[str, int]:
        """As the inner store."""
        return self.inner.request_counts()

    def retry_count(self) -> int:
        """As the inner store."""
        return self.inner.retry_count()

    def put(
        self, key: str, body: Body, *, sha256: bytes, role: Role, condition: Condition
    ) -> StoredObject:
        """As the inner store."""
        return self.inner.put(key, body, sha256=sha256, role=role, condition=condition)

    def create_upload(self, key: str, role: Role) -> str:
        """As the inner store."""
        return self.inner.create_upload(key, role)

    def upload_part(
        self, key: str, upload_id: str, number: int, body: Body, sha256: bytes
    ) -> UploadedPart:
        """As the inner store."""
        return self.inner.upload_part(key, upload_id, number, body, sha256)

    def complete_upload(
        self, key: str, upload_id: str, parts: Sequence[UploadedPart], size_bytes: int
    ) -> StoredObject:
        """As the inner store."""
        return self.inner.complete_upload(key, upload_id, parts, size_bytes)

    def abort_upload(self, key: str, upload_id: str) -> None:
        """As the inner store."""
        self.inner.abort_upload(key, upload_id)

    def copy_source(self, key: str, etag: str, version_id: str | None) -> CopySource:
        """As the inner store."""
        return self.inner.copy_source(key, etag, version_id)

    def copies_from(self, source: CopySource) -> bool:
        """As the inner store."""
        return self.inner.copies_from(source)

    def copy(self, key: str, source: CopySource, role: Role) -> ObjectState:
        """As the inner store."""
        return self.inner.copy(key, source, role)

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
        """As the inner store."""
        return self.inner.copy_part(
            key, upload_id, number, source, offset=offset, size_bytes=size_bytes, sha256=sha256
        )

    def get(
        self, key: str, *, offset: int, size_bytes: int, version_id: str | None = None
    ) -> bytes:
        """As the inner store."""
        return self.inner.get(key, offset=offset, size_bytes=size_bytes, version_id=version_id)

    def get_into(
        self, key: str, buffer: memoryview, *, offset: int, version_id: str | None = None
    ) -> None:
        """As the inner store."""
        self.inner.get_into(key, buffer, offset=offset, version_id=version_id)

    def get_whole(
        self, key: str, *, limit_bytes: int, version_id: str | None = None
    ) -> tuple[bytes, str]:
        """As the inner store."""
        return self.inner.get_whole(key, limit_bytes=limit_bytes, version_id=version_id)

    def head(self, key: str, version_id: str | None = None) -> ObjectState | None:
        """As the inner store."""
        return self.inner.head(key, version_id)

    def request_thaw(
        self, key: str, version_id: str | None, days: int | None, tier: Tier
    ) -> ThawAnswer:
        """As the inner store."""
        return self.inner.request_thaw(key, version_id, days, tier)

    def list(self, prefix: str) -> Iterator[ListedObject]:
        """As the inner store."""
        return self.inner.list(prefix)

    def list_versions(self, prefix: str) -> Iterator[ListedVersion]:
        """As the inner store."""
        return self.inner.list_versions(prefix)

    def list_uploads(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """As the inner store."""
        return self.inner.list_uploads(prefix)

    def delete(self, targets: Iterable[DeleteTarget]) -> Sequence[DeleteFailure]:
        """As the inner store."""
        return self.inner.delete(targets)


class StopsAfter(Delegate):
    """Carries out that many writes, each deleted object counting as one; then nothing writes.

    The write behind the last one fails: with ``answer_lost`` it is carried out all the same.
    """

    def __init__(self, inner: ObjectStore, writes: int, *, answer_lost: bool = False) -> None:
        super().__init__(inner)
        self.writes = 0
        self._allowed = writes
        self._answer_lost = answer_lost

    def put(
        self, key: str, body: Body, *, sha256: bytes, role: Role, condition: Condition
    ) -> StoredObject:
        """Put, or fail."""
        return self._write(
            lambda: self.inner.put(key, body, sha256=sha256, role=role, condition=condition)
        )

    def delete(self, targets: Iterable[DeleteTarget]) -> Sequence[DeleteFailure]:
        """Delete one by one, or fail in the middle."""
        failures: list[DeleteFailure] = []
        for target in targets:
            failures += self._write(partial(self.inner.delete, [target]))
        return failures

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Abort, or fail."""
        self._write(lambda: self.inner.abort_upload(key, upload_id))

    def _write(self, write: Callable[[], T]) -> T:
        if self.writes < self._allowed:
            self.writes += 1
            return write()
        self.writes = self._allowed + 1
        if self._answer_lost:
            self._answer_lost = False
            write()
        raise UnreachableError("the connection is gone")


class RefusesToDelete(Delegate):
    """Answers AccessDenied for some keys of a deletion, as Object Lock does."""

    def __init__(self, inner: ObjectStore, locked: Collection[str]) -> None:
        super().__init__(inner)
        self.locked = set(locked)

    def delete(self, targets: Iterable[DeleteTarget]) -> Sequence[DeleteFailure]:
        """Delete what is not locked."""
        wanted = list(targets)
        refused = [target for target in wanted if target.key in self.locked]
        failures = self.inner.delete([target for target in wanted if target not in refused])
        return [
            *failures,
            *(DeleteFailure(target.key, "AccessDenied", "Access Denied") for target in refused),
        ]


class Recorder(Delegate):
    """Remembers the keys of all writes in their order."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.written: list[str] = []

    def put(
        self, key: str, body: Body, *, sha256: bytes, role: Role, condition: Condition
    ) -> StoredObject:
        self.written.append(key)
        return super().put(key, body, sha256=sha256, role=role, condition=condition)

    def delete(self, targets: Iterable[DeleteTarget]) -> Sequence[DeleteFailure]:
        wanted = list(targets)
        self.written += [target.key for target in wanted]
        return super().delete(wanted)


class ActsOnce(Delegate):
    """Does something, once, when a listing below ``prefix`` or a put of that key begins."""

    def __init__(self, inner: ObjectStore, prefix: str, act: Callable[[], object]) -> None:
        super().__init__(inner)
        self._prefix = prefix
        self._act: Callable[[], object] | None = act

    def list(self, prefix: str) -> Iterator[ListedObject]:
        """List, after the act."""
        self._maybe(prefix)
        return self.inner.list(prefix)

    def put(
        self, key: str, body: Body, *, sha256: bytes, role: Role, condition: Condition
    ) -> StoredObject:
        """Put, after the act."""
        self._maybe(key)
        return self.inner.put(key, body, sha256=sha256, role=role, condition=condition)

    def _maybe(self, key: str) -> None:
        act = self._act
        if act is not None and key.startswith(self._prefix):
            self._act = None
            act()
