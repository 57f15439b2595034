"""One Btrfs filesystem, seen whole: what the ``Volume`` Protocol promises."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from btrfs_to_s3.btrfs import ioctl, refusals
from btrfs_to_s3.btrfs.places import Place
from btrfs_to_s3.btrfs.process import find_program
from btrfs_to_s3.btrfs.receive import BtrfsReceive
from btrfs_to_s3.btrfs.roots import RootTree
from btrfs_to_s3.btrfs.send import BtrfsSend, send_arguments
from btrfs_to_s3.errors import SourceError
from btrfs_to_s3.model.place import SnapshotDirectory
from btrfs_to_s3.model.subvolume import TOP_LEVEL_ID, Subvolume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self
    from uuid import UUID

    from btrfs_to_s3.btrfs.mount import PrivateMount
    from btrfs_to_s3.model.subvolume import SendOptions

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class BtrfsVolume:
    """Implements ``Volume`` over a private mount, which it closes.

    ``snapshot_directory`` is one name at the filesystem's top level. ``subvolumes`` and
    ``subvolume_at`` show a live subvolume's ctransid as of the last commit: call ``sync`` first
    where unsynced writes matter.
    """

    def __init__(
        self, mount: PrivateMount, fsid: UUID, snapshot_directory: str, program: str
    ) -> None:
        self._mount = mount
        self._fsid = fsid
        self._snapshot_directory = snapshot_directory
        self._program = program
        self._roots = RootTree(mount.fd)

    @property
    def fsid(self) -> UUID:
        """The filesystem's uuid."""
        return self._fsid

    def subvolume_at(self, path: Path) -> Subvolume:
        """The subvolume whose root is ``path`` (a path the user sees).

        ``SourceError`` when it is not a subvolume's root or not on this filesystem.
        """
        with self._place(path) as place:
            if not place.is_subvolume_root:
                raise self._not_a_root(place)
            return self._known(place.tree_id)

    def _not_a_root(self, place: Place) -> SourceError:
        inside = self._known(place.tree_id)
        seen_at = _root_seen_above(place)
        where = f"{inside.path!r}" if inside.path else "the top level"
        return SourceError(
            f"{place.path} is a directory in the subvolume {where}, not a subvolume's root",
            hint=(f"back up {seen_at}, or " if seen_at else "")
            + "make it a subvolume of its own (btrfs subvolume create)",
            path=place.path,
            subvolume=inside.path,
        )

    def subvolumes(self) -> Sequence[Subvolume]:
        """Every subvolume, fresh from the kernel, the top level first."""
        return self._roots.subvolumes()

    def nested(self, source: Subvolume) -> Sequence[Subvolume]:
        """Subvolumes inside ``source``, which a snapshot of it will not hold.

        The snapshot directory's are left out: nobody misses them in a snapshot of the top level.
        """
        prefix = f"{source.path}/" if source.path else ""
        own = f"{self._snapshot_directory}/"
        return [
            each
            for each in self.subvolumes()
            if each.path.startswith(prefix) and each.path and not each.path.startswith(own)
        ]

    def snapshot_directory(self) -> SnapshotDirectory:
        """The directory where this program keeps its snapshots, which may not exist yet."""
        name = self._snapshot_directory
        try:
            facts = os.stat(name, dir_fd=self._mount.fd, follow_symlinks=False)
        except FileNotFoundError:
            return SnapshotDirectory(name, exists=False, private=False)
        private = stat.S_ISDIR(facts.st_mode) and _private(facts)
        return SnapshotDirectory(name, exists=True, private=private)

    def in_snapshot_directory(self, subvolume: Subvolume) -> bool:
        """Whether the subvolume lies in the directory where this program keeps its snapshots."""
        return subvolume.path.rpartition("/")[0] == self._snapshot_directory

    def receive_candidates(self, parent_uuid: UUID) -> Sequence[Subvolume]:
        """Subvolumes ``btrfs receive`` could take as the parent; it will take the first.

        It asks the uuid tree for the received uuid and takes the first id listed there; only
        without one it asks for the uuid itself (btrfs-progs 6.2, cmds/receive.c,
        process_snapshot). It checks neither transids nor the ro flag.
        """
        received = [self._roots.by_id(each) for each in self._roots.by_received_uuid(parent_uuid)]
        own = [self._roots.by_id(each) for each in self._roots.by_uuid(parent_uuid)]
        if received and received[0] is None:  # a stale entry: receive gives up on this list
            received = []
        return [each for each in received + own if each is not None]

    def snapshot(self, source: Subvolume, name: str) -> Subvolume:
        """A new read-only snapshot of ``source`` in the snapshot directory, synced to disk.

        ``SourceError`` when the name exists, the filesystem is read-only or a swapfile is active
        (ETXTBSY); ``LocalSpaceError``. Nothing but the snapshot directory is left then. The kernel
        writes the source's dirty data and commits before it returns (fs/btrfs/ioctl.c,
        create_snapshot), so no sync follows.
        """
        directory_fd = self._open_snapshot_directory()
        try:
            return self._snapshot(source, directory_fd, name, readonly=True)
        finally:
            os.close(directory_fd)

    def writable_snapshot(self, snapshot: Subvolume, directory: Path, name: str) -> Subvolume:
        """A writable snapshot, made in a directory the user sees; it carries no received_uuid."""
        directory_fd = self._open_inside(self.relative_path(directory))
        try:
            return self._snapshot(snapshot, directory_fd, name, readonly=False)
        finally:
            os.close(directory_fd)

    def _snapshot(
        self, source: Subvolume, directory_fd: int, name: str, *, readonly: bool
    ) -> Subvolume:
        _require_entry_name(name)
        source_fd = self._open_subvolume(source)
        try:
            ioctl.create_snapshot(directory_fd, name, source_fd, readonly=readonly)
        except OSError as error:
            raise refusals.of_snapshot(error, source, name) from error
        finally:
            os.close(source_fd)
        made = self._entry(directory_fd, name)
        if made is None:
            raise SourceError(f"the new snapshot {name!r} vanished at once", name=name)
        return made

    def delete(self, subvolume: Subvolume) -> None:
        """Delete a subvolume, checked by uuid just before; absent is no error.

        ``SourceError`` when it cannot be: nested subvolumes inside (ENOTEMPTY), a send in
        progress or the default subvolume (EPERM), a read-only filesystem.
        """
        if subvolume.id == TOP_LEVEL_ID:
            raise SourceError("the top level cannot be deleted")
        found = self._roots.by_id(subvolume.id)
        if found is None or found.uuid != subvolume.uuid:  # ids can be given out again
            return
        try:
            ioctl.destroy_subvolume(self._mount.fd, subvolume.id)
        except FileNotFoundError:
            return
        except OSError as error:
            raise refusals.of_delete(error, found) from error

    def send(
        self, snapshot: Subvolume, parent: Subvolume | None, options: SendOptions
    ) -> BtrfsSend:
        """Start ``btrfs send``; the caller uses it as a context manager."""
        command = [find_program(self._program, "btrfs-progs"), "send", *send_arguments(options)]
        if parent is not None:
            command += ["-p", self._command_path(parent)]
        command.append(self._command_path(snapshot))
        return BtrfsSend(self._mount.entering(command), snapshot.path)

    def receive(self, directory: Path) -> BtrfsReceive:
        """Start ``btrfs receive`` into a directory the user sees, confined to it (``-C``).

        The chroot does not hide the parent: receive opens the mount's root before it enters, and
        finds the parent relative to that. This needs the top level mounted, as it is here.
        """
        inside = f"{self._mount.path}/{self.relative_path(directory)}".rstrip("/")
        command = [find_program(self._program, "btrfs-progs"), "receive", "--chroot", inside]
        return BtrfsReceive(self._mount.entering(command), str(directory))

    def relative_path(self, directory: Path) -> str:
        """A directory the user sees as a path below the top level (empty for the top level)."""
        with self._place(directory) as place:
            parts = (self._known(place.tree_id).path, place.inner_path())
            path = "/".join(part for part in parts if part)
            fd = self._open_inside(path)
            try:
                if (ioctl.tree_of(fd), os.fstat(fd).st_ino) != (place.tree_id, place.inode):
                    raise SourceError(f"{directory} was moved while it was looked up")
            finally:
                os.close(fd)
            return path

    def require_writable(self, directory: Path) -> None:
        """``SourceError`` where the user sees a directory on a read-only mount.

        What is written there goes through the private mount, which would not notice.
        """
        with self._place(directory) as place:
            if place.mount.readonly or place.mount.filesystem_readonly:
                raise refusals.of_readonly(place)

    def entry_exists(self, directory: Path, name: str) -> bool:
        """Whether a directory (a path the user sees) already has an entry of this name."""
        _require_entry_name(name)
        directory_fd = self._open_inside(self.relative_path(directory))
        try:
            os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        finally:
            os.close(directory_fd)
        return True

    def received_in(self, directory: Path, name: str) -> Subvolume | None:
        """The subvolume of that name in a directory, as the kernel sees it now, or None."""
        _require_entry_name(name)
        directory_fd = self._open_inside(self.relative_path(directory))
        try:
            return self._entry(directory_fd, name)
        finally:
            os.close(directory_fd)

    def contents(self, subvolume: Subvolume) -> Path:
        """Where this process can read a subvolume's files: below the open mount (proc(5))."""
        return Path(f"/proc/self/fd/{self._mount.fd}", self._current(subvolume).path)

    def sync(self) -> None:
        """``syncfs``: everything written so far is on disk when it returns."""
        try:
            ioctl.syncfs(self._mount.fd)
        except OSError as error:
            raise refusals.of_sync(error) from error

    def free_bytes(self) -> int:
        """Unallocated and free space an unprivileged writer could use (statfs(2), f_bavail)."""
        facts = os.fstatvfs(self._mount.fd)
        return facts.f_bavail * facts.f_frsize

    def close(self) -> None:
        """End the private mount; idempotent."""
        self._mount.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _place(self, path: Path) -> Place:
        """A user's directory; ``SourceError`` when it is not on this filesystem."""
        place = Place.open(path)
        if place.fsid != self._fsid:
            place.__exit__(None, None, None)
            raise SourceError(f"{path} lies on another Btrfs filesystem ({place.fsid})", path=path)
        return place

    def _known(self, subvolume_id: int) -> Subvolume:
        found = self._roots.by_id(subvolume_id)
        if found is None:
            raise SourceError("the subvolume is being deleted", id=subvolume_id)
        return found

    def _current(self, subvolume: Subvolume) -> Subvolume:
        """The same subvolume where it lies now."""
        found = self._roots.by_id(subvolume.id)
        if found is None or found.uuid != subvolume.uuid:
            raise SourceError(
                f"the subvolume {subvolume.path!r} does not exist any more", uuid=subvolume.uuid
            )
        return found

    def _command_path(self, subvolume: Subvolume) -> str:
        return f"{self._mount.path}/{self._current(subvolume).path}".rstrip("/")

    def _open_inside(self, path: str) -> int:
        """Open a directory given by its path below the top level."""
        try:
            return os.open(path or ".", _OPEN_DIRECTORY, dir_fd=self._mount.fd)
        except OSError as error:
            raise SourceError(f"{path!r} cannot be opened: {error.strerror}") from error

    def _open_subvolume(self, subvolume: Subvolume) -> int:
        fd = self._open_inside(self._current(subvolume).path)
        if ioctl.tree_of(fd) != subvolume.id:
            os.close(fd)
            raise SourceError(f"the subvolume {subvolume.path!r} was moved just now")
        return fd

    def _open_snapshot_directory(self) -> int:
        """Open the snapshot directory, made on first use; only root may write to it."""
        name = self._snapshot_directory
        try:
            os.mkdir(name, 0o700, dir_fd=self._mount.fd)
        except FileExistsError:
            pass
        except OSError as error:
            raise refusals.of_snapshot(error, None, name) from error
        fd = self._open_inside(name)
        if not _private(os.fstat(fd)):
            os.close(fd)
            raise SourceError(
                f"others than root can write to the snapshot directory {name!r}",
                hint=f"chown root and chmod 0700 {name} at the filesystem's top level",
            )
        return fd

    def _entry(self, directory_fd: int, name: str) -> Subvolume | None:
        """The subvolume a directory entry is, None when it is none."""
        try:
            fd = os.open(name, _OPEN_DIRECTORY, dir_fd=directory_fd)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:  # a symbolic link
                return None
            raise
        try:
            if os.fstat(fd).st_ino != ioctl.SUBVOLUME_ROOT_INODE:
                return None
            return self._roots.by_id(ioctl.tree_of(fd))
        finally:
            os.close(fd)


def _root_seen_above(place: Place) -> Path | None:
    """The nearest parent of a directory that is the root of the subvolume it lies in."""
    for parent in Path(os.path.realpath(place.path)).parents:
        try:
            above = Place.open(parent)
        except SourceError:
            return None
        with above:
            if (above.fsid, above.tree_id) != (place.fsid, place.tree_id):
                return None
            if above.is_subvolume_root:
                return parent
    return None


def _private(facts: os.stat_result) -> bool:
    """Whether only this program's user can write to a directory."""
    return facts.st_uid == os.geteuid() and not facts.st_mode & 0o022


def _require_entry_name(name: str) -> None:
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise SourceError(f"{name!r} is not a name a directory entry can have")
