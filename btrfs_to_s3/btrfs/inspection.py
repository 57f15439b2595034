"""Looking at a directory and its filesystem without any privilege."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.btrfs.places import Place
from btrfs_to_s3.model.place import SourcePlace

if TYPE_CHECKING:
    from collections.abc import Iterator

_SWAPS: Final = Path("/proc/swaps")
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


def look(path: Path, swaps: Path = _SWAPS) -> SourcePlace:
    """A directory on Btrfs; ``SourceError`` when it is missing, none, or not on Btrfs."""
    with Place.open(path) as place:
        facts, device = os.fstatvfs(place.fd), os.fstat(place.fd).st_dev
        return SourcePlace(
            path=path,
            mount_point=place.mount.mount_point,
            readonly=place.mount.filesystem_readonly,
            subvolume_root=place.is_subvolume_root,
            free_bytes=facts.f_bavail * facts.f_frsize,
            size_bytes=facts.f_blocks * facts.f_frsize,
            swapfiles=tuple(_swapfiles_on(device, swaps)),
        )


def _swapfiles_on(device: int, swaps: Path) -> Iterator[str]:
    """Active swapfiles of a subvolume: each has a device number of its own (stat(2), Btrfs)."""
    with contextlib.suppress(OSError):
        for line in swaps.read_text(errors="surrogateescape").splitlines()[1:]:
            name, kind = line.split()[:2]
            if kind != "file":
                continue
            path = _OCTAL.sub(lambda match: chr(int(match[1], 8)), name)
            with contextlib.suppress(OSError):
                if Path(path).stat().st_dev == device:
                    yield path
