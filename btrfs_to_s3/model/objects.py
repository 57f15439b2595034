"""Objects of a repository as the service reports them. Keys are relative to the prefix."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Role(StrEnum):
    """What an object is for, which decides its storage class."""

    DATA = "data"
    METADATA = "metadata"


class ThawAnswer(StrEnum):
    """What the service says to a thaw request (S3 API, RestoreObject: 202, 200, 409)."""

    ACCEPTED = "accepted"
    READABLE = "readable"
    UNDER_WAY = "under way"


class Create(Enum):
    """The condition of every write but the head's: the key must not exist yet."""

    ONLY_NEW = "*"


@dataclass(frozen=True, slots=True)
class Replace:
    """The head's condition: the object must still have this ETag."""

    etag: str


Condition = Create | Replace


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a completed write left. ``version_id`` is None where the bucket keeps no versions."""

    key: str
    size_bytes: int
    etag: str
    version_id: str | None


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One entry of a listing.

    ``thawing`` and ``thawed_until`` come from RestoreStatus and are False and None for an object
    that was never thawed.
    """

    key: str
    size_bytes: int
    etag: str
    modified: datetime
    storage_class: str
    thawing: bool = False
    thawed_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListedVersion:
    """One version (or delete marker) of an object in a bucket that keeps versions.

    A delete marker has no size, class or thaw; ``thawing`` and ``thawed_until`` as in a listing.
    """

    key: str
    version_id: str
    latest: bool
    delete_marker: bool
    modified: datetime
    size_bytes: int = 0
    storage_class: str = "STANDARD"
    thawing: bool = False
    thawed_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ObjectState:
    """The answer to a HEAD. ``sha256_hex`` is None without a kept whole-object SHA-256.

    ``thawing`` and ``thawed_until`` come from x-amz-restore. ``archive_status`` is the archive tier
    that an INTELLIGENT_TIERING object was moved to (ARCHIVE_ACCESS, DEEP_ARCHIVE_ACCESS), or None.
    """

    key: str
    size_bytes: int
    etag: str
    version_id: str | None
    storage_class: str
    sha256_hex: str | None
    thawing: bool = False
    thawed_until: datetime | None = None
    archive_status: str | None = None


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """A multipart upload that was neither completed nor aborted."""

    key: str
    upload_id: str
    started: datetime


@dataclass(frozen=True, slots=True)
class DeleteTarget:
    """One object, or one version of it, to delete."""

    key: str
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteFailure:
    """A key the service refused to delete, with its reason."""

    key: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class UploadedPart:
    """A part of a multipart upload: number from 1, ETag, SHA-256 of its bytes."""

    number: int
    etag: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class CopySource:
    """An object as another repository of the same service can be told to copy it.

    ``service`` names the endpoint. ``key`` is whole, with its repository's prefix.
    """

    service: str
    bucket: str
    key: str
    etag: str
    version_id: str | None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the service was seen to do; a local cache, never stored remotely (guarantee 2)."""

    conditional_create: bool
    conditional_replace: bool
    verifies_checksums: bool
    keeps_sha256: bool

    @property
    def single_writer_assumed(self) -> bool:
        """Whether two writers could overwrite each other unnoticed."""
        return not (self.conditional_create and self.conditional_replace)
