"""Names of sources and backups, as they stand in keys and on the command line (docs/format.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from btrfs_to_s3.errors import UsageError

if TYPE_CHECKING:
    from uuid import UUID

LABEL_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SOURCE_ID_PATTERN = re.compile(r"([A-Za-z0-9._-]{1,64})-([0-9a-f]{8})")
_BACKUP_ID_PATTERN = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z-(full|incr)-([0-9a-f]{8})"
)


class Kind(StrEnum):
    """Whether a backup's stream stands alone or needs its parent."""

    FULL = "full"
    INCREMENTAL = "incr"


@dataclass(frozen=True, slots=True, order=True)
class SourceId:
    """A source's remote name: its label and eight random hex digits, fixed at the first backup."""

    label: str
    suffix: str

    def __str__(self) -> str:
        return f"{self.label}-{self.suffix}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``<label>-<8 hex>``; ``UsageError`` when the text is not one."""
        match = _SOURCE_ID_PATTERN.fullmatch(text)
        if match is None:
            raise UsageError(f"{text!r} is not a source id (<label>-<8 hex digits>)")
        return cls(match[1], match[2])


@dataclass(frozen=True, slots=True, order=True)
class BackupId:
    """A backup's name: ``<snapshot time UTC>-<full|incr>-<8 hex of the stream uuid>``."""

    time: datetime
    kind: Kind
    tag: str

    def __str__(self) -> str:
        # isoformat takes a third of strftime's time, and a list may have 100,000 ids.
        compact = self.time.replace(tzinfo=None).isoformat().replace("-", "").replace(":", "")
        return f"{compact}Z-{self.kind}-{self.tag}"

    @classmethod
    def of(cls, snapshot_time: datetime, kind: Kind, stream_uuid: UUID) -> Self:
        """The id of the backup of one snapshot's stream; the time is cut to whole seconds."""
        return cls(snapshot_time.astimezone(UTC).replace(microsecond=0), kind, stream_uuid.hex[:8])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a backup id; ``UsageError`` when the text is not one."""
        match = _BACKUP_ID_PATTERN.fullmatch(text)
        if match is None:
            raise UsageError(f"{text!r} is not a backup id (<time>-<full|incr>-<8 hex digits>)")
        *digits, kind, tag = match.groups()
        year, month, day, hour, minute, second = map(int, digits)
        try:
            # strptime takes ten times as long, and a head may list 100,000 ids.
            time = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError as error:
            raise UsageError(f"{text!r} is not a backup id: {error}") from error
        return cls(time, Kind(kind), tag)


def label_of(path: str) -> str:
    """A path's default label: its last component, a leading ``@`` dropped; ``/`` is ``root``.

    Raises ``UsageError`` when that component has characters a label may not have.
    """
    name = path.rstrip("/").rpartition("/")[2].removeprefix("@")
    if not path.strip("/"):
        return "root"
    if not LABEL_PATTERN.fullmatch(name):
        raise UsageError(
            f"{path!r} gives no usable label ({name!r})",
            hint="name it in the configuration: [[sources]] path = …, label = … "
            "(letters, digits, '.', '_', '-'; at most 64)",
        )
    return name
