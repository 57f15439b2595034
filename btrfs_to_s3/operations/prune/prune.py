"""Pruning a repository: decide what may go, show it, then remove it (guarantees 1 and 7).

A plan is a value and making it writes nothing. Carrying it out commits each source's shortened
head before anything of it is deleted, and journals the removal before that: stopping anywhere
leaves every live backup whole, and the next run finishes at once what this one began. Holds are
looked up for the plan, for the commit, and once more between the commit and the first deletion.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import BtrfsToS3Error, InterruptedRunError, RepositoryError
from btrfs_to_s3.format import keys
from btrfs_to_s3.operations.prune.holds import held_backups
from btrfs_to_s3.operations.prune.orphans import (
    OrphanResult,
    OrphanWishes,
    plan_orphan_removal,
    remove_orphans,
)
from btrfs_to_s3.operations.prune.removal import (
    ObjectRemover,
    RemovalJournal,
    refusal_error,
    uploading_here,
)
from btrfs_to_s3.plan.chain import live_chains
from btrfs_to_s3.plan.retention.holds import pin_reason, with_held
from btrfs_to_s3.plan.retention.retention import plan_prune

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.model.objects import DeleteFailure
    from btrfs_to_s3.model.policy import KeepPolicy
    from btrfs_to_s3.operations.prune.orphans import OrphanRemovals
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.plan.retention.early import Minimum
    from btrfs_to_s3.plan.retention.orphans import BackupKey
    from btrfs_to_s3.plan.retention.retention import PrunePlan


@dataclass(frozen=True, slots=True)
class KeepWishes:
    """What is to be kept of one source.

    ``pinned`` names backups to keep whatever the rules say, with the reason; the parents of this
    host's uploads in progress are added. See ``prune_local.needed_parents``. ``minimum`` None
    removes without a look at what the service charges for it.
    """

    source_id: SourceId
    keep: KeepPolicy
    pinned: Mapping[BackupId, str] = field(default_factory=dict)
    minimum: Minimum | None = None


@dataclass(frozen=True, slots=True)
class PruneWishes:
    """What to prune. Orphans are looked for in these sources, or in the ``whole_repository``.

    Without ``orphans`` none are looked for, and nothing but heads is read (and the keys of
    notes, which tell what is held).
    """

    sources: tuple[KeepWishes, ...]
    orphan_age: timedelta
    whole_repository: bool
    orphans: bool = True


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """What would become of one source's backups, or why nothing can be decided (``error``).

    ``head`` is what was decided on. ``unfinished`` are backups whose removal an earlier run
    committed and did not finish.
    """

    wishes: KeepWishes
    head: Head | None = None
    plan: PrunePlan | None = None
    unfinished: tuple[BackupId, ...] = ()
    error: BtrfsToS3Error | None = None


@dataclass(frozen=True, slots=True)
class RepositoryPlan:
    """Everything one prune would remove; ``orphans`` is None where ``orphan_error`` says why."""

    sources: tuple[SourcePlan, ...]
    orphans: OrphanRemovals | None
    orphan_error: BtrfsToS3Error | None = None

    @property
    def nothing_to_do(self) -> bool:
        """Whether carrying it out would remove nothing."""
        removals = any(
            source.unfinished or (source.plan is not None and source.plan.removals)
            for source in self.sources
        )
        return not removals and (self.orphans is None or self.orphans.is_empty)


@dataclass(frozen=True, slots=True)
class SourceResult:
    """What became of one source. ``spared`` were planned to go and became needed meanwhile.

    ``failures`` are the service's per-key refusals; ``error`` tells of them, or of what ended
    the work on this source.
    """

    source_id: SourceId
    removed: tuple[BackupId, ...] = ()
    spared: tuple[BackupId, ...] = ()
    freed_bytes: int = 0
    failures: tuple[DeleteFailure, ...] = ()
    error: BtrfsToS3Error | None = None


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What one prune removed. Sources behind an error that ended the run are not listed."""

    sources: tuple[SourceResult, ...]
    orphans: OrphanResult
    duration: timedelta

    @property
    def errors(self) -> Sequence[BtrfsToS3Error]:
        """Everything that went wrong; empty when the prune did all that was planned."""
        each = (*(source.error for source in self.sources), self.orphans.error)
        return [error for error in each if error is not None]


def plan(services: Services, wishes: PruneWishes) -> RepositoryPlan:
    """Decide what may go. Writes nothing; what cannot be read is an error of its part only.

    ``RepositoryError`` and ``InterruptedRunError`` are raised.
    """
    uploading = uploading_here(services)
    sources = tuple(_plan_source(services, each, uploading) for each in wishes.sources)
    if not wishes.orphans:
        return RepositoryPlan(sources, None)
    unfinished = {
        (source.wishes.source_id, backup_id)
        for source in sources
        for backup_id in source.unfinished
    }
    named = tuple(each.source_id for each in wishes.sources)
    orphan_wishes = OrphanWishes(wishes.orphan_age, None if wishes.whole_repository else named)
    try:
        orphans = plan_orphan_removal(services, orphan_wishes, unfinished)
    except (RepositoryError, InterruptedRunError):
        raise
    except BtrfsToS3Error as error:
        return RepositoryPlan(sources, None, error)
    return RepositoryPlan(sources, orphans)


def execute(services: Services, planned: RepositoryPlan) -> PruneResult:
    """Carry a plan out. Nothing goes that was not planned, or that became needed since.

    The caller holds the run lock. A source's own failure ends nothing else; a repository that
    cannot be used, and an interruption, end the run.
    """
    started = services.clock()
    results: list[SourceResult] = []
    services.access.keep_rebuilt_heads()
    remover = ObjectRemover(services.access.store.bound(services.cancel))
    for source in planned.sources:
        prune = SourcePrune(services, source, remover)
        error = _run(prune)
        results.append(prune.result(error))
        if isinstance(error, RepositoryError | InterruptedRunError):
            orphans = OrphanResult()
            break
    else:
        orphans = _orphans(services, planned, remover)
    return PruneResult(tuple(results), orphans, services.clock() - started)


class SourcePrune:
    """Carries out one source's plan, once. ``result`` tells how far it came."""

    def __init__(self, services: Services, planned: SourcePlan, remover: ObjectRemover) -> None:
        self._services = services
        self._planned = planned
        self._remover = remover
        self._source_id = planned.wishes.source_id
        self._journal = RemovalJournal(services, self._source_id)
        self._removed: list[BackupId] = []
        self._spared: tuple[BackupId, ...] = ()
        self._failures: list[DeleteFailure] = []
        self._freed_bytes = 0
        self._seen: tuple[str | None, Head | None] | None = None

    def run(self) -> None:
        """Commit the shortened head, then delete, descendants first."""
        if self._planned.error is not None:
            raise self._planned.error
        head = self._put_back_held(self._commit())
        due = self._journal.due(head, uploading_here(self._services))
        for removal in due:
            if self._is_live_again(removal.backup_id):
                self._spared = (*self._spared, removal.backup_id)
                continue
            self._services.reporter.activity(f"removing {removal.backup_id}")
            failures = self._remover.backup(self._source_id, removal.backup_id)
            self._failures += failures
            if failures:
                continue
            self._journal.removed(removal.backup_id)
            self._removed.append(removal.backup_id)
            self._freed_bytes += removal.entry.stored_size_bytes
        if not self._failures:
            self._journal.close()

    def result(self, error: BtrfsToS3Error | None) -> SourceResult:
        """What was done, and what ended it early."""
        return SourceResult(
            source_id=self._source_id,
            removed=tuple(self._removed),
            spared=self._spared,
            freed_bytes=self._freed_bytes,
            failures=tuple(self._failures),
            error=error or refusal_error(self._failures),
        )

    def _commit(self) -> Head | None:
        access, planned = self._services.access, self._planned
        if planned.head is None or planned.plan is None or not planned.plan.removals:
            return access.head(self._source_id)
        self._journal.begin(planned.plan.removals, planned.head.sequence)
        head = access.commit(self._source_id, self._shortened)
        if head is not None:
            going = (entry.backup_id for entry in planned.plan.removals)
            self._spared = tuple(each for each in going if head.find(each) is not None)
        return head

    def _put_back_held(self, head: Head | None) -> Head | None:
        """The second look, once the head lacks what will go: who held it now counts on it.

        A hold that is written later finds the head without the backup, and fails. What was held
        and has lost its manifest, or an ancestor's, was removed before it was held.
        """
        services = self._services
        due = self._journal.due(head, uploading_here(services))
        if head is None or not due:
            return head
        holds = held_backups(services, self._source_id)
        if not any(each.backup_id in holds for each in due):
            return head
        there = {
            each.backup_id: each.entry
            for each in due
            if services.access.store.head(keys.manifest(self._source_id, each.backup_id))
        }
        committed = services.access.commit(
            self._source_id, lambda present: with_held(present, holds, there)
        )
        if committed is not None:
            back = [each for each in there if committed.find(each) is not None]
            self._spared = tuple(dict.fromkeys((*self._spared, *back)))
        return committed

    def _is_live_again(self, backup_id: BackupId) -> bool:
        """Whether the head lists it by now: it was rebuilt, or copied here anew, meanwhile.

        One HEAD; the head is read where it was replaced. A lost one is what would be rebuilt.
        """
        access = self._services.access
        state = access.store.head(keys.head(self._source_id))
        etag = None if state is None else state.etag
        if self._seen is None or self._seen[0] != etag:
            self._seen = etag, access.head(self._source_id)
        head = self._seen[1]
        return head is not None and head.find(backup_id) is not None

    def _shortened(self, head: Head | None) -> Head | None:
        """The head without what was planned to go and, by the newest head, still may."""
        wishes = self._planned.wishes
        if head is None or self._planned.plan is None:
            return None
        going = {entry.backup_id for entry in self._planned.plan.removals}
        pinned = _pinned(self._services, wishes, uploading_here(self._services))
        for entry in head.backups:
            if entry.backup_id not in going:
                pinned.setdefault(entry.backup_id, "it was not planned to go")
        fresh = plan_prune(head, wishes.keep, self._services.clock(), pinned, wishes.minimum)
        if not fresh.removals:
            return None
        shortened = replace(head, backups=fresh.remaining)
        live_chains(shortened)  # raises rather than commit a head with a broken chain
        return shortened


def _plan_source(
    services: Services, wishes: KeepWishes, uploading: Mapping[BackupKey, BackupId | None]
) -> SourcePlan:
    try:
        head = services.access.head(wishes.source_id)
        if head is None:
            return SourcePlan(wishes)
        pinned = _pinned(services, wishes, uploading)
        decided = plan_prune(head, wishes.keep, services.clock(), pinned, wishes.minimum)
        begun = RemovalJournal(services, wishes.source_id).due(head, uploading)
    except (RepositoryError, InterruptedRunError):
        raise
    except BtrfsToS3Error as error:
        return SourcePlan(wishes, error=error)
    return SourcePlan(wishes, head, decided, tuple(removal.backup_id for removal in begun))


def _pinned(
    services: Services, wishes: KeepWishes, uploading: Mapping[BackupKey, BackupId | None]
) -> dict[BackupId, str]:
    """What stays whatever the rules say; a hold, just looked up, is the first reason given."""
    pinned = dict(wishes.pinned)
    for (source_id, backup_id), parent in uploading.items():
        if source_id == wishes.source_id and parent is not None:
            pinned[parent] = f"the upload of {backup_id}, in progress, builds on it"
    holds = held_backups(services, wishes.source_id)
    return pinned | {backup_id: pin_reason(note) for backup_id, note in holds.items()}


def _run(prune: SourcePrune) -> BtrfsToS3Error | None:
    try:
        prune.run()
    except BtrfsToS3Error as error:
        return error
    return None


def _orphans(services: Services, planned: RepositoryPlan, remover: ObjectRemover) -> OrphanResult:
    if planned.orphans is None:
        return OrphanResult(error=planned.orphan_error)
    return remove_orphans(services, planned.orphans, remover)
