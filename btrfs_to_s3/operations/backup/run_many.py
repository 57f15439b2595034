"""A backup run over several repositories: one snapshot and, where it fits, one stream for all.

Each source is observed and planned for each repository by itself. Those that take a new snapshot
get the same one; those that then send the same snapshot on the same parent with the same options
share one ``btrfs send``. What fails for one repository is that repository's outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import BtrfsToS3Error, InterruptedRunError, RepositoryError
from btrfs_to_s3.model.identity import SourceId
from btrfs_to_s3.operations.backup.backup import SourceBackup
from btrfs_to_s3.operations.backup.run import (
    Decided,
    SourceOutcome,
    back_up_one,
    decide,
    discard,
    guarded,
    look,
    note_resumed,
    opened,
    prune_snapshots,
)
from btrfs_to_s3.operations.backup.shared_send import error_of, send_shared
from btrfs_to_s3.operations.prune.elsewhere import shared_source_id
from btrfs_to_s3.plan.backup.backup import activity_of
from btrfs_to_s3.plan.backup.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from btrfs_to_s3.operations.backup.backup import Sending
    from btrfs_to_s3.operations.backup.run import BackupOptions, SourceJob
    from btrfs_to_s3.operations.repository.listing import Listing
    from btrfs_to_s3.ports import Cancellation, Reporter, Volume


@dataclass(frozen=True, slots=True)
class Destination:
    """One repository of the run. ``heads`` and ``prepare`` are as for ``run.run_sources``."""

    name: str
    jobs: tuple[SourceJob, ...]
    heads: Callable[[], Listing]
    prepare: Callable[[], None]

    def job(self, path: Path) -> SourceJob | None:
        """The job of the source at this path, None when it is not stored here."""
        return next((job for job in self.jobs if job.backup.path == path), None)


@dataclass(slots=True)
class DestinationOutcome:
    """What became of the sources in one repository; ``error`` ended the work before or between.

    Outcomes are in the order of the jobs; those behind an end are not listed.
    """

    outcomes: list[SourceOutcome] = field(default_factory=list)
    error: BtrfsToS3Error | None = None
    ended: bool = False


def run_many(
    destinations: Sequence[Destination],
    options: BackupOptions,
    fresh_suffix: str,
    reporter: Reporter,
    cancel: Cancellation,
) -> dict[str, DestinationOutcome]:
    """Back up every source to each of its repositories; by name, what became of it.

    A repository that cannot be used ends the work on it alone; an interruption ends the run.
    ``fresh_suffix`` are the random hex digits in the ids of sources that are new everywhere.
    """
    found = {each.name: DestinationOutcome() for each in destinations}
    paths = list(dict.fromkeys(job.backup.path for each in destinations for job in each.jobs))
    looked = {path: _look(destinations, path, options) for path in paths}
    if all(outcome.error is not None for outcome in looked.values()):
        for each in destinations:
            found[each.name].outcomes = [looked[job.backup.path] for job in each.jobs]
        return found
    for each in destinations:
        try:
            each.prepare()
        except BtrfsToS3Error as error:
            found[each.name].error, found[each.name].ended = error, True
    shared = _Shared(options, fresh_suffix, reporter, cancel)
    for path in paths:
        jobs = {
            each.name: (each, job)
            for each in destinations
            if not found[each.name].ended and (job := each.job(path)) is not None
        }
        for name, outcome in shared.back_up(jobs).items():
            found[name].outcomes.append(outcome)
            found[name].ended = isinstance(outcome.error, RepositoryError | InterruptedRunError)
            if isinstance(outcome.error, InterruptedRunError):
                return _interrupted(destinations, found, outcome.error)
    return found


def _interrupted(
    destinations: Sequence[Destination],
    found: dict[str, DestinationOutcome],
    error: InterruptedRunError,
) -> dict[str, DestinationOutcome]:
    """The outcomes of a run that a signal ended, which is told of every unfinished repository."""
    for each in destinations:
        outcome = found[each.name]
        told = outcome.error or (outcome.outcomes and outcome.outcomes[-1].error)
        if len(outcome.outcomes) < len(each.jobs) and not told:
            outcome.error = error
    return found


def _look(destinations: Sequence[Destination], path: Path, options: BackupOptions) -> SourceOutcome:
    job = next(job for each in destinations if (job := each.job(path)) is not None)
    return guarded(job, partial(look, job, options))


@dataclass(frozen=True, slots=True)
class _Shared:
    """Backs one source up to several repositories."""

    options: BackupOptions
    fresh_suffix: str
    reporter: Reporter
    cancel: Cancellation

    def back_up(
        self, jobs: Mapping[str, tuple[Destination, SourceJob]]
    ) -> dict[str, SourceOutcome]:
        """By repository, what became of the source."""
        if len(jobs) == 1:
            ((name, (each, job)),) = jobs.items()
            return {name: guarded(job, partial(back_up_one, job, self.options, each.heads))}
        if not jobs:
            return {}
        first = next(iter(jobs.values()))[1]
        outcomes: dict[str, SourceOutcome] = {}
        try:
            with opened(first, self.options, execute=True) as volume:
                self._with_volume(volume, jobs, outcomes)
        except Exception as error:  # noqa: BLE001 - it belongs to every repository left
            for name, (_, job) in jobs.items():
                outcomes.setdefault(name, _failed(job, error_of(error)))
        return {name: outcomes[name] for name in jobs}

    def _with_volume(
        self,
        volume: Volume,
        jobs: Mapping[str, tuple[Destination, SourceJob]],
        outcomes: dict[str, SourceOutcome],
    ) -> None:
        decided: dict[str, Decided] = {}
        for name, (each, job) in jobs.items():
            try:
                decided[name] = decide(job, self.options, volume, each.heads)
                discard(decided[name], volume)
            except Exception as error:  # noqa: BLE001 - one repository's failure is its outcome
                decided.pop(name, None)
                outcomes[name] = _failed(job, error_of(error))
        sending = {
            name: each for name, each in decided.items() if each.plan.decision is not Decision.SKIP
        }
        outcomes |= {
            name: planned.outcome for name, planned in decided.items() if name not in sending
        }
        errors, backups = self._send_all(volume, sending)
        for name, planned in sending.items():
            failure = errors.get(name)
            if failure is not None:
                outcomes[name] = replace(planned.outcome, error=failure)
                continue
            result = backups[name].result()
            note_resumed(planned.job, result)
            outcomes[name] = planned.done(result)
        self._prune(volume, decided, outcomes)

    def _send_all(
        self, volume: Volume, sending: Mapping[str, Decided]
    ) -> tuple[dict[str, BtrfsToS3Error | None], dict[str, SourceBackup]]:
        """Send to all; by name what went wrong, and the backups."""
        known = [each.seen.source_id for each in sending.values()]
        backups: dict[str, SourceBackup] = {}
        for name, each in sending.items():
            job = each.job
            new = self._new_id(job, known)
            backups[name] = SourceBackup(
                job.services, volume, job.backup, each.seen, each.plan, new
            )
        errors: dict[str, BtrfsToS3Error | None] = {}
        streams = self._prepare(sending, backups, errors)
        for names in _groups(streams):
            group = {name: backups[name] for name in names}
            plan = sending[names[0]].plan
            activity = f"{activity_of(plan)} to {', '.join(names)}"
            label = sending[names[0]].job.backup.label
            self.reporter.begin(label, activity, plan.estimate_bytes)
            try:
                errors |= send_shared(group, self.reporter, self.cancel)
            finally:
                self.reporter.end()
        return errors, backups

    def _new_id(self, job: SourceJob, known: Sequence[SourceId | None]) -> SourceId:
        """The id that the source gets in a repository where it is new."""
        fresh = SourceId(job.backup.label, self.fresh_suffix)
        shared = shared_source_id(known, fresh)
        if self.options.new or shared in job.services.access.source_ids():
            return fresh
        return shared

    def _prepare(
        self,
        sending: Mapping[str, Decided],
        backups: Mapping[str, SourceBackup],
        errors: dict[str, BtrfsToS3Error | None],
    ) -> dict[str, Sending]:
        """Journal every backup on the one new snapshot; what still has to be sent, by name."""
        taking = [name for name, each in sending.items() if each.plan.snapshot is None]
        snapshot = backups[taking[0]].take_snapshot() if taking else None
        streams: dict[str, Sending] = {}
        for name, backup in backups.items():
            try:
                stream = backup.prepare(snapshot)
                if not backup.republish():
                    streams[name] = stream
            except Exception as error:  # noqa: BLE001 - one repository's failure is its outcome
                errors[name] = error_of(error)
        return streams

    def _prune(
        self, volume: Volume, decided: Mapping[str, Decided], outcomes: dict[str, SourceOutcome]
    ) -> None:
        """Delete local snapshots that no repository needs, once something was backed up."""
        done = [name for name in decided if outcomes[name].error is None]
        first = next((name for name in done if outcomes[name].result is not None), None)
        if first is None or self.options.snapshot is not None:
            return
        ids = {name: outcomes[name].source_id for name in done}
        pruned = prune_snapshots(
            {name: decided[name].job for name in (first, *done)},
            volume,
            decided[first].seen,
            {name: source_id for name, source_id in ids.items() if source_id is not None},
        )
        outcomes[first] = replace(outcomes[first], pruned_local=pruned)


def _groups(streams: Mapping[str, Sending]) -> list[list[str]]:
    """Names that send the very same stream, in the order they were given."""
    found: dict[Sending, list[str]] = {}
    for name, sending in streams.items():
        found.setdefault(sending, []).append(name)
    return list(found.values())


def _failed(job: SourceJob, error: BtrfsToS3Error) -> SourceOutcome:
    return SourceOutcome(job.backup.label, job.backup.path, error=error)
