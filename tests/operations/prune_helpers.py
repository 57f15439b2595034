"""Short ways to prune a synthetic repository and to say what must be left of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from btrfs_to_s3.model.policy import KeepPolicy
from btrfs_to_s3.operations.prune import prune
from btrfs_to_s3.operations.prune.prune import KeepWishes, PruneWishes
from btrfs_to_s3.operations.verify.verify import verify_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from btrfs_to_s3.model.backup import HeadEntry
    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.operations.prune.prune import PruneResult, RepositoryPlan
    from tests.operations.conftest import Bucket
    from tests.operations.repositories import SyntheticRepository


LAST_1 = KeepPolicy(last=1)
WEEK = timedelta(days=7)
SMALL = 10_000
"""Bytes of content that fit one chunk."""


def wishes(
    *repositories: SyntheticRepository,
    keep: KeepPolicy = LAST_1,
    pinned: Mapping[BackupId, str] | None = None,
) -> PruneWishes:
    each = tuple(KeepWishes(one.source_id, keep, pinned or {}) for one in repositories)
    return PruneWishes(each, WEEK, whole_repository=False)


def planned(repository: SyntheticRepository, keep: KeepPolicy = LAST_1) -> RepositoryPlan:
    return prune.plan(repository.services, wishes(repository, keep=keep))


def pruned(repository: SyntheticRepository, keep: KeepPolicy = LAST_1) -> PruneResult:
    return prune.execute(repository.services, planned(repository, keep))


def live(repository: SyntheticRepository) -> list[BackupId]:
    return [entry.backup_id for entry in repository.head().backups]


def left_of(bucket: Bucket, *entries: HeadEntry) -> list[str]:
    """Keys that name one of these backups."""
    names = [str(entry.backup_id) for entry in entries]
    return [key for key in bucket.listing() if any(name in key for name in names)]


def assert_sound(repository: SyntheticRepository, *, surplus: bool = False) -> None:
    report = verify_data(repository.services, [repository.source_id])
    assert report.findings == ()
    assert surplus or report.counts.surplus_objects == 0


def two_chains(repository: SyntheticRepository) -> tuple[list[HeadEntry], list[HeadEntry]]:
    """A full backup with two increments that may go, and a newer one with one that stays."""
    old = [repository.backup(size=SMALL)]
    old.append(repository.backup(old[-1], size=SMALL))
    old.append(repository.backup(old[-1], size=SMALL))
    new = [repository.backup(size=SMALL)]
    new.append(repository.backup(new[-1], size=SMALL))
    return old, new
