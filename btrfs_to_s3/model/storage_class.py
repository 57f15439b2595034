"""What Amazon S3 documents of its storage classes, prices aside.

Source: Amazon S3 User Guide, "Understanding and managing Amazon S3 storage classes" and
"Understanding archive retrieval options". Another service's own class is taken for one that can be
read at once and has no minimum duration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Tier(StrEnum):
    """How fast, and at what price, a thaw is done (S3 API: GlacierJobParameters, Tier)."""

    EXPEDITED = "expedited"
    STANDARD = "standard"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class ThawTime:
    """How long a thaw takes: usually between these two; equal where only a limit is documented."""

    soonest: timedelta
    latest: timedelta


@dataclass(frozen=True, slots=True)
class StorageClass:
    """One class.

    ``thaw`` has the tiers in which an object can be thawed; a class without any can be read at
    once. An object deleted or overwritten before ``minimum_duration`` is billed to its end. Each
    object is billed ``own_overhead_bytes`` more at the class's price and ``index_overhead_bytes``
    more at STANDARD's, and as if it had at least ``minimum_size_bytes``.
    """

    name: str
    minimum_duration: timedelta = timedelta(0)
    thaw: Mapping[Tier, ThawTime] = field(default_factory=dict)
    own_overhead_bytes: int = 0
    index_overhead_bytes: int = 0
    minimum_size_bytes: int = 0

    @property
    def archived(self) -> bool:
        """Whether its objects must be thawed before they can be read."""
        return bool(self.thaw)


_KIB = 1024
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)

_KNOWN: Final = {
    known.name: known
    for known in (
        StorageClass("STANDARD"),
        StorageClass("STANDARD_IA", 30 * _DAY, minimum_size_bytes=128 * _KIB),
        StorageClass("ONEZONE_IA", 30 * _DAY, minimum_size_bytes=128 * _KIB),
        StorageClass("INTELLIGENT_TIERING"),
        StorageClass("GLACIER_IR", 90 * _DAY, minimum_size_bytes=128 * _KIB),
        StorageClass(
            "GLACIER",
            90 * _DAY,
            {
                Tier.EXPEDITED: ThawTime(_MINUTE, 5 * _MINUTE),
                Tier.STANDARD: ThawTime(3 * _HOUR, 5 * _HOUR),
                Tier.BULK: ThawTime(5 * _HOUR, 12 * _HOUR),
            },
            own_overhead_bytes=32 * _KIB,
            index_overhead_bytes=8 * _KIB,
        ),
        StorageClass(
            "DEEP_ARCHIVE",
            180 * _DAY,
            {
                Tier.STANDARD: ThawTime(12 * _HOUR, 12 * _HOUR),
                Tier.BULK: ThawTime(48 * _HOUR, 48 * _HOUR),
            },
            own_overhead_bytes=32 * _KIB,
            index_overhead_bytes=8 * _KIB,
        ),
        StorageClass("REDUCED_REDUNDANCY"),
        StorageClass("EXPRESS_ONEZONE"),
    )
}

AWS_CLASSES: Final = frozenset(_KNOWN)
"""Storage classes of Amazon S3 (API reference, PutObject); other services name their own."""
ARCHIVE_CLASSES: Final = frozenset(known.name for known in _KNOWN.values() if known.archived)
"""Classes whose objects must be thawed before they can be read (GLACIER_IR reads at once)."""


_ARCHIVE_TIERS: Final = {"ARCHIVE_ACCESS": "GLACIER", "DEEP_ARCHIVE_ACCESS": "DEEP_ARCHIVE"}
TIERING: Final = "INTELLIGENT_TIERING"
TIERING_ARCHIVES_AFTER: Final = 90 * _DAY
"""INTELLIGENT_TIERING moves nothing to an archive tier that was read or written since."""


def thawed_as(name: str, archive_status: str | None = None) -> StorageClass:
    """The class by whose tiers and times an object is thawed.

    An INTELLIGENT_TIERING object in an archive tier (HeadObject: ArchiveStatus) takes as long as
    one of GLACIER or DEEP_ARCHIVE ("S3 Intelligent-Tiering access tiers").
    """
    return storage_class(_ARCHIVE_TIERS.get(archive_status or "", name))


def storage_class(name: str) -> StorageClass:
    """The class of this name; one that Amazon does not have is plain."""
    return _KNOWN.get(name) or StorageClass(name)
