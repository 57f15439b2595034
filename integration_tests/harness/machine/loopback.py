"""A Btrfs filesystem in a sparse file: made, mounted, copied as a power loss leaves it, removed.

Everything is recorded in the state file before it is made (see `state`), so what a crash leaves is
found by the next `sweep`. Needs root, loop devices, btrfs-progs and util-linux.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Self

from integration_tests.harness.machine import devices
from integration_tests.harness.machine.state import Kind, Resource, StateFile
from integration_tests.harness.services.paths import run_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

DEFAULT_SIZE_BYTES = 512 * 1024**2
# mkfs.btrfs 6.2 refuses less than 109 MiB with its default profiles (DUP metadata).
MINIMUM_SIZE_BYTES = 128 * 1024**2

_REQUIRED_TOOLS = ("btrfs", "mkfs.btrfs", "btrfstune", "losetup", "mount", "nsenter", "umount")
# The first superblock; field offsets as in btrfs_super_block, `linux/btrfs_tree.h`.
_SUPERBLOCK_AT = 64 * 1024
_SUPERBLOCK_BYTES = 4096
_FSID = slice(0x20, 0x30)
_LOG_ROOT = slice(0x60, 0x68)
_COPY_ATTEMPTS = 10
_COPY_BLOCK_BYTES = 8 * 1024**2


class LoopbackError(RuntimeError):
    """A loopback filesystem cannot do what was asked of it."""


def why_unavailable() -> str | None:
    """Return why no loopback Btrfs can be made here, or None when it can."""
    if os.geteuid() != 0:
        return "loopback Btrfs needs root"
    missing = [tool for tool in _REQUIRED_TOOLS if shutil.which(tool) is None]
    if missing:
        return f"loopback Btrfs needs {', '.join(missing)} (Debian: btrfs-progs, mount, util-linux)"
    if not Path("/dev/loop-control").exists():
        return "loopback Btrfs needs /dev/loop-control"
    return None


class LoopbackBtrfs:
    """A Btrfs filesystem of its own image, loop device and mount point.

    A context manager; or call `create` and `destroy`. Both may be repeated. `destroy` removes the
    mounts (all that come from this image, wherever they are), the loop device, the image and the
    two directories made here, whatever state a failed or interrupted `create` left.

    `parent` is where a new directory for image and mount point is made (default
    run directory); `options` are mount options such as `compress=zstd`;
    `size_bytes` is the apparent size of the sparse image, at least MINIMUM_SIZE_BYTES.
    """

    def __init__(
        self,
        parent: Path | None = None,
        *,
        size_bytes: int = DEFAULT_SIZE_BYTES,
        options: Sequence[str] = (),
        state: StateFile | None = None,
    ) -> None:
        if size_bytes < MINIMUM_SIZE_BYTES:
            raise ValueError(f"{size_bytes} bytes: mkfs.btrfs needs {MINIMUM_SIZE_BYTES}")
        self.directory = (parent or run_directory()).absolute() / f"btrfs-{secrets.token_hex(6)}"
        self.image = self.directory / "image"
        self.mount_point = self.directory / "mnt"
        self.size_bytes = size_bytes
        self.options = tuple(options)
        self._state = state or StateFile()
        self._records: tuple[Resource, ...] = ()

    def __enter__(self) -> Self:
        self.create()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.destroy()
        except (OSError, devices.DeviceError) as failure:
            if error is None:
                raise
            # The body's own exception is the cause worth seeing.
            error.add_note(f"while removing {self.directory}: {failure}")

    @property
    def device(self) -> Path:
        """The attached loop device; LoopbackError before `create` and after `destroy`."""
        attached = devices.loops_backed_by(self.image)
        if not attached:
            raise LoopbackError(f"{self.image} is not attached to a loop device")
        return attached[0]

    @property
    def is_mounted(self) -> bool:
        """Whether something is mounted at the mount point."""
        return any(mount.point == self.mount_point for mount in devices.mounts())

    @property
    def fsid(self) -> uuid.UUID:
        """The filesystem's UUID, read from the image."""
        return uuid.UUID(bytes=self._superblock()[_FSID])

    def create(self) -> None:
        """Make the image with its filesystem unless it is there, attach it and mount it.

        On any failure everything is removed again, and the failure is raised.
        """
        try:
            self._prepare()
            if not self.image.exists():
                with self.image.open("wb") as image:
                    image.truncate(self.size_bytes)
                devices.run("mkfs.btrfs", "--quiet", self.image)
            if not devices.loops_backed_by(self.image):
                devices.attach(self.image)
            if not self.is_mounted:
                self.mount()
        except BaseException as error:
            try:
                self.destroy()
            except (OSError, devices.DeviceError) as failure:
                error.add_note(f"while removing {self.directory}: {failure}")
            raise

    def destroy(self) -> None:
        """Remove everything this object made; nothing to remove is no error.

        Every step is tried; a failure (DeviceError or OSError) is raised at the end, and what is
        still there then stays recorded for a sweep. Ctrl-C takes effect afterwards.
        """
        with _uninterrupted(), contextlib.ExitStack() as steps:
            # Run in reverse order; an ExitStack goes on past a failing step and raises at the end.
            steps.callback(self._forget)
            steps.callback(_remove_directory, self.directory)
            steps.callback(_remove_directory, self.mount_point)
            steps.callback(self.image.unlink, missing_ok=True)
            steps.callback(devices.detach_all, self.image)
            steps.callback(devices.unmount_image, self.image)

    def mount(self, options: Sequence[str] | None = None) -> None:
        """Mount the filesystem; `options` replace those given at construction.

        Refused with LoopbackError while a filesystem with the same fsid is mounted: only kernels
        since 6.7 can mount such a copy, under a temporary fsid.
        """
        if options is not None:
            self.options = tuple(options)
        if Path(f"/sys/fs/btrfs/{self.fsid}").exists():
            raise LoopbackError(
                f"fsid {self.fsid} is mounted already: unmount the original of this copy first, "
                "or copy with new_fsid"
            )
        joined = ",".join(self.options) or "defaults"
        devices.run("mount", "-t", "btrfs", "-o", joined, self.device, self.mount_point)

    def unmount(self) -> None:
        """Unmount the filesystem everywhere; image and loop device stay, `mount` brings it back."""
        devices.unmount_image(self.image)

    def remount(self, *options: str) -> None:
        """Change options of the mounted filesystem, for example `ro` or `compress=lzo`."""
        devices.run("mount", "-o", ",".join(("remount", *options)), self.mount_point)

    def sync(self) -> None:
        """Commit the running transaction."""
        devices.run("btrfs", "filesystem", "sync", self.mount_point)

    def copy_image(self, target: Path) -> None:
        """Copy the image, sparse, as a power loss at one instant would leave it; mounted or not.

        Btrfs never overwrites what its superblock refers to, so a copy is consistent if the
        superblock did not change meanwhile; otherwise it is taken again. (Files with NO_COW are
        outside this promise, as they are in a real power loss.) LoopbackError if the filesystem
        commits too often to be copied. The target is removed on failure.
        """
        try:
            for _ in range(_COPY_ATTEMPTS):
                before = self._superblock()
                _copy_sparse(self.image, target)
                if self._superblock() == before:
                    return
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        target.unlink()
        raise LoopbackError(f"{self.image} committed during each of {_COPY_ATTEMPTS} copies")

    def copy(
        self,
        parent: Path | None = None,
        *,
        new_fsid: bool = False,
        options: Sequence[str] | None = None,
    ) -> LoopbackBtrfs:
        """Return a filesystem of its own on a copy of the image, taken now, not yet mounted.

        Mount it by entering it or by `create`; `destroy` removes it either way. The copy has the
        same fsid, so the original must be unmounted first, unless `new_fsid` gives the copy
        another one (`btrfstune -m`, which keeps subvolume UUIDs). That is refused with
        LoopbackError if the copy needs a log replay: btrfstune would make the log unreadable,
        and the replay is what a power-loss test wants to see.
        """
        twin = LoopbackBtrfs(
            parent or self.directory.parent,
            size_bytes=self.size_bytes,
            options=self.options if options is None else options,
            state=self._state,
        )
        try:
            twin._prepare()
            self.copy_image(twin.image)
            if new_fsid:
                twin._change_fsid()
        except BaseException:
            twin.destroy()
            raise
        return twin

    def subvolume(self, name: str) -> Path:
        """Create a subvolume below the mount point and return its path."""
        path = self.mount_point / name
        devices.run("btrfs", "subvolume", "create", path)
        return path

    def snapshot(self, source: Path, name: str, *, writable: bool = False) -> Path:
        """Snapshot a subvolume, read-only unless told otherwise, and return the snapshot's path."""
        path = self.mount_point / name
        flags = [] if writable else ["-r"]
        devices.run("btrfs", "subvolume", "snapshot", *flags, source, path)
        return path

    def delete_subvolume(self, path: Path) -> None:
        """Delete a subvolume or a snapshot."""
        devices.run("btrfs", "subvolume", "delete", path)

    def _prepare(self) -> None:
        """Record all that will be made, then make the directories."""
        if not self._records:
            self._records = self._state.add(
                (Kind.DIRECTORY, self.directory, ""),
                (Kind.DIRECTORY, self.mount_point, ""),
                (Kind.FILE, self.image, ""),
                (Kind.LOOP, self.image, ""),
                (Kind.MOUNT, self.mount_point, self.image),
            )
        self.mount_point.mkdir(parents=True, exist_ok=True)

    def _forget(self) -> None:
        if not self.directory.exists() and not devices.loops_backed_by(self.image):
            self._state.discard(*self._records)
            self._records = ()

    def _change_fsid(self) -> None:
        if any(self._superblock()[_LOG_ROOT]):
            raise LoopbackError(
                f"{self.image} has a log to replay: unmount the original and mount the copy as it "
                "is, or sync before copying"
            )
        devices.run("btrfstune", "-f", "-m", self.image)

    def _superblock(self) -> bytes:
        with self.image.open("rb") as image:
            return os.pread(image.fileno(), _SUPERBLOCK_BYTES, _SUPERBLOCK_AT)


def _remove_directory(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.rmdir()


def _copy_sparse(source: Path, target: Path) -> None:
    """Copy a file's data in ascending order, leaving its holes."""
    with source.open("rb") as read, target.open("wb") as written:
        size = os.fstat(read.fileno()).st_size
        written.truncate(size)
        position = 0
        while position < size:
            try:
                position = os.lseek(read.fileno(), position, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole follows
                return
            end = os.lseek(read.fileno(), position, os.SEEK_HOLE)
            while position < end:
                block = os.pread(read.fileno(), min(_COPY_BLOCK_BYTES, end - position), position)
                position += os.pwrite(written.fileno(), block, position)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold SIGINT back until the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
