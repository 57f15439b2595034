"""What this host keeps between runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Journal(Protocol):
    """An append-only local record of JSON lines, each on disk before ``append`` returns."""

    def append(self, record: Mapping[str, object]) -> None:
        """Add one line; ``LocalSpaceError`` when the disk is full. A torn last line is ignored."""

    def records(self) -> Iterator[dict[str, object]]:
        """The lines so far, oldest first."""

    def remove(self) -> None:
        """Delete the journal: the work it describes is done or given up."""


class LocalState(Protocol):
    """This host's state directory. Everything in it but open journals can be deleted at will."""

    def journal(self, kind: str, name: str) -> Journal:
        """The journal ``name`` of ``kind`` (upload, received, thaw), open for appending."""

    def journals(self, kind: str) -> Sequence[str]:
        """Names of existing journals of a kind."""

    def remember(self, kind: str, name: str, value: bytes) -> None:
        """Cache a value atomically."""

    def recall(self, kind: str, name: str) -> bytes | None:
        """A cached value, None when it was never kept or was deleted."""

    def remembered(self, kind: str) -> Sequence[str]:
        """Names of cached values of a kind."""

    def siblings(self) -> Sequence[LocalState]:
        """The state that this host keeps of every other repository it ever worked with."""

    def temporary(self) -> BinaryIO:
        """An unnamed file for metadata larger than memory should hold; gone when closed."""
