"""The heads that this machine saw last: what tells a rollback, and what need not be read again.

A local cache (guarantee 10): losing it costs a request for each source, and the memory of which
sequence was seen.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.format.jsonio import Fields, encode_line
from btrfs_to_s3.operations.repository.head_columns import (
    LAYOUT,
    READABLE,
    decode_columns,
    encode_columns,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.ports import LocalState

_KIND: Final = "head"
_WHAT: Final = "the cached head"


def remembered_heads(state: LocalState) -> Iterator[Head]:
    """The last heads seen here of a repository, whichever it is, as far as they are intact."""
    for name in state.remembered(_KIND):
        line, _, data = (state.recall(_KIND, name) or b"").partition(b"\n")
        head = _decoded(line, data, None)
        if head is not None:
            yield head


def _decoded(line: bytes, data: bytes, etag: str | None) -> Head | None:
    """A cached head, of this ETag where one is given; None when it is not intact."""
    try:
        fields = Fields.parse(line, _WHAT, versioned=False)
        same = fields.integer("layout") in READABLE and etag in (None, fields.text("etag"))
        intact = same and fields.sha256("sha256") == sha256(data).hexdigest()
        return decode_columns(data) if intact else None
    except IntegrityError:
        return None


class HeadCache:
    """One repository's heads in the local state."""

    def __init__(self, state: LocalState, repository_id: str) -> None:
        self._state = state
        self._repository_id = repository_id

    def recall(self, source_id: SourceId, etag: str) -> Head | None:
        """The head of this ETag; None when another one was seen last, or none."""
        line, data = self._kept(source_id)
        return _decoded(line, data, etag)

    def seen_sequence(self, source_id: SourceId) -> int:
        """The highest sequence seen; 0 when none was."""
        line, _ = self._kept(source_id)
        try:
            return Fields.parse(line, _WHAT, versioned=False).integer("sequence")
        except IntegrityError:
            return 0

    def remember(self, etag: str, head: Head) -> None:
        """Keep what was just read, and checked, or written; never instead of a newer one.

        Another process may have committed since this one was read.
        """
        if head.sequence < self.seen_sequence(head.source_id):
            return
        data = encode_columns(head)
        line = {
            "sequence": head.sequence,
            "etag": etag,
            "layout": LAYOUT,
            "sha256": sha256(data).hexdigest(),
        }
        self._state.remember(_KIND, self._name(head.source_id), encode_line(line) + data)

    def _kept(self, source_id: SourceId) -> tuple[bytes, bytes]:
        kept = self._state.recall(_KIND, self._name(source_id)) or b""
        line, _, data = kept.partition(b"\n")
        return line, data

    def _name(self, source_id: SourceId) -> str:
        return f"{self._repository_id}-{source_id}"
