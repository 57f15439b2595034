"""What operations need of the world; adapters in btrfs, s3 and host provide it."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta
    from pathlib import Path
    from types import TracebackType
    from typing import Self
    from uuid import UUID

    from btrfs_to_s3.model.batch_job import BatchJobState, BatchThawOrder
    from btrfs_to_s3.model.bucket import Lifecycle, ObjectLock, Versioning
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
    from btrfs_to_s3.model.place import SnapshotDirectory, SourcePlace
    from btrfs_to_s3.model.storage_class import Tier
    from btrfs_to_s3.model.subvolume import SendOptions, Subvolume

Body = bytes | bytearray | memoryview | BinaryIO


class Cancellation(Protocol):
    """Tells long waits to end. Thread-safe; once set it stays set."""

    def is_set(self) -> bool:
        """Whether the work should stop."""

    def wait(self, timeout_s: float) -> bool:
        """Sleep up to ``timeout_s``; True as soon as the work should stop."""


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


class SendStream(Protocol):
    """A running ``btrfs send``. A context manager: leaving it kills and reaps what still runs."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill from the stream, as many bytes as are there (at least one); 0 at its end."""

    def finish(self) -> None:
        """Wait for the process; ``SendError`` with its stderr unless it exited 0."""

    def kill(self) -> None:
        """End the process now; idempotent."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class ReceiveSink(Protocol):
    """A running ``btrfs receive``. A context manager: left early, it kills, then closes stdin."""

    def write(self, data: bytes | memoryview) -> None:
        """Feed bytes that were already verified; ``ReceiveError`` with stderr if it died."""

    def finish(self) -> None:
        """Close stdin and wait; ``ReceiveError`` with its stderr unless it exited 0."""

    def kill(self) -> None:
        """Kill the process, then close its stdin; idempotent."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Volume(Protocol):
    """A mounted Btrfs filesystem, seen whole through a private mount of its top level.

    A context manager: leaving it unmounts the private mount. Paths of subvolumes are relative to
    the top level. Nothing is written before ``snapshot``, ``receive``, ``delete`` or
    ``writable_snapshot`` is called.
    """

    @property
    def fsid(self) -> UUID:
        """The filesystem's uuid."""

    def subvolume_at(self, path: Path) -> Subvolume:
        """The subvolume whose root is ``path`` (a path the user sees).

        ``SourceError`` when it is not a subvolume's root or not on this filesystem.
        """

    def subvolumes(self) -> Sequence[Subvolume]:
        """Every subvolume, fresh from the kernel.

        A live subvolume's ctransid is that of the last commit: ``sync`` first to compare it.
        """

    def nested(self, source: Subvolume) -> Sequence[Subvolume]:
        """Subvolumes inside ``source``, which a snapshot of it will not hold."""

    def receive_candidates(self, parent_uuid: UUID) -> Sequence[Subvolume]:
        """Subvolumes ``btrfs receive`` could take as a stream's parent; it will take the first.

        Empty when it would find none. Whether the first is still what was received is the caller's
        to judge: receive does not.
        """

    def snapshot(self, source: Subvolume, name: str) -> Subvolume:
        """A new read-only snapshot of ``source`` in the snapshot directory, synced to disk.

        ``SourceError`` when the name exists, the filesystem is read-only or a swapfile is active
        (ETXTBSY); nothing is left then.
        """

    def snapshot_directory(self) -> SnapshotDirectory:
        """The directory where this program keeps its snapshots, which may not exist yet."""

    def in_snapshot_directory(self, subvolume: Subvolume) -> bool:
        """Whether the subvolume lies in the directory where this program keeps its snapshots."""

    def delete(self, subvolume: Subvolume) -> None:
        """Delete a subvolume, checked by uuid just before; absent is no error."""

    def send(
        self, snapshot: Subvolume, parent: Subvolume | None, options: SendOptions
    ) -> SendStream:
        """Start ``btrfs send``; the caller uses it as a context manager.

        The process dies with the thread that starts it: start it in one that outlives the stream.
        """

    def relative_path(self, directory: Path) -> str:
        """A directory the user sees as a path below the top level (empty for the top level)."""

    def contents(self, subvolume: Subvolume) -> Path:
        """Where this process can read a subvolume's files while the volume is open."""

    def entry_exists(self, directory: Path, name: str) -> bool:
        """Whether a directory (a path the user sees) already has an entry of this name."""

    def receive(self, directory: Path) -> ReceiveSink:
        """Start ``btrfs receive`` into a directory the user sees.

        The process dies with the thread that starts it: start it in one that outlives the stream.
        """

    def received_in(self, directory: Path, name: str) -> Subvolume | None:
        """The subvolume of that name in a directory, as the kernel sees it now, or None."""

    def writable_snapshot(self, snapshot: Subvolume, directory: Path, name: str) -> Subvolume:
        """A writable snapshot, made in a directory the user sees."""

    def sync(self) -> None:
        """``syncfs``: everything written so far is on disk when it returns."""

    def free_bytes(self) -> int:
        """Unallocated and free space an unprivileged writer could use."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Btrfs(Protocol):
    """This machine's Btrfs tools."""

    def open(self, path: Path, *, writable: bool) -> Volume:
        """The filesystem that holds ``path``.

        ``SourceError`` when it is not Btrfs, or ``writable`` is asked for and the mount is
        read-only, or the privilege is missing (the hint says how to run it).
        """

    def best_send_options(self, protocol: str) -> SendOptions:
        """Options for ``auto``, ``1`` or ``2``, by what kernel and progs both support.

        ``UsageError`` when protocol 2 is demanded and one of them cannot.
        """

    def versions(self) -> tuple[str, str]:
        """Kernel release and btrfs-progs version."""


class BtrfsInspection(Protocol):
    """What ``doctor`` asks of this machine's Btrfs; all but ``open`` needs no privilege."""

    def kernel(self) -> str:
        """The kernel's release."""

    def progs(self) -> str:
        """The version of btrfs-progs; ``SourceError`` when they are missing."""

    def privileged(self) -> bool:
        """Whether this process may snapshot, send and receive."""

    def best_send_options(self, protocol: str) -> SendOptions:
        """As of ``Btrfs``."""

    def look(self, path: Path) -> SourcePlace:
        """What anybody may see of a directory.

        ``SourceError`` when it is missing, no directory, or not on Btrfs.
        """

    def open(self, path: Path, *, writable: bool) -> Volume:
        """As of ``Btrfs``."""


class Journal(Protocol):
    """An append-only local record of JSON lines, each on disk before ``append`` returns."""

    def append(self, record: Mapping[str, object]) -> None:
        """Add one line; ``LocalSpaceError`` when the disk is full. A torn last line is ignored."""

    def records(self) -> Iterator[dict[str, object]]:
        """The lines so far, oldest first."""

    def remove(self) -> None:
        """Delete the journal: the work it describes is done or given up."""


class LocalState(Protocol):
    """This host's state directory. Everything in it but open journals can be deleted at will."""

    def journal(self, kind: str, name: str) -> Journal:
        """The journal ``name`` of ``kind`` (upload, received, thaw), open for appending."""

    def journals(self, kind: str) -> Sequence[str]:
        """Names of existing journals of a kind."""

    def remember(self, kind: str, name: str, value: bytes) -> None:
        """Cache a value atomically."""

    def recall(self, kind: str, name: str) -> bytes | None:
        """A cached value, None when it was never kept or was deleted."""

    def remembered(self, kind: str) -> Sequence[str]:
        """Names of cached values of a kind."""

    def siblings(self) -> Sequence[LocalState]:
        """The state that this host keeps of every other repository it ever worked with."""

    def temporary(self) -> BinaryIO:
        """An unnamed file for metadata larger than memory should hold; gone when closed."""


class Reporter(Protocol):
    """Where operations tell what is happening; the command line renders it. Thread-safe."""

    def begin(self, subject: str, activity: str, expected_bytes: int | None) -> None:
        """A piece of work starts; ``expected_bytes`` is the planner's estimate of raw bytes."""

    def advance(self, raw_bytes: int, stored_bytes: int, chunks: int) -> None:
        """So much more raw stream, stored data and so many chunks are done."""

    def activity(self, text: str) -> None:
        """What is happening now, in a few words."""

    def note(self, text: str) -> None:
        """Something a person may want to know."""

    def warn(self, text: str) -> None:
        """Something a person should act on; the work goes on."""

    def end(self) -> None:
        """The piece of work is over, well or badly."""
