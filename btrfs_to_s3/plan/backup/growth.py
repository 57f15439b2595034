"""How a chain grows: on which parent, and when a full backup is due instead."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.model.policy import Strategy
from btrfs_to_s3.plan.backup.parents import judge_parent, lineage, stands_for, valid_parents
from btrfs_to_s3.plan.backup.tree import MAX_LINKS, Level, period, places
from btrfs_to_s3.plan.chain import chain_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.model.policy import ChainPolicy
    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.plan.backup.facts import BackupFacts, BackupWishes
    from btrfs_to_s3.plan.backup.parents import Parent
    from btrfs_to_s3.plan.backup.tree import Place

Chain = tuple["HeadEntry", ...]
"""A backup and its ancestors, the full one first."""
Choice = tuple["Parent | None", tuple[str, ...]]
"""The parent of an incremental backup, or None for a full one, with the reasons."""


def choose_parent(facts: BackupFacts, wishes: BackupWishes, taken: datetime) -> Choice:
    """The parent of an incremental backup, or None for a full one, with the reasons.

    ``taken`` is the time of the snapshot that will be sent.
    """
    head = facts.head
    if wishes.full:
        return None, ("full: asked for",)
    if head is None or head.newest is None:
        return None, ("full: no backup of this source is live yet",)
    usable = _usable_parents(head, facts, wishes.snapshot or facts.source)
    if wishes.chain.strategy is Strategy.TREE:
        return _in_tree(head, facts, wishes.chain, taken, usable)
    return _on_the_last(head.newest, facts, wishes.chain, taken, usable)


def _on_the_last(
    newest: HeadEntry,
    facts: BackupFacts,
    policy: ChainPolicy,
    taken: datetime,
    usable: Iterable[tuple[Parent, Chain]],
) -> Choice:
    """``Strategy.CHAIN``: the newest backup that can be built on."""
    for parent, chain in usable:
        due = full_due(chain, policy, taken)
        if due is not None:
            return None, (due,)
        why = _unchanged(parent)
        if parent.entry.backup_id == newest.backup_id:
            return parent, (why,)
        return parent, (why, _why_not(facts, newest, "the newest backup"))
    why_not = _why_not(facts, newest, "the newest backup")
    return None, ("full: no local snapshot can be built on", why_not)


def _in_tree(
    head: Head,
    facts: BackupFacts,
    policy: ChainPolicy,
    taken: datetime,
    usable: Iterable[tuple[Parent, Chain]],
) -> Choice:
    """``Strategy.TREE``: the first place whose base can be built on (``plan.tree``)."""
    found = places(head, taken, policy.max_chain)
    if not found:
        if places(head, taken):
            return None, (f"full: max_chain is {policy.max_chain}",)
        return None, (f"full: tree, level year: there is none of {period(Level.YEAR, taken)} yet",)
    best = found[0].bases[0]
    by_id = {parent.entry.backup_id: (parent, chain) for parent, chain in usable}
    for place in found:
        base = next((by_id[e.backup_id] for e in place.bases if e.backup_id in by_id), None)
        if base is None:
            continue
        parent, chain = base
        due = full_due(chain, policy, taken)
        if due is not None:
            return None, (due,)
        if parent.entry.backup_id == best.backup_id:
            return parent, (_unchanged(parent), _why_here(place, taken))
        why = f"the best that can be built on in the tree of {period(Level.YEAR, taken)}"
        return parent, (_unchanged(parent), why, _why_not(facts, best, "the base for it"))
    why_not = _why_not(facts, best, "the base for it")
    return None, (
        f"full: no local snapshot can be built on in the tree of {period(Level.YEAR, taken)}",
        why_not,
    )


def _why_here(place: Place, taken: datetime) -> str:
    around = Level(place.level - 1)
    on = f"on the newest base of {period(around, taken)}"
    if place.level is Level.MOMENT:
        return f"tree, level moment: {on}"
    begun = period(place.level, taken)
    return f"tree, level {place.level.name.lower()}: there is no base of {begun} yet, so {on}"


def _usable_parents(
    head: Head, facts: BackupFacts, sent: Subvolume
) -> Iterator[tuple[Parent, Chain]]:
    """Valid parents of the lineage of what will be sent, each with its chain, newest first."""
    ours = lineage((sent.uuid, sent.parent_uuid), facts.subvolumes)
    for parent in valid_parents(head, facts.subvolumes, facts.received):
        # Send pairs files by inode number and generation: only within a lineage does that hold.
        if ours.isdisjoint(lineage((parent.local.uuid,), facts.subvolumes)):
            continue
        chain = complete_chain(head, parent.entry)
        if chain is not None:
            yield parent, chain


def coming_bases(
    head: Head, policy: ChainPolicy, now: datetime, usable: Collection[BackupId]
) -> tuple[HeadEntry, ...]:
    """The live backups that coming increments will be built on, as far as can be foreseen.

    ``usable`` are those with a valid local snapshot. The newest of them, and with
    ``Strategy.TREE`` the newest of them in each place of the present year: what begins the day
    serves until midnight, what begins the month until its end, the full one until the year's.
    """
    newest_first = sorted(head.backups, key=lambda entry: entry.sequence, reverse=True)
    ranked: list[Sequence[HeadEntry]] = []
    if policy.strategy is Strategy.TREE:
        ranked = [place.bases for place in places(head, now, policy.max_chain)]
    firsts = [next((one for one in bases if one.backup_id in usable), None) for bases in ranked]
    *better, stand_in = firsts or [None]
    newest = next((each for each in newest_first if each.backup_id in usable), None)
    found = [newest, *(better if any(better) else (stand_in,))]
    return tuple(dict.fromkeys(entry for entry in found if entry is not None))


def widest(policies: Sequence[ChainPolicy], *, tree: bool) -> ChainPolicy:
    """The policy whose ``coming_bases`` hold those of all of these, of which there is one at least.

    What a tree builds on includes what a chain does, and the more the longer its chains may be.
    ``tree`` says that there is a tree whose policy is not among them.
    """
    trees = [policy for policy in policies if policy.strategy is Strategy.TREE]
    if tree:
        trees.append(replace(policies[0], strategy=Strategy.TREE, max_chain=MAX_LINKS))
    return max(trees, key=lambda policy: policy.max_chain, default=policies[0])


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


def full_due(chain: tuple[HeadEntry, ...], policy: ChainPolicy, taken: datetime) -> str | None:
    """Why the policy asks for a full backup instead of another link of this chain, or None."""
    return full_due_after(len(chain), chain_age(chain, taken), policy)


def full_due_after(links: int, age: timedelta, policy: ChainPolicy) -> str | None:
    """The same for a chain of so many backups whose full one is of this age."""
    if links >= policy.max_chain:
        return f"full: the chain has {links} backups and max_chain is {policy.max_chain}"
    if policy.full_every is None or age < policy.full_every:
        return None
    return f"full: the last one is {_span(age)} old and full_every is {_span(policy.full_every)}"


def _unchanged(parent: Parent) -> str:
    return f"incremental: {parent.local.path} is unchanged since backup {parent.entry.backup_id}"


def _why_not(facts: BackupFacts, entry: HeadEntry, what: str) -> str:
    """Why the live backup that should be is not the parent."""
    verdicts = [
        judge_parent(local, entry, facts.received.get(local.uuid))
        for local in facts.subvolumes
        if local.uuid == entry.snapshot_uuid or stands_for(local, entry)
    ]
    if not verdicts:
        return f"the snapshot of {what} {entry.backup_id} is not on this filesystem"
    if any(verdict.valid for verdict in verdicts):
        return f"{what} {entry.backup_id} is of another lineage or its chain is broken"
    return f"{what} {entry.backup_id} cannot be built on: {verdicts[0].reason}"


def _span(span: timedelta) -> str:
    if span < timedelta(days=2):
        return f"{span.total_seconds() / 3600:.0f} h"
    return f"{span.days} days"
