"""A chain of two backups in an archive, and the thaw of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from btrfs_to_s3.format import keys
from btrfs_to_s3.operations.thaw.states import needed_of_chain
from btrfs_to_s3.operations.thaw.thaw import Thaw, ThawJob
from tests.operations.archives import Archive, Waiting
from tests.plan.prices import PRICES

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import HeadEntry
    from tests.operations.repositories import SyntheticRepository

JOB = ThawJob(prices=PRICES, poll=timedelta(minutes=10), bandwidth_bytes_per_s=1024**2)


@dataclass
class Frozen:
    """A chain of two backups in an archive, as one host sees it."""

    view: SyntheticRepository
    archive: Archive
    waiting: Waiting
    full: HeadEntry
    increment: HeadEntry

    def thaw(self, job: ThawJob = JOB) -> Thaw:
        """A new call of the program."""
        services = replace(self.view.services, cancel=self.waiting)
        needed = needed_of_chain(services, self.view.head(), self.increment, 2, proven=True)
        return Thaw(services, job, 2, self.view.source_id, self.increment, needed)

    def asked(self) -> list[str]:
        """The keys asked for so far, in order."""
        return sorted(key for key, _, _ in self.archive.asked)

    def prefix(self, entry: HeadEntry) -> str:
        """What the keys of a backup's chunks begin with."""
        return keys.chunks(self.view.source_id, entry.backup_id)

    def keys(self, *entries: HeadEntry) -> list[str]:
        """The chunks of these backups."""
        return sorted(
            listed.key
            for entry in entries
            for listed in self.archive.inner.list(keys.chunks(self.view.source_id, entry.backup_id))
        )


def frozen(repository: SyntheticRepository, name: str = "DEEP_ARCHIVE", **how: object) -> Frozen:
    """Two backups whose chunks lie in one class."""
    full = repository.backup()
    increment = repository.backup(full)
    archive = Archive(repository.store, repository.clock, {"chunks/": name}, **how)  # type: ignore[arg-type]  # by name
    view = repository.through(archive)
    return Frozen(view, archive, Waiting(repository.clock), full, increment)
