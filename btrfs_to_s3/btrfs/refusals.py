"""What the kernel's refusals mean, as errors of ours. Each takes the ``OSError`` it explains."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.errors import LocalSpaceError, SourceError

if TYPE_CHECKING:
    from btrfs_to_s3.btrfs.places import Place
    from btrfs_to_s3.model.subvolume import Subvolume

_NO_SPACE: Final = (errno.ENOSPC, errno.EDQUOT)
_DELETE_HINTS: Final = {
    errno.ENOTEMPTY: "it holds other subvolumes: delete those first",
    errno.EPERM: "a send of it may be running, or it is the default subvolume",
    errno.EROFS: "remount the filesystem read-write",
}


def of_readonly(place: Place) -> SourceError:
    """A directory cannot be written because of how it, or its whole filesystem, is mounted."""
    return SourceError(
        f"{place.path} is mounted read-only (at {place.mount.mount_point})",
        hint=f"mount -o remount,rw {place.mount.mount_point}; "
        "in a systemd unit, see ReadWritePaths=",
        path=place.path,
    )


def of_delete(error: OSError, subvolume: Subvolume) -> SourceError:
    """A subvolume could not be deleted."""
    return SourceError(
        f"the subvolume {subvolume.path!r} cannot be deleted: {error.strerror}",
        hint=_DELETE_HINTS.get(error.errno or 0),
        subvolume=subvolume.path,
    )


def of_sync(error: OSError) -> SourceError:
    """The filesystem could not be synced; what was written last may be lost."""
    kind = LocalSpaceError if error.errno in _NO_SPACE else SourceError
    return kind(
        f"the filesystem cannot be synced: {error.strerror}", hint="see dmesg for the cause"
    )


def of_snapshot(error: OSError, source: Subvolume | None, name: str) -> SourceError:
    """A snapshot ``name`` of ``source`` (or its directory, when None) could not be made."""
    what = "the top level" if source is None or not source.path else repr(source.path)
    match error.errno:
        case errno.ETXTBSY:
            return SourceError(
                f"{what} holds an active swapfile, so no snapshot can be made",
                hint="swapoff the file, or move it to a subvolume of its own",
            )
        case errno.EEXIST:
            return SourceError(f"{name!r} exists already in the directory for the snapshot")
        case errno.EROFS:
            return SourceError(
                "the filesystem is read-only, so no snapshot can be made",
                hint="mount -o remount,rw (after a look at dmesg: errors make Btrfs read-only)",
            )
        case errno.ENOSPC | errno.EDQUOT:
            return LocalSpaceError(
                f"no space left for a snapshot of {what}: {error.strerror}",
                hint="free space or raise the quota; btrfs filesystem usage shows both",
            )
        case _:
            return SourceError(f"a snapshot of {what} cannot be made: {error.strerror}")
