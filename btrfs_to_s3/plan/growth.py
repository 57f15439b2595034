"""How a chain grows: on which parent, and when a full backup is due instead."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.plan.chain import chain_of
from btrfs_to_s3.plan.parents import judge_parent, lineage, stands_for, valid_parents

if TYPE_CHECKING:
    from datetime import datetime

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.policy import ChainPolicy
    from btrfs_to_s3.plan.facts import BackupFacts, BackupWishes
    from btrfs_to_s3.plan.parents import Parent


def choose_parent(
    facts: BackupFacts, wishes: BackupWishes, taken: datetime
) -> tuple[Parent | None, tuple[str, ...]]:
    """The parent of an incremental backup, or None for a full one, with the reasons.

    ``taken`` is the time of the snapshot that will be sent.
    """
    head = facts.head
    if wishes.full:
        return None, ("full: asked for",)
    if head is None or head.newest is None:
        return None, ("full: no backup of this source is live yet",)
    sent = wishes.snapshot or facts.source
    ours = lineage((sent.uuid, sent.parent_uuid), facts.subvolumes)
    for parent in valid_parents(head, facts.subvolumes, facts.received):
        # Send pairs files by inode number and generation: only within a lineage does that hold.
        if ours.isdisjoint(lineage((parent.local.uuid,), facts.subvolumes)):
            continue
        chain = complete_chain(head, parent.entry)
        if chain is None:
            continue
        due = _full_due(chain, wishes.chain, taken)
        if due is not None:
            return None, (due,)
        why = f"incremental: {parent.local.path} is unchanged since backup {parent.entry.backup_id}"
        if parent.entry.backup_id == head.newest.backup_id:
            return parent, (why,)
        return parent, (why, _why_not(facts, head.newest))
    return None, ("full: no local snapshot can be built on", _why_not(facts, head.newest))


def complete_chain(head: Head, entry: HeadEntry) -> tuple[HeadEntry, ...] | None:
    """The entry's chain; None when the head lacks a part of it, so nothing may be built on it."""
    try:
        return chain_of(head, entry.backup_id)
    except IntegrityError:
        return None


def chain_age(chain: tuple[HeadEntry, ...], now: datetime) -> timedelta:
    """Time since the chain's full backup, never negative.

    When the clock stands before the full one, it was wrong then or is wrong now; the steps
    forward along the chain are then the only elapsed time that is known.
    """
    times = [*(entry.snapshot_time for entry in chain), now]
    if now >= times[0]:
        return now - times[0]
    steps = (later - earlier for earlier, later in pairwise(times))
    return sum((step for step in steps if step > timedelta(0)), timedelta(0))


def _full_due(chain: tuple[HeadEntry, ...], policy: ChainPolicy, taken: datetime) -> str | None:
    if len(chain) >= policy.max_chain:
        return f"full: the chain has {len(chain)} backups and max_chain is {policy.max_chain}"
    if policy.full_every is None:
        return None
    age = chain_age(chain, taken)
    if age < policy.full_every:
        return None
    return f"full: the last one is {_span(age)} old and full_every is {_span(policy.full_every)}"


def _why_not(facts: BackupFacts, newest: HeadEntry) -> str:
    """Why the newest live backup is not the parent."""
    verdicts = [
        judge_parent(local, newest, facts.received.get(local.uuid))
        for local in facts.subvolumes
        if local.uuid == newest.snapshot_uuid or stands_for(local, newest)
    ]
    if not verdicts:
        return f"the snapshot of the newest backup {newest.backup_id} is not on this filesystem"
    if any(verdict.valid for verdict in verdicts):
        return f"the newest backup {newest.backup_id} is of another lineage or its chain is broken"
    return f"the newest backup {newest.backup_id} cannot be built on: {verdicts[0].reason}"


def _span(span: timedelta) -> str:
    if span < timedelta(days=2):
        return f"{span.total_seconds() / 3600:.0f} h"
    return f"{span.days} days"
