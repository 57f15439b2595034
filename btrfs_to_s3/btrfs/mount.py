"""A private view of a whole filesystem: its top level, mounted where nobody else can see it.

The mount lives in a mount namespace of its own, held by one small process::

    unshare --mount --propagation private  sh -c "mount a tmpfs, mount subvolid=5 in it, exec cat"

It is therefore in nobody's mount table, never propagates, and ends with that process: ``cat``
ends when its stdin does, that is on ``close`` or when this program dies, even by SIGKILL. Nothing
has to be swept up and nothing can be busy. This program reaches the mount through
``/proc/<holder>/root`` (proc(5)), commands through ``nsenter --mount``.

A new namespace is a copy (mount_namespaces(7)) and would keep every other mounted filesystem in
use: a disk unmounted meanwhile would not be released. So the copy is stripped first of all mounts
that btrfs-progs does not need. The mount point lies in a fresh tmpfs under a random name because
btrfs-progs finds a mount by the longest matching path in /proc/self/mounts.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from btrfs_to_s3.btrfs import ioctl
from btrfs_to_s3.btrfs.mountinfo import MountEntry, dispensable, mounts
from btrfs_to_s3.btrfs.process import environment, find_program, search
from btrfs_to_s3.errors import SourceError

if TYPE_CHECKING:
    from typing import Self
    from uuid import UUID

_CAP_SYS_ADMIN: Final = 21
_ANCHORS: Final = ("/mnt", "/media", "/srv", "/tmp")  # noqa: S108 - only covered by a tmpfs
_HOLD: Final = """
echo entered && read -r _ &&
mount -n -t tmpfs -o size=64k,mode=0700 btrfs-to-s3 "$1" &&
mkdir "$1/$2" &&
mount -n -t btrfs -o "$3" -- "$4" "$1/$2" &&
echo mounted && exec cat >/dev/null
"""
_NEEDED: Final = (
    *("/proc", "/sys", "/dev", "/etc", "/nix/store", "/gnu/store"),
    *(f"{base}/{name}" for base in ("", "/usr", "/usr/local") for name in ("bin", "sbin")),
    *(f"{base}/{name}" for base in ("", "/usr", "/usr/local") for name in ("lib", "lib64")),
)
"""Where btrfs, nsenter and the libraries of both are found; links are followed."""
_STOP_TIMEOUT_S: Final = 5.0
_STRIP_TIMEOUT_S: Final = 10.0


def has_privilege() -> bool:
    """Whether CAP_SYS_ADMIN is effective."""
    status = Path("/proc/self/status").read_text()
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return match is not None and bool(int(match[1], 16) >> _CAP_SYS_ADMIN & 1)


def require_privilege() -> None:
    """``SourceError`` unless CAP_SYS_ADMIN is effective: mount, tree search and send need it."""
    if not has_privilege():
        raise SourceError(
            "reading and receiving Btrfs snapshots needs root (CAP_SYS_ADMIN)",
            hint="run it as: sudo -E btrfs-to-s3 …",
        )


def _device_of(entry: MountEntry, fsid: UUID) -> str:
    """A block device of the filesystem: the mount's own, or one that sysfs names."""
    names = [entry.device]
    with contextlib.suppress(OSError):
        listed = Path(f"/sys/fs/btrfs/{fsid}/devices").iterdir()
        names += [f"/dev/{device.name.replace('!', '/')}" for device in listed]
    for name in names:
        with contextlib.suppress(OSError):
            if stat.S_ISBLK(os.stat(name).st_mode):  # noqa: PTH116 - a name, not a path to walk
                return name
    raise SourceError(
        f"no block device of the filesystem at {entry.mount_point} is visible",
        hint="its devices must exist in /dev (is this a container?)",
        tried=names,
    )


class PrivateMount:
    """The top level (subvolid=5) of one filesystem, mounted out of everybody's sight.

    ``fd`` is its root directory; ``path`` is where commands started with ``entering`` find it.
    ``close`` ends the mount as soon as the last such command has ended; it is idempotent.
    """

    def __init__(self, holder: subprocess.Popen[bytes], path: str, fd: int) -> None:
        self._holder = holder
        self.path = path
        self.fd = fd

    @classmethod
    def of(cls, entry: MountEntry, fsid: UUID, *, writable: bool, program: str) -> Self:
        """Mount the filesystem's top level; ``SourceError`` with mount's complaint if it fails.

        ``program`` is what will be started with ``entering``, a name or a path.
        """
        find_program("mount", "mount")
        unshare = find_program("unshare", "util-linux")
        anchor = next(os.path.realpath(path) for path in _ANCHORS if Path(path).is_dir())
        name = f"btrfs-to-s3-{uuid4().hex}"
        options = f"subvolid=5,nosuid,nodev,noexec,noatime,{'rw' if writable else 'ro'}"
        device = _device_of(entry, fsid)
        holder = subprocess.Popen(
            [
                *(unshare, "--mount", "--propagation", "private", "--"),
                *("sh", "-c", _HOLD, "btrfs-to-s3-mount", anchor, name, options, device),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env=environment(),
            start_new_session=True,
        )
        try:
            needed = [*_NEEDED, device, str(Path(anchor).parent), *search(program)]
            _strip(holder, needed)
            fd = _enter(holder, f"{anchor}/{name}", device)
            mount = cls(holder, f"{anchor}/{name}", fd)
        except BaseException:
            _stop(holder)
            raise
        try:
            mount._require(fsid, device)
        except BaseException:
            mount.close()
            raise
        return mount

    def _require(self, fsid: UUID, device: str) -> None:
        """``SourceError`` when another filesystem was mounted than was asked for."""
        found = ioctl.filesystem_uuid(self.fd)
        if found != fsid:
            raise SourceError(
                f"{device} holds another filesystem ({found}) than the one mounted from it"
            )

    def entering(self, command: list[str]) -> list[str]:
        """A command that runs ``command`` where the mount is seen."""
        return _entering(self._holder, command)

    def close(self) -> None:
        """End the mount."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            try:
                os.close(fd)
            finally:
                _stop(self._holder)


def _entering(holder: subprocess.Popen[bytes], command: list[str]) -> list[str]:
    nsenter = find_program("nsenter", "util-linux")
    return [nsenter, f"--mount=/proc/{holder.pid}/ns/mnt", "--", *command]


def _strip(holder: subprocess.Popen[bytes], needed: list[str]) -> None:
    """Drop the mounts of the holder's namespace that nobody needs, then let it go on.

    What cannot be dropped stays in use for as long as the volume is open, which is no error.
    """
    _expect(holder, "no mount namespace can be made")
    points = [entry.mount_point for _, entry in mounts(str(holder.pid))]
    if dropped := dispensable(points, needed):
        # No helper, no look at the mount points: one may be an NFS mount without its server.
        options = ("--no-mtab", "--lazy", "--internal-only", "--no-canonicalize", "--")
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                _entering(holder, ["umount", *options, *dropped]),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=environment(),
                timeout=_STRIP_TIMEOUT_S,
                check=False,
            )
    if holder.stdin is not None:
        holder.stdin.write(b"go on\n")


def _enter(holder: subprocess.Popen[bytes], path: str, device: str) -> int:
    """Wait until the holder has mounted, and open the mount's root."""
    _expect(holder, f"the top level of {device} cannot be mounted")
    return os.open(f"/proc/{holder.pid}/root{path}", os.O_RDONLY | os.O_DIRECTORY)


def _expect(holder: subprocess.Popen[bytes], failure: str) -> None:
    """Wait for the holder's next line; ``SourceError`` with its complaint if it ends instead."""
    if holder.stdout is None or holder.stderr is None:  # pragma: no cover - pipes were asked for
        raise AssertionError
    if not holder.stdout.readline():
        said = holder.stderr.read().decode(errors="replace").strip()
        raise SourceError(
            f"{failure}: {said or 'no message'}",
            hint="containers need CAP_SYS_ADMIN and the block device; "
            "a systemd unit must allow RestrictNamespaces=mnt and @mount",
        )


def _stop(holder: subprocess.Popen[bytes]) -> None:
    """Let the holder end, by force if it must be, and reap it."""
    for stream in (holder.stdin, holder.stdout, holder.stderr):
        if stream is not None:
            stream.close()
    try:
        holder.wait(_STOP_TIMEOUT_S)
    except BaseException as error:
        holder.kill()
        holder.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
