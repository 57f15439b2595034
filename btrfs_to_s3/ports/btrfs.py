"""This machine's Btrfs: volumes, and the processes that send and receive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self
    from uuid import UUID

    from btrfs_to_s3.model.place import SnapshotDirectory, SourcePlace
    from btrfs_to_s3.model.subvolume import SendOptions, Subvolume


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

    def require_writable(self, directory: Path) -> None:
        """``SourceError`` where the user sees a directory on a read-only mount."""

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

        ``SourceError`` when it is not Btrfs, or ``writable`` is asked for and the filesystem is
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
