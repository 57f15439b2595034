"""How fast the last restore downloaded, remembered on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.format.jsonio import Fields, encode_line

if TYPE_CHECKING:
    from datetime import timedelta

    from btrfs_to_s3.ports import LocalState

_PLACE: Final = ("rate", "download")
_TELLING_BYTES: Final = 8 * 1024**2
"""Less than this tells more of the beginning than of the rate."""


def remember_rate(state: LocalState, size_bytes: int, duration: timedelta) -> None:
    """Keep the rate of a download, if it was long enough to tell one."""
    seconds = duration.total_seconds()
    if size_bytes >= _TELLING_BYTES and seconds > 0:
        line = encode_line({"bytes_per_s": max(1, round(size_bytes / seconds))})
        state.remember(*_PLACE, line)


def remembered_rate(state: LocalState) -> int | None:
    """Bytes a second of the last restore, None where there was none."""
    kept = state.recall(*_PLACE)
    if kept is None:
        return None
    try:
        return Fields.parse(kept, "the cached rate", versioned=False).integer("bytes_per_s", 1)
    except IntegrityError:
        return None
