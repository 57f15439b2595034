"""A backup run: every source gets its turn, whatever became of the one before (guarantee 6)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import BtrfsToS3Error, InterruptedRunError, RepositoryError
from btrfs_to_s3.model.policy import KeepPolicy
from btrfs_to_s3.operations.backup.backup import SourceBackup
from btrfs_to_s3.operations.backup.chain_presence import what_is_missing
from btrfs_to_s3.operations.backup.leftovers import give_up_upload
from btrfs_to_s3.operations.backup.observe import SourceWishes, observe, open_upload_journal
from btrfs_to_s3.operations.prune.elsewhere import is_known, needed_elsewhere
from btrfs_to_s3.operations.prune.local import LocalWishes, prune_local
from btrfs_to_s3.operations.repository.known_sources import remember_source
from btrfs_to_s3.plan.backup.backup import plan_anew, plan_backup
from btrfs_to_s3.plan.backup.decision import Decision
from btrfs_to_s3.plan.backup.facts import BackupWishes
from btrfs_to_s3.plan.backup.growth import widest
from btrfs_to_s3.plan.history import standing_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from btrfs_to_s3.model.account import Standing
    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.model.policy import ChainPolicy
    from btrfs_to_s3.operations.backup.backup import BackupJob, BackupResult
    from btrfs_to_s3.operations.backup.observe import Observed
    from btrfs_to_s3.operations.repository.listing import Listing
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.plan.backup.backup import BackupPlan
    from btrfs_to_s3.plan.backup.economy import Economy
    from btrfs_to_s3.ports import LocalState, Volume

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """What the person asked for, the same for every source of the run.

    Without ``check_chain`` the stored chain that a plan relies on is not looked at.
    """

    full: bool = False
    force: bool = False
    restart: bool = False
    adopt: SourceId | None = None
    new: bool = False
    snapshot: Path | None = None
    check_chain: bool = True


@dataclass(frozen=True, slots=True)
class SourceJob:
    """One source: what to do with it, under which policies, with which services.

    ``elsewhere`` is this machine's state of the source's other repositories, by name;
    ``tree_elsewhere`` says that one of them builds trees.
    ``economy`` is for sources whose full backups the planner may ask for.
    """

    backup: BackupJob
    chain: ChainPolicy
    services: Services
    keep_local: KeepPolicy = field(default_factory=KeepPolicy)
    elsewhere: Mapping[str, LocalState] = field(default_factory=dict)
    tree_elsewhere: bool = False
    economy: Economy | None = None


@dataclass(frozen=True, slots=True)
class SourceOutcome:
    """What became of one source: a plan, and what carrying it out gave; or why not.

    ``pruned_local`` are paths of local snapshots that were deleted after the backup. ``standing``
    is that of the source in the repository afterwards, where it is known.
    """

    label: str
    path: Path
    source_id: SourceId | None = None
    plan: BackupPlan | None = None
    result: BackupResult | None = None
    error: BtrfsToS3Error | None = None
    pruned_local: tuple[str, ...] = ()
    standing: Standing | None = None


def plan_sources(
    jobs: Sequence[SourceJob], options: BackupOptions, heads: Callable[[], Listing]
) -> list[SourceOutcome]:
    """What ``run_sources`` would do. Writes nothing, locally or remotely."""
    return [guarded(job, partial(_plan_one, job, options, heads)) for job in jobs]


def run_sources(
    jobs: Sequence[SourceJob],
    options: BackupOptions,
    heads: Callable[[], Listing],
    prepare: Callable[[], None],
) -> list[SourceOutcome]:
    """Back up every source; a source's own failure is its outcome and ends nothing else.

    ``prepare`` makes the repository ready to be written; what it raises is raised. It is called
    before any source is backed up, and not at all when none of them can even be looked at.
    A repository that cannot be used, and an interruption, end the run: the outcomes so far are
    returned, the last with that error, and the sources behind it are not listed.
    """
    looked = [guarded(job, partial(look, job, options)) for job in jobs]
    if all(outcome.error is not None for outcome in looked):
        return looked
    prepare()
    outcomes: list[SourceOutcome] = []
    for job in jobs:
        outcomes.append(guarded(job, partial(back_up_one, job, options, heads)))
        if isinstance(outcomes[-1].error, RepositoryError | InterruptedRunError):
            break
    return outcomes


def guarded(job: SourceJob, work: Callable[[], SourceOutcome]) -> SourceOutcome:
    """What the work on one source gives; whatever it raises is that source's outcome."""
    try:
        return work()
    except BtrfsToS3Error as error:
        return SourceOutcome(job.backup.label, job.backup.path, error=error)
    except Exception as error:  # noqa: BLE001 - a bug in one source must not cost the others
        _log.debug("%s: unexpected", job.backup.label, exc_info=True)
        bug = BtrfsToS3Error(f"this is a bug: {error!r}", hint="please report it, with -v")
        bug.__cause__ = error
        return SourceOutcome(job.backup.label, job.backup.path, error=bug)


def look(job: SourceJob, options: BackupOptions) -> SourceOutcome:
    """Whether the source can be opened as a backup would; needs no repository."""
    with opened(job, options, execute=True) as volume:
        volume.subvolume_at(job.backup.path)
        if options.snapshot is not None:
            volume.subvolume_at(options.snapshot)
    return SourceOutcome(job.backup.label, job.backup.path)


def _plan_one(
    job: SourceJob, options: BackupOptions, heads: Callable[[], Listing]
) -> SourceOutcome:
    """What a backup of one source would do."""
    with opened(job, options, execute=False) as volume:
        seen = _observe(job, options, volume, heads())
        plan = _decide(job, options, volume, seen)
        _warn(job, seen)
    return SourceOutcome(job.backup.label, job.backup.path, seen.source_id, plan)


def back_up_one(
    job: SourceJob, options: BackupOptions, heads: Callable[[], Listing]
) -> SourceOutcome:
    """Decide about one source and do it; a refusal is raised."""
    with opened(job, options, execute=True) as volume:
        decided = decide(job, options, volume, heads)
        discard(decided, volume)
        if decided.plan.decision is Decision.SKIP:
            return decided.outcome
        backup = SourceBackup(job.services, volume, job.backup, decided.seen, decided.plan)
        result = backup.run()
        note_resumed(job, result)
        pruned: tuple[str, ...] = ()
        if options.snapshot is None:
            pruned = prune_snapshots({"": job}, volume, decided.seen, {"": result.source_id})
    return replace(decided.done(result), pruned_local=pruned)


@dataclass(frozen=True, slots=True)
class Decided:
    """What was seen of one source, and what is to be done about it in one repository."""

    job: SourceJob
    seen: Observed
    plan: BackupPlan

    @property
    def outcome(self) -> SourceOutcome:
        """What there is to tell before anything was sent."""
        backup, standing = self.job.backup, standing_of(self.seen.facts.head)
        seen = self.seen.source_id
        return SourceOutcome(backup.label, backup.path, seen, self.plan, standing=standing)

    def done(self, result: BackupResult) -> SourceOutcome:
        """What there is to tell once the backup is live."""
        standing = standing_of(self.seen.facts.head, result.backup_id, result.parent)
        return replace(self.outcome, source_id=result.source_id, result=result, standing=standing)


def decide(
    job: SourceJob, options: BackupOptions, volume: Volume, heads: Callable[[], Listing]
) -> Decided:
    """Observe and plan one source that is about to be backed up; a refusal is raised."""
    seen = _observe(job, options, volume, heads())
    job.services.access.keep_rebuilt_heads()
    plan = _decide(job, options, volume, seen)
    _warn(job, seen)
    if plan.refusal is not None:
        raise plan.refusal.as_error()
    return Decided(job, seen, plan)


def discard(decided: Decided, volume: Volume) -> None:
    """Give up the interrupted upload that the plan has no use for."""
    services, seen = decided.job.services, decided.seen
    if not decided.plan.discard_journal or seen.source_id is None:
        return
    upload = seen.open_upload
    snapshots = () if upload is None else (upload.begin.snapshot_uuid,)
    give_up_upload(
        services.access.store,
        volume,
        open_upload_journal(services, seen.source_id),
        seen.source_id,
        seen.facts,
        needed=needed_elsewhere(services, snapshots).needs,
    )


def note_resumed(job: SourceJob, result: BackupResult) -> None:
    """Say what a backup that went on does not hold."""
    if result.resumed:
        job.services.reporter.note(
            f"{job.backup.label}: changes since the interrupted backup's snapshot "
            f"({result.backup_id.time:%Y-%m-%d %H:%M} UTC) are left to the next backup"
        )


def opened(job: SourceJob, options: BackupOptions, *, execute: bool) -> Volume:
    """The source's filesystem; only a snapshot of our own asks that it be writable."""
    writable = execute and options.snapshot is None
    return job.services.btrfs.open(job.backup.path, writable=writable)


def _observe(job: SourceJob, options: BackupOptions, volume: Volume, listing: Listing) -> Observed:
    wanted = SourceWishes(job.backup.path, job.backup.label, options.adopt, options.new)
    seen = observe(job.services, volume, wanted, listing.heads)
    if seen.facts.head is None and not options.new:
        _require_readable(listing, wanted)
    return seen


def _decide(job: SourceJob, options: BackupOptions, volume: Volume, seen: Observed) -> BackupPlan:
    """The plan, decided anew where it would rely on a stored chain that lost something."""
    services, head = job.services, seen.facts.head
    given = None if options.snapshot is None else volume.subvolume_at(options.snapshot)
    wishes = BackupWishes(
        options.full, options.force, options.restart, given, job.chain, economy=job.economy
    )
    plan = plan_backup(seen.facts, wishes, services.clock())
    if head is None or plan.relies_on is None or not options.check_chain:
        return plan
    missing = what_is_missing(services.access.store, head, plan.relies_on)
    if missing is None:
        return plan
    services.reporter.warn(f"{head.source_id}: {missing}; run 'btrfs-to-s3 verify'")
    return plan_anew(seen.facts, wishes, missing, services.clock())


def _warn(job: SourceJob, seen: Observed) -> None:
    """What a person should know of the source whatever is done with it."""
    label, head, warn = job.backup.label, seen.facts.head, job.services.reporter.warn
    if head is not None and head.subvolume_uuid != seen.facts.source.uuid:
        warn(
            f"{label}: {seen.source_id} was last backed up from another subvolume ({seen.why}); "
            "if that one is still in use, back up one of them with --new, or their histories mix"
        )
    for path in seen.nested:
        warn(
            f"{label}: the subvolume {path} inside it will not be in the backup; "
            "back it up as a source of its own"
        )


def _require_readable(listing: Listing, wanted: SourceWishes) -> None:
    """A source whose head is damaged must not look like one that was never backed up."""
    for each in listing.unreadable:
        if wanted.adopt == each.source_id or wanted.label == each.source_id.label:
            raise each.error


def prune_snapshots(
    jobs: Mapping[str, SourceJob],
    volume: Volume,
    seen: Observed,
    source_ids: Mapping[str, SourceId],
) -> tuple[str, ...]:
    """Delete snapshots that no rule keeps and no repository of the source needs; their paths.

    ``jobs`` and ``source_ids`` are by repository: those whose heads can be read now. The backup is
    committed, so a failure only warns.
    """
    job = next(iter(jobs.values()))
    services, label = job.services, job.backup.label
    others = {name: state for name, state in job.elsewhere.items() if name not in jobs}
    try:
        found = {
            name: jobs[name].services.access.head(source_id)
            for name, source_id in source_ids.items()
        }
        heads = tuple(head for head in found.values() if head is not None)
        if not heads or not _are_known(job, others):
            return ()
        first, *rest = dict.fromkeys(source_ids.values())
        wishes = LocalWishes(
            source=seen.facts.source,
            source_id=first,
            heads=heads,
            keep=job.keep_local,
            other_ids=tuple(rest),
            chain=widest([each.chain for each in jobs.values()], tree=job.tree_elsewhere),
        )
        done = prune_local(services, volume, wishes)
    except BtrfsToS3Error as error:
        services.reporter.warn(f"{label}: no local snapshot was pruned: {error}")
        return ()
    for left in done.errors:
        services.reporter.warn(f"{label}: a local snapshot could not be pruned: {left}")
    return tuple(snapshot.path for snapshot in done.removed)


def _are_known(job: SourceJob, others: Mapping[str, LocalState]) -> bool:
    """Whether it is known what the source's other repositories need; told where it is not."""
    label = job.backup.label
    unknown = [name for name, state in others.items() if not is_known(state, label)]
    if unknown:
        job.services.reporter.note(
            f"{label}: no local snapshot is deleted: what {', '.join(unknown)} needs of them is "
            "not known here before a backup to it succeeded"
        )
    return not unknown


def remember_in_order(services: Services, outcomes: Sequence[SourceOutcome]) -> None:
    """Keep what a run found in order."""
    for outcome in outcomes:
        if outcome.error is None and outcome.source_id is not None:
            remember_source(services, outcome.label, outcome.source_id)
