"""What other repositories need of this machine's snapshots, also while a run to them goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from btrfs_to_s3.host.state import LocalStateDirectory
from btrfs_to_s3.operations.prune.elsewhere import needed_elsewhere
from tests.operations.repositories import SyntheticRepository

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.operations.conftest import Bucket


class Between(LocalStateDirectory):
    """Does something between the first look at heads or journals and the other."""

    act: Callable[[], object]
    first: str | None = None

    def remembered(self, kind: str) -> Sequence[str]:
        """As ever."""
        self._looked("heads")
        return super().remembered(kind)

    def journals(self, kind: str) -> Sequence[str]:
        """As ever."""
        self._looked("journals")
        return super().journals(kind)

    def _looked(self, at: str) -> None:
        if self.first not in (None, at):
            self.act()
        self.first = self.first or at


class Own(LocalStateDirectory):
    """This repository's state, beside one other."""

    other: LocalStateDirectory

    def siblings(self) -> Sequence[LocalStateDirectory]:
        """That one."""
        return [self.other]


def test_what_another_run_commits_meanwhile_stays_needed(
    repository: SyntheticRepository, bucket: Bucket, state_directory: Path
) -> None:
    with bucket.store(prefix="other") as store:
        other = SyntheticRepository(store, state_directory / "other")
        begin, facts = other.upload()
        racing = Between(state_directory / "other", "nas", other.listener.warn)
        racing.act = lambda: other.commit(begin, facts)
        state = Own(state_directory / "own", "nas", repository.listener.warn)
        state.other = racing
        services = replace(repository.services, state=state)
        needed = needed_elsewhere(services, {begin.snapshot_uuid})
        assert needed.needs(begin.snapshot_uuid)
        assert other.head().backups[0].snapshot_uuid == begin.snapshot_uuid
