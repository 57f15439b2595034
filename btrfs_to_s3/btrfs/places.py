"""Directories as the user names them, and where they lie in their filesystem.

A path may lead through a ``subvol=`` mount, a bind mount or a subvolume in a subvolume. What counts
is the subvolume id and the inode of the directory it ends at, so the mapping asks the kernel about
an open directory and never compares paths.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.btrfs import ioctl
from btrfs_to_s3.btrfs.mountinfo import MountEntry, mount_of
from btrfs_to_s3.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class Place:
    """An open directory on Btrfs. A context manager: leaving it closes the descriptor."""

    path: Path
    fd: int
    mount: MountEntry
    fsid: UUID
    tree_id: int
    inode: int

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a directory; ``SourceError`` when it is missing, none, or not on Btrfs.

        The context of a missing one says ``absent``.
        """
        fd = _open_directory(path)
        try:
            mount = _btrfs_mount(path, fd)
            fsid, tree_id = ioctl.filesystem_uuid(fd), ioctl.tree_of(fd)
            return cls(path, fd, mount, fsid, tree_id, os.fstat(fd).st_ino)
        except BaseException:
            os.close(fd)
            raise

    @property
    def is_subvolume_root(self) -> bool:
        """Whether the directory is the root of the subvolume it lies in."""
        return self.inode == ioctl.SUBVOLUME_ROOT_INODE

    def inner_path(self) -> str:
        """The path below the subvolume's root, ``""`` for the root itself."""
        return ioctl.path_in_tree(self.fd, self.tree_id, self.inode)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self.fd)


def _open_directory(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError as error:
        raise SourceError(
            f"{path} does not exist",
            hint="is it spelled right, and its filesystem mounted?",
            path=path,
            absent=True,
        ) from error
    except NotADirectoryError as error:
        raise SourceError(
            f"{path} is not a directory, so not a subvolume either",
            hint="name the directory at which the subvolume is seen",
            path=path,
        ) from error
    except OSError as error:
        raise SourceError(f"{path} cannot be opened: {error.strerror}", path=path) from error


def _btrfs_mount(path: Path, fd: int) -> MountEntry:
    mount = mount_of(fd)
    if mount.filesystem != "btrfs":
        raise SourceError(
            f"{path} is not on a Btrfs filesystem but on {mount.filesystem}",
            hint="give a directory on a mounted Btrfs; 'findmnt -t btrfs' lists them",
            path=path,
        )
    return mount
