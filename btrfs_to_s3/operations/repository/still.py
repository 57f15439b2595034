"""A repository as it was at one moment: for deciding what would be done, not for doing it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from btrfs_to_s3.operations.repository.repository import ListedSource, RepositoryAccess

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.operations.repository.repository import Host
    from btrfs_to_s3.ports import LocalState, ObjectStore, Reporter


@dataclass(slots=True)
class _Moment:
    """What was read; one for all views of a repository."""

    listed: list[ListedSource] | None = None
    heads: dict[SourceId, Head | None] = field(default_factory=dict)


class StillAccess(RepositoryAccess):
    """Reads each listing and head once: they stay what they were. It commits nothing."""

    def __init__(
        self,
        store: ObjectStore,
        state: LocalState,
        host: Host,
        reporter: Reporter,
        clock: Callable[[], datetime],
    ) -> None:
        super().__init__(store, state, host, reporter, clock)
        self._moment = _Moment()

    def listed_sources(self) -> list[ListedSource]:
        """What the first listing showed."""
        if self._moment.listed is None:
            self._moment.listed = super().listed_sources()
        return self._moment.listed

    def head(self, source_id: SourceId) -> Head | None:
        """The head as it was when it was first read."""
        return self._once(source_id, super().head)

    def listed_head(self, listed: ListedSource) -> Head | None:
        """The same; first out of this machine's cache, where that has it as it was listed."""
        read = super().listed_head
        return self._once(listed.source_id, lambda _: read(listed))

    def commit(
        self,
        source_id: SourceId,
        change: Callable[[Head | None], Head | None],
        adding: BackupId | None = None,
    ) -> Head | None:
        """Never: a commit needs heads as they are."""
        raise AssertionError(f"a commit to {source_id} needs the head as it is: {change}, {adding}")

    def _once(self, source_id: SourceId, read: Callable[[SourceId], Head | None]) -> Head | None:
        heads = self._moment.heads
        if source_id not in heads:
            heads[source_id] = read(source_id)
        return heads[source_id]
