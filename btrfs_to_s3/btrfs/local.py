"""This machine's Btrfs: what the ``Btrfs`` Protocol promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.btrfs import inspection, refusals
from btrfs_to_s3.btrfs.mount import PrivateMount, has_privilege, require_privilege
from btrfs_to_s3.btrfs.places import Place
from btrfs_to_s3.btrfs.versions import (
    choose_send_options,
    kernel_release,
    kernel_stream_version,
    progs_version,
)
from btrfs_to_s3.btrfs.volume import BtrfsVolume
from btrfs_to_s3.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from btrfs_to_s3.model.place import SourcePlace
    from btrfs_to_s3.model.subvolume import SendOptions


class LocalBtrfs:
    """Implements ``Btrfs`` and ``BtrfsInspection``.

    ``snapshot_directory`` is the name of the directory at a filesystem's top level that takes this
    program's snapshots; only ``snapshot`` makes it. ``program`` is btrfs-progs' command, a name on
    the search path or a path.
    """

    def __init__(self, snapshot_directory: str = ".btrfs-to-s3", *, program: str = "btrfs") -> None:
        if snapshot_directory in {"", ".", ".."} or "/" in snapshot_directory:
            raise ConfigError(
                f"{snapshot_directory!r} cannot be the snapshot directory",
                hint="one name, such as .btrfs-to-s3: it lies at the filesystem's top level",
            )
        self._snapshot_directory = snapshot_directory
        self._program = program

    def open(self, path: Path, *, writable: bool) -> BtrfsVolume:
        """The filesystem that holds ``path``, a directory.

        ``SourceError`` when it is missing or not on Btrfs, when ``writable`` is asked for and the
        filesystem is read-only, or when the privilege is missing. Nothing stays mounted then. A
        read-only filesystem is never made writable; a read-only mount of a writable one is no
        obstacle (everything is mounted so in a systemd unit with ProtectSystem=strict).
        """
        with Place.open(path) as place:
            require_privilege()
            if writable and place.mount.filesystem_readonly:
                raise refusals.of_readonly(place)
            mount = PrivateMount.of(
                place.mount, place.fsid, writable=writable, program=self._program
            )
            return BtrfsVolume(mount, place.fsid, self._snapshot_directory, self._program)

    def best_send_options(self, protocol: str) -> SendOptions:
        """Options for ``auto``, ``1`` or ``2``, by what kernel and progs both support.

        ``UsageError`` when protocol 2 is demanded and one of them cannot; ``SourceError`` when
        btrfs-progs is missing.
        """
        kernel, progs = self.versions()
        return choose_send_options(
            protocol, stream_version=kernel_stream_version(), kernel=kernel, progs=progs
        )

    def versions(self) -> tuple[str, str]:
        """Kernel release and btrfs-progs version."""
        return kernel_release(), progs_version(self._program)

    def kernel(self) -> str:
        """The kernel's release."""
        return kernel_release()

    def progs(self) -> str:
        """The version of btrfs-progs; ``SourceError`` when they are missing."""
        return progs_version(self._program)

    def privileged(self) -> bool:
        """Whether this process may snapshot, send and receive."""
        return has_privilege()

    def look(self, path: Path) -> SourcePlace:
        """What anybody may see of a directory on Btrfs."""
        return inspection.look(path)
