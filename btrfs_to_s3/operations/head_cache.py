"""The heads that this machine saw last: what tells a rollback, and what need not be read again.

A local cache (guarantee 10): losing it costs a request for each source, and the memory of which
sequence was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.format.jsonio import Fields, encode_line

if TYPE_CHECKING:
    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.ports import LocalState

_KIND = "head"


@dataclass(frozen=True, slots=True)
class CachedHead:
    """A head's bytes, and its ETag and sequence when they were read or written here."""

    sequence: int
    etag: str
    data: bytes


class HeadCache:
    """One repository's heads in the local state."""

    def __init__(self, state: LocalState, repository_id: str) -> None:
        self._state = state
        self._repository_id = repository_id

    def recall(self, source_id: SourceId) -> CachedHead | None:
        """What was seen last; None without a sound record of it."""
        kept = self._state.recall(_KIND, self._name(source_id))
        if kept is None:
            return None
        line, _, data = kept.partition(b"\n")
        try:
            fields = Fields.parse(line, "the cached head", versioned=False)
            return CachedHead(fields.integer("sequence"), fields.text("etag"), data)
        except IntegrityError:
            return None

    def seen_sequence(self, source_id: SourceId) -> int:
        """The highest sequence seen; 0 when none was."""
        cached = self.recall(source_id)
        return 0 if cached is None else cached.sequence

    def remember(self, source_id: SourceId, head: CachedHead) -> None:
        """Keep what was just read or written."""
        line = encode_line({"sequence": head.sequence, "etag": head.etag})
        self._state.remember(_KIND, self._name(source_id), line + head.data)

    def _name(self, source_id: SourceId) -> str:
        return f"{self._repository_id}-{source_id}"
