"""How fresh every source's backups are: from the heads, and what this host remembers of its runs.

A run that found a source unchanged writes nothing remotely; that it looked is remembered here, so
that an unchanged source does not grow stale on its own host. On another machine it does. What went
wrong is remembered here alone too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from btrfs_to_s3.operations.history import recall_commands, recall_sources
from btrfs_to_s3.operations.repository.known_sources import configured_as, is_here, last_looked
from btrfs_to_s3.operations.repository.listing import read_heads
from btrfs_to_s3.plan.status import freshness

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta

    from btrfs_to_s3.model.account import LastRun, SourceHistory
    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.operations.repository.listing import Unreadable
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.plan.status import Freshness


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Sources of the repository, and labels configured here that it has no backup of.

    ``all_hosts`` says that every host's are there, not only this one's; ``other_sources`` are how
    many are left out. ``errors`` are runs of this host that ended badly and that no success
    followed, by source; ``failing`` those sources of them where a run failed, and not only was
    interrupted; ``never_errors`` those of sources without a backup, by label;
    ``command_errors`` those of whole commands, where no source says the same. ``ours`` are the
    sources that this host backs up.
    """

    sources: tuple[Freshness, ...]
    unreadable: tuple[Unreadable, ...]
    never: tuple[str, ...]
    all_hosts: bool = True
    other_sources: int = 0
    errors: Mapping[SourceId, LastRun] = field(default_factory=dict)
    never_errors: Mapping[str, LastRun] = field(default_factory=dict)
    command_errors: tuple[LastRun, ...] = ()
    ours: frozenset[SourceId] = frozenset()
    failing: frozenset[SourceId] = frozenset()

    @property
    def stale(self) -> tuple[str, ...]:
        """Names of what is not fresh: ``HOST/LABEL``, or a label of this host alone."""
        old = (f"{each.host_name}/{each.source_id.label}" for each in self.sources if each.stale)
        return (*old, *self.never)


def report_status(
    services: Services,
    max_age: timedelta | None,
    configured: Iterable[str],
    *,
    all_hosts: bool = False,
) -> StatusReport:
    """Judge this host's sources, or every host's; ``configured`` are the labels of its file.

    A machine that has none in the repository, and is to have none, is one that looks after others:
    it judges every host's.
    """
    listing = read_heads(services)
    found = {label: configured_as(services, label, listing) for label in configured}
    never = tuple(label for label, source_id in found.items() if source_id is None)
    host = services.access.host
    ours = frozenset(
        head.source_id
        for head in listing.heads
        if is_here(head, host) or head.source_id in found.values()
    )
    every = all_hosts or not (ours or found)
    shown = [head for head in listing.heads if every or head.source_id in ours]
    looked = {
        head.source_id: time
        for head in shown
        if (time := last_looked(services.state, head.source_id)) is not None
    }
    judged = freshness(shown, services.clock(), max_age, looked)
    histories = recall_sources(services.state)
    bad = _ended_badly(judged, histories, [head for head in shown if head.source_id in ours])
    errors = {source_id: history.last_run for source_id, history in bad.items()}
    never_errors = {
        label: histories[label].last_run
        for label in never
        if label in histories and histories[label].last_run.trouble is not None
    }
    told = {run.command for run in (*errors.values(), *never_errors.values())}
    commands = (each.last_run for each in recall_commands(services.state).values())
    return StatusReport(
        judged,
        listing.unreadable,
        never,
        all_hosts=every,
        other_sources=len(listing.heads) - len(shown),
        errors=errors,
        never_errors=never_errors,
        command_errors=tuple(
            run for run in commands if run.trouble is not None and run.command not in told
        ),
        ours=ours,
        failing=frozenset(
            each for each, history in bad.items() if history.failing_since is not None
        ),
    )


def _ended_badly(
    judged: Iterable[Freshness], histories: Mapping[str, SourceHistory], ours: Iterable[Head]
) -> dict[SourceId, SourceHistory]:
    """The history of each source of ours whose last run ended badly after the last success."""
    # A source that got another label has a history by each; the newest one is its own.
    in_order = sorted(histories.values(), key=lambda each: each.last_run.finished)
    by_id = {each.source_id: each for each in in_order}
    here = {head.source_id for head in ours}
    found: dict[SourceId, SourceHistory] = {}
    for each in judged:
        history = by_id.get(each.source_id)
        if history is None and each.source_id in here:
            unnamed = histories.get(each.source_id.label)
            history = unnamed if unnamed is not None and unnamed.source_id is None else None
        if history is None or history.last_run.trouble is None:
            continue
        if each.last_success is None or history.last_run.finished > each.last_success:
            found[each.source_id] = history
    return found
