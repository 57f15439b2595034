"""Verifying a repository: presence and links (quick), and every byte (data).

Nothing is written, locally or remotely. A fault in one backup never hides what the others have;
only a repository that cannot be reached, or an interruption, ends the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError, InterruptedRunError
from btrfs_to_s3.operations.verify.advice import advised
from btrfs_to_s3.operations.verify.checksums import check_kept_checksums
from btrfs_to_s3.operations.verify.chunks import ChunkPresence
from btrfs_to_s3.operations.verify.data import DataCheck
from btrfs_to_s3.operations.verify.records import RecordCheck
from btrfs_to_s3.operations.verify.report import (
    Counts,
    Finding,
    Findings,
    Level,
    VerifyReport,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.operations.services import Services


@dataclass(frozen=True, slots=True)
class VerifyWishes:
    """How to verify. ``concurrency`` requests run at a time.

    ``checksums`` asks the service for the SHA-256 it keeps of each chunk, a HEAD each.
    """

    level: Level = Level.QUICK
    checksums: bool = False
    concurrency: int = 4


def verify_quick(
    services: Services,
    sources: Sequence[SourceId],
    *,
    checksums: bool = False,
    concurrency: int = 4,
) -> VerifyReport:
    """Every object of every live backup is there, as recorded, and all links hold.

    Reads heads, manifests and indexes; chunks only from LIST pages. Archived chunks are fine.
    ``RepositoryError`` and ``InterruptedRunError`` end it; what is wrong with stored data is a
    finding.
    """
    wishes = VerifyWishes(Level.QUICK, checksums, concurrency)
    return _verify(services, sources, wishes)


def verify_data(
    services: Services, sources: Sequence[SourceId], *, concurrency: int = 4
) -> VerifyReport:
    """Quick, and every chunk downloaded: all digests, the trailers, the stream's identity and END.

    Memory: ``(concurrency + 2)`` parts and a few frames. Errors as ``verify_quick``; chunks in an
    archive class that are not thawed are a finding of their own kind, and the rest goes on.
    """
    return _verify(services, sources, VerifyWishes(Level.DATA, concurrency=concurrency))


def _verify(services: Services, sources: Sequence[SourceId], wishes: VerifyWishes) -> VerifyReport:
    started = services.clock()
    counts = Counts()
    findings: list[Finding] = []
    for source_id in sources:
        findings += _source(services, source_id, wishes, counts)
    return VerifyReport(wishes.level, counts, tuple(findings), services.clock() - started)


def _source(
    services: Services, source_id: SourceId, wishes: VerifyWishes, counts: Counts
) -> list[Finding]:
    found = Findings()
    counts.sources += 1
    services.reporter.activity(f"verifying {source_id}")
    records = RecordCheck(services, source_id, found, counts)
    head = records.head()
    if head is None:
        return advised(source_id, None, found)
    records.count_surplus(head)
    presence = ChunkPresence(services, source_id, found, counts)
    for entry in sorted(head.backups, key=lambda entry: str(entry.backup_id)):
        _stop_if_asked(services)
        counts.backups += 1
        manifest = records.manifest(head, entry)
        presence.check(entry.backup_id, manifest)
        if manifest is not None and wishes.checksums:
            check_kept_checksums(services, manifest, found, counts, wishes.concurrency)
    presence.finish()
    records.check_links(head)
    if wishes.level is Level.DATA:
        data = DataCheck(services, found, counts, wishes.concurrency)
        for manifest in records.in_sequence(head):
            _stop_if_asked(services)
            data.check(manifest)
    _forget_removed(services, source_id, found)
    return advised(source_id, head, found)


def _forget_removed(services: Services, source_id: SourceId, found: Findings) -> None:
    """Drop what was found of backups that were pruned while they were looked at."""
    if not any(raw.backup_id is not None for raw in found.raw):
        return
    try:
        head = services.access.head(source_id)
    except IntegrityError:
        return
    if head is not None:
        found.keep_only({entry.backup_id for entry in head.backups})


def _stop_if_asked(services: Services) -> None:
    if services.cancel.is_set():
        raise InterruptedRunError("stopped before everything was verified")
