"""What a backup run should do with one source, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from btrfs_to_s3.model.identity import Kind
from btrfs_to_s3.model.policy import FullBackups
from btrfs_to_s3.model.subvolume import TOP_LEVEL_ID
from btrfs_to_s3.plan.backup.compaction import decide_compaction
from btrfs_to_s3.plan.backup.decision import Decision
from btrfs_to_s3.plan.backup.estimate import estimate_bytes, estimate_stored_bytes
from btrfs_to_s3.plan.backup.growth import choose_parent
from btrfs_to_s3.plan.backup.parents import judge_parent
from btrfs_to_s3.plan.backup.resume import GivenUp, Resumption, judge_journal
from btrfs_to_s3.plan.refusal import Refusal

if TYPE_CHECKING:
    from datetime import datetime

    from btrfs_to_s3.model.backup import HeadEntry
    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.plan.backup.facts import BackupFacts, BackupWishes
    from btrfs_to_s3.plan.backup.parents import Parent

_TOP_LEVEL = (
    "the source is the filesystem's top level, where the snapshots themselves lie: whether "
    "anything else changed cannot be known"
)


@dataclass(frozen=True, slots=True)
class BackupPlan:
    """The decision for one source with its reasons, short sentences for people.

    ``kind`` is None when nothing is sent. ``snapshot`` is the existing one to send; None means
    take one (or send nothing). ``relies_on`` is the live backup whose chain must be whole for the
    plan to be sound: the parent, or the one that makes a new one unnecessary. ``discard_journal``
    says that an open journal is of no more use; it is only carried out when the plan is.
    ``estimate_bytes`` counts raw bytes and ``estimate_stored_bytes`` what they become, None when
    nothing is known. ``refusal`` is given with ``REFUSE`` only.
    """

    decision: Decision
    reasons: tuple[str, ...]
    kind: Kind | None = None
    parent: Parent | None = None
    snapshot: Subvolume | None = None
    relies_on: HeadEntry | None = None
    discard_journal: bool = False
    estimate_bytes: int | None = None
    estimate_stored_bytes: int | None = None
    refusal: Refusal | None = None


def plan_backup(facts: BackupFacts, wishes: BackupWishes, now: datetime) -> BackupPlan:
    """Decide what to send for one source. ``now`` is when a new snapshot would be taken.

    An upload that can go on comes before anything else that is due.
    """
    refusal = _refused(facts, wishes)
    if refusal is not None:
        return BackupPlan(Decision.REFUSE, (refusal.reason,), refusal=refusal)
    journal = judge_journal(facts, wishes, now)
    if isinstance(journal, Resumption):
        return _resumed(facts, journal)
    given_up = () if journal is None else (_given_up(journal),)
    skip = _nothing_due(facts, wishes)
    if skip is not None:
        stored, why_skipped = skip
        return BackupPlan(
            Decision.SKIP,
            (*given_up, why_skipped),
            relies_on=stored,
            discard_journal=bool(given_up),
        )
    taken = wishes.snapshot.otime if wishes.snapshot is not None else now
    parent, why = _unless_compacted(facts, wishes, taken)
    kind = Kind.FULL if parent is None else Kind.INCREMENTAL
    return BackupPlan(
        Decision.FULL if parent is None else Decision.INCREMENTAL,
        (*given_up, *why, *_unknowable(facts, wishes)),
        kind=kind,
        parent=parent,
        snapshot=wishes.snapshot,
        relies_on=_entry_of(parent),
        discard_journal=bool(given_up),
        estimate_bytes=estimate_bytes(facts.head, kind),
        estimate_stored_bytes=estimate_stored_bytes(facts.head, kind),
    )


def plan_anew(facts: BackupFacts, wishes: BackupWishes, missing: str, now: datetime) -> BackupPlan:
    """Decide again once the chain that the first plan relies on is known to have lost something.

    ``missing`` says what. A full backup, which relies on nothing; but a given snapshot that is
    stored already cannot be stored a second time.
    """
    plan = plan_backup(facts, replace(wishes, full=True), now)
    if plan.decision is not Decision.SKIP or wishes.snapshot is None:
        return replace(plan, reasons=(f"full: {missing}",))
    refusal = Refusal(
        f"{_path(wishes.snapshot)} is stored already, but cannot be restored: {missing}",
        "give another snapshot of the source, or leave --snapshot out to have one taken",
    )
    return BackupPlan(Decision.REFUSE, (refusal.reason,), refusal=refusal)


def _unless_compacted(
    facts: BackupFacts, wishes: BackupWishes, taken: datetime
) -> tuple[Parent | None, tuple[str, ...]]:
    """``choose_parent``, but a full backup where it pays and the policy lets the planner choose."""
    parent, why = choose_parent(facts, wishes, taken)
    if parent is None or wishes.chain.full is not FullBackups.AUTO or wishes.economy is None:
        return parent, why
    decision = decide_compaction(facts.head, wishes.chain, wishes.economy, taken)
    if decision.worthwhile:
        return None, (f"full: full is auto, and {decision.reason}",)
    return parent, (*why, f"full is auto, but {decision.reason}")


def activity_of(plan: BackupPlan) -> str:
    """What a plan that sends something does, in a few words."""
    kind = "" if plan.kind is None else plan.kind.name.lower()
    return f"{kind} backup{', resumed' if plan.decision is Decision.RESUME else ''}"


def _resumed(facts: BackupFacts, upload: Resumption) -> BackupPlan:
    why = f"its snapshot {upload.snapshot.path} is unchanged"
    return BackupPlan(
        Decision.RESUME,
        (f"the interrupted upload of {upload.journal.backup_id} goes on: {why}",),
        kind=upload.journal.kind,
        parent=upload.parent,
        snapshot=upload.snapshot,
        relies_on=_entry_of(upload.parent),
        estimate_bytes=estimate_bytes(facts.head, upload.journal.kind),
        estimate_stored_bytes=estimate_stored_bytes(facts.head, upload.journal.kind),
    )


def _entry_of(parent: Parent | None) -> HeadEntry | None:
    return None if parent is None else parent.entry


def _given_up(upload: GivenUp) -> str:
    return f"the interrupted upload of {upload.journal.backup_id} is given up: {upload.reason}"


def _refused(facts: BackupFacts, wishes: BackupWishes) -> Refusal | None:
    given = wishes.snapshot
    refused = refuse_source(facts.source, given)
    return refused or (_given_refused(given, facts) if given is not None else None)


def refuse_source(source: Subvolume, given: Subvolume | None = None) -> Refusal | None:
    """Why no snapshot of the source, or not the ``given`` one, can be sent as a backup of it."""
    if source.received_uuid is not None and not source.readonly:
        # Read-only snapshots inherit a received_uuid, and send puts it into the stream.
        if given is None or given.received_uuid == source.received_uuid:
            return Refusal(
                f"{_path(source)} is writable and carries a received_uuid: all its snapshots "
                "would claim to be one stream",
                "put a writable snapshot of it in its place (btrfs subvolume snapshot): that "
                "has an identity of its own",
            )
    elif source.received_uuid is not None and given is None:
        return Refusal(
            f"{_path(source)} is itself a received read-only snapshot",
            "send it as it is: give its path with --snapshot",
        )
    return None


def _given_refused(given: Subvolume, facts: BackupFacts) -> Refusal | None:
    if not given.readonly:
        return Refusal(
            f"{_path(given)} is writable",
            "give a read-only snapshot, or leave --snapshot out to have one taken",
        )
    if not _is_of_source(given, facts):
        return Refusal(
            f"{_path(given)} is not a snapshot of {_path(facts.source)}",
            "give a snapshot of this source, or back up the subvolume it is one of",
        )
    twin = _same_stream(given, facts)
    if twin is not None:
        return Refusal(
            f"{_path(given)} has the stream uuid of backup {twin.backup_id} but may differ from "
            "it: a restore could not tell the two apart",
            "give another snapshot, or one of a writable snapshot of it",
        )
    return None


def _is_of_source(given: Subvolume, facts: BackupFacts) -> bool:
    """Whether it is the source, its snapshot, what it was made from, or of its predecessor."""
    source, head = facts.source, facts.head
    if given.uuid in (source.uuid, source.parent_uuid):
        return True
    if given.parent_uuid is None:
        return False
    return given.parent_uuid == source.uuid or (
        head is not None and given.parent_uuid == head.subvolume_uuid
    )


def _same_stream(given: Subvolume, facts: BackupFacts) -> HeadEntry | None:
    """A live backup with the given snapshot's stream uuid that it is no valid counterpart of."""
    entries = facts.head.backups if facts.head is not None else ()
    same = [entry for entry in entries if entry.stream.uuid == given.stream_uuid]
    if any(_is_backed_up_as(given, entry, facts) for entry in same):
        return None
    return same[0] if same else None


def _is_backed_up_as(local: Subvolume, entry: HeadEntry, facts: BackupFacts) -> bool:
    return judge_parent(local, entry, facts.received.get(local.uuid)).valid


def _nothing_due(facts: BackupFacts, wishes: BackupWishes) -> tuple[HeadEntry, str] | None:
    """The backup that holds it all and why; None when there is no such one, or none is known."""
    head, source, given = facts.head, facts.source, wishes.snapshot
    if head is None:
        return None
    if given is not None:
        # Sent again it would be a second live backup of one stream: --force changes nothing.
        for entry in head.backups:
            if _is_backed_up_as(given, entry, facts):
                return entry, f"{_path(given)} is already stored as backup {entry.backup_id}"
        return None
    newest = head.newest
    if newest is None or wishes.force or wishes.full or source.id == TOP_LEVEL_ID:
        return None
    for local in facts.subvolumes:
        # A snapshot takes its source's ctransid and commits the transaction, so every later
        # change gets a higher one (create_pending_snapshot, fs/btrfs/transaction.c).
        related = local.parent_uuid == source.uuid or source.parent_uuid == local.uuid
        if related and local.ctransid == source.ctransid and _is_backed_up_as(local, newest, facts):
            return newest, f"nothing changed since backup {newest.backup_id}"
    return None


def _unknowable(facts: BackupFacts, wishes: BackupWishes) -> tuple[str, ...]:
    at_top = facts.source.id == TOP_LEVEL_ID and wishes.snapshot is None
    return (_TOP_LEVEL,) if at_top and facts.head is not None else ()


def _path(subvolume: Subvolume) -> str:
    return subvolume.path or "the filesystem's top level"
