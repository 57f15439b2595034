"""How large the next backup will be, by those before it."""

from __future__ import annotations

from statistics import median_low
from typing import TYPE_CHECKING

from btrfs_to_s3.model.identity import Kind

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import Head, HeadEntry

_RECENT_INCREMENTS = 5


def estimate_bytes(head: Head | None, kind: Kind) -> int | None:
    """Raw bytes to expect: the last full backup's, or the median of the last increments'."""
    return _typical([entry.raw_size_bytes for entry in _of_kind(head, kind)], kind)


def estimate_stored_bytes(head: Head | None, kind: Kind) -> int | None:
    """Stored bytes to expect, in the same way."""
    return _typical([entry.stored_size_bytes for entry in _of_kind(head, kind)], kind)


def _of_kind(head: Head | None, kind: Kind) -> list[HeadEntry]:
    entries = sorted(head.backups if head else (), key=lambda entry: entry.sequence)
    return [entry for entry in entries if entry.kind is kind]


def _typical(sizes: list[int], kind: Kind) -> int | None:
    if not sizes:
        return None
    return sizes[-1] if kind is Kind.FULL else median_low(sizes[-_RECENT_INCREMENTS:])
