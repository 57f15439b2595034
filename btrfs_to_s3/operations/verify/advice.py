"""From what is wrong to what a person can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.operations.verify.report import Finding, Problem, Raw
from btrfs_to_s3.plan.chain import chain_in, descendants

if TYPE_CHECKING:
    from collections.abc import Collection

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.operations.verify.report import Findings

_FULL = "make a new full backup: btrfs-to-s3 backup --full PATH"


def advised(source_id: SourceId, head: Head | None, findings: Findings) -> list[Finding]:
    """The findings of one source, each with its advice; faults first."""
    broken = {
        raw.backup_id
        for raw in findings.raw
        if raw.backup_id is not None and not raw.problem.restorable
    }
    restorable = _restorable(head, broken)
    raws = sorted(findings.raw, key=lambda raw: list(Problem).index(raw.problem))
    for backup_id, more in findings.left_out():
        raws.append(Raw(Problem.CHUNK_MISSING, backup_id, None, f"{more} more objects are wrong"))
    return [
        Finding(
            problem=raw.problem,
            source_id=source_id,
            backup_id=raw.backup_id,
            key=raw.key,
            message=raw.message,
            advice=raw.advice or _advice(source_id, head, raw, restorable),
        )
        for raw in raws
    ]


def _restorable(head: Head | None, broken: Collection[BackupId]) -> list[HeadEntry]:
    """Backups whose whole chain is sound, as far as this verification looked."""
    if head is None:
        return []
    entries = {entry.backup_id: entry for entry in head.backups}
    sound: list[HeadEntry] = []
    for entry in head.backups:
        try:
            chain = chain_in(entries, entry.backup_id)
        except IntegrityError:
            continue
        if not any(link.backup_id in broken for link in chain):
            sound.append(entry)
    return sound


def _advice(source_id: SourceId, head: Head | None, raw: Raw, restorable: list[HeadEntry]) -> str:
    if raw.backup_id is None or head is None:
        return _FULL
    if raw.problem.restorable:
        return "this backup can still be restored"
    needing = _needing(head, raw.backup_id)
    lines = [
        f"it and the {len(needing)} backups built on it cannot be restored"
        if needing
        else "this backup cannot be restored"
    ]
    newest = max(restorable, key=lambda entry: entry.sequence, default=None)
    if newest is None:
        lines.append(f"no other backup of {source_id} can either")
    else:
        address = f"{source_id}@{newest.backup_id}"
        lines.append(f"the newest that can: btrfs-to-s3 restore {address} --target DIR")
    lines.append("on a versioned bucket, restore the object's older version")
    if head.newest not in restorable:
        lines.append(_FULL)
    return "; ".join(lines)


def _needing(head: Head, backup_id: BackupId) -> tuple[HeadEntry, ...]:
    try:
        return descendants(head, backup_id)
    except IntegrityError:
        return ()
