"""The JSON forms of every result. They are stable: keys are added, never renamed or removed.

Sizes end in ``_bytes``, lengths of time in ``_s`` (seconds), times in ``_time`` (RFC 3339, UTC).
A document has ``error`` if and only if the program ends non-zero.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from btrfs_to_s3.cli.exit_codes import Failure
from btrfs_to_s3.model.identity import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.operations.backup.run import SourceOutcome
    from btrfs_to_s3.operations.prune.holds import Hold, HoldChange, HoldListing
    from btrfs_to_s3.operations.repository.listing import Listing, ShownBackup, Unreadable
    from btrfs_to_s3.operations.restore.compare import TreeComparison
    from btrfs_to_s3.operations.restore.restore import RestoreResult
    from btrfs_to_s3.plan.restore.restore import RestorePlan

Document = dict[str, object]


def of_failure(failure: Failure) -> Document:
    """A document that only says why there is no result."""
    return {"error": error(failure)}


def with_failure(document: Document, failure: Failure | None) -> Document:
    """A result, with the error it ends in."""
    return document if failure is None else {**document, "error": error(failure)}


def error(failure: Failure) -> Document:
    """Why the program, or its work on one source, failed."""
    return {
        "code": int(failure.code),
        "kind": failure.kind,
        "message": failure.message,
        "hint": failure.hint,
        "context": {name: _plain(value) for name, value in failure.context.items()},
    }


def of_outcomes(
    repository: str,
    outcomes: Sequence[SourceOutcome],
    failures: Mapping[str, Failure],
    not_attempted: Sequence[str],
    peak_bytes: int | None,
    *,
    dry_run: bool,
) -> Document:
    """A backup run, or what one would do; ``failures`` by label."""
    return {
        "repository": repository,
        "dry_run": dry_run,
        "sources": [_outcome(outcome, failures.get(outcome.label)) for outcome in outcomes],
        "not_attempted": list(not_attempted),
        "peak_memory_bytes": peak_bytes,
    }


def of_listing(
    repository: str, listing: Listing, held: Collection[BackupId] | None = None
) -> Document:
    """Sources with their backups, oldest first; ``held`` is None where nobody looked."""
    return {
        "repository": repository,
        "sources": [
            {
                **_source(head),
                "backups": [
                    {
                        **entry_of(entry),
                        "held": None if held is None else entry.backup_id in held,
                    }
                    for entry in _ordered(head)
                ],
            }
            for head in listing.heads
        ],
        "unreadable": [unreadable(each) for each in listing.unreadable],
    }


def of_shown(repository: str, shown: ShownBackup, hold: Hold | None = None) -> Document:
    """One backup: what the head and the manifest say, and what restoring it takes."""
    manifest = shown.manifest
    return {
        "repository": repository,
        "source": _source(shown.head),
        "backup": {
            **entry_of(shown.entry),
            "snapshot_name": manifest.snapshot.name,
            "stream_transid": manifest.stream.transid,
            "stream_parent_uuid": _optional(manifest.stream.parent_uuid),
            "send_protocol": manifest.protocol,
            "compressed_data": manifest.compressed_data,
            "chunk_size_bytes": manifest.chunk_size_bytes,
            "metadata_class": manifest.metadata_class,
            "requests": dict(manifest.requests),
            "started_time": time(manifest.started),
            "duration_s": seconds(manifest.finished - manifest.started),
            "program": manifest.program,
            "kernel": manifest.kernel,
            "btrfs_progs": manifest.progs,
            "manifest_sha256": shown.entry.manifest_sha256_hex,
            "index_key": manifest.index.key,
            "catalog_key": None if manifest.catalog is None else manifest.catalog.key,
            "origin_repository_id": manifest.origin_repository_id,
        },
        "hold": None if hold is None else of_hold(hold),
        "chain": [entry_of(entry) for entry in shown.chain],
        "restore_raw_size_bytes": sum(entry.raw_size_bytes for entry in shown.chain),
        "restore_stored_size_bytes": sum(entry.stored_size_bytes for entry in shown.chain),
    }


def of_holds(repository: str, found: HoldListing) -> Document:
    """The backups that are held."""
    return {
        "repository": repository,
        "holds": [of_hold(hold) for hold in found.holds],
        "unreadable": [unreadable(each) for each in found.listing.unreadable],
    }


def of_hold_change(repository: str, change: HoldChange, *, held: bool) -> Document:
    """What a hold or its removal left."""
    return {
        "repository": repository,
        "source_id": str(change.source_id),
        "backup_id": str(change.entry.backup_id),
        "held": held,
        "changed": change.changed,
        "note_time": time(change.time),
    }


def of_hold(hold: Hold) -> Document:
    """A held backup, and what was noted about it."""
    return {
        "source_id": str(hold.source_id),
        "backup_id": str(hold.backup_id),
        "since_time": time(hold.since),
        "reason": hold.reason,
        "writer": hold.writer,
    }


def of_restore(
    repository: str, result: RestoreResult, requests: Mapping[str, int], peak_bytes: int | None
) -> Document:
    """What a restore left and did."""
    return {
        "repository": repository,
        "dry_run": False,
        "source_id": str(result.source_id),
        "backup_id": str(result.backup_id),
        "snapshot": str(result.snapshot),
        "writable": _optional(result.writable),
        "received": [str(backup_id) for backup_id in result.received],
        "raw_size_bytes": result.raw_size_bytes,
        "stored_size_bytes": result.stored_size_bytes,
        "compared": _compared(result.compared),
        "requests": dict(requests),
        **_speed(result.raw_size_bytes, result.duration),
        "peak_memory_bytes": peak_bytes,
    }


def of_restore_plan(
    repository: str, head: Head, entry: HeadEntry, directory: str, plan: RestorePlan
) -> Document:
    """What a restore would do."""
    return {
        "repository": repository,
        "dry_run": True,
        "source_id": str(head.source_id),
        "backup_id": str(entry.backup_id),
        "target": directory,
        "links": [
            {
                "backup_id": str(link.entry.backup_id),
                "action": link.action.name.lower(),
                "reason": link.reason,
                "local": None if link.local is None else link.local.path,
                "raw_size_bytes": link.entry.raw_size_bytes,
                "stored_size_bytes": link.entry.stored_size_bytes,
            }
            for link in plan.links
        ],
        "raw_size_bytes": plan.raw_size_bytes,
        "stored_size_bytes": plan.stored_size_bytes,
    }


def entry_of(entry: HeadEntry) -> Document:
    """A live backup as the head lists it."""
    return {
        "backup_id": str(entry.backup_id),
        "kind": kind(entry.kind),
        "parent": _optional(entry.parent),
        "sequence": entry.sequence,
        "snapshot_time": time(entry.snapshot_time),
        "finished_time": time(entry.finished),
        "raw_size_bytes": entry.raw_size_bytes,
        "stored_size_bytes": entry.stored_size_bytes,
        "chunk_count": entry.chunk_count,
        "storage_class": entry.data_class,
        "snapshot_uuid": str(entry.snapshot_uuid),
        "stream_uuid": str(entry.stream.uuid),
    }


def kind(which: Kind | None) -> str | None:
    """``full`` or ``incremental``."""
    if which is None:
        return None
    return "full" if which is Kind.FULL else "incremental"


def time(moment: datetime) -> str:
    """RFC 3339 in UTC, microseconds only where there are some."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def time_or_none(moment: datetime | None) -> str | None:
    """``time``; null where there is none."""
    return None if moment is None else time(moment)


def seconds(length: timedelta) -> float:
    """A length of time to the millisecond."""
    return round(length.total_seconds(), 3)


def _outcome(outcome: SourceOutcome, failure: Failure | None) -> Document:
    plan, result = outcome.plan, outcome.result
    document: Document = {
        "label": outcome.label,
        "path": str(outcome.path),
        "source_id": _optional(outcome.source_id),
        "decision": None if plan is None else plan.decision.value,
        "reasons": [] if plan is None else list(plan.reasons),
        "kind": None if plan is None else kind(plan.kind),
        "parent": _optional(plan.parent.entry.backup_id if plan and plan.parent else None),
        "estimate_bytes": None if plan is None else plan.estimate_bytes,
        "backup": None,
        "pruned_local": list(outcome.pruned_local),
        "error": None if failure is None else error(failure),
    }
    if result is not None:
        document["backup"] = {
            "backup_id": str(result.backup_id),
            "kind": kind(result.kind),
            "resumed": result.resumed,
            "raw_size_bytes": result.raw_size_bytes,
            "stored_size_bytes": result.stored_size_bytes,
            "reused_bytes": result.reused_bytes,
            "reused_chunk_count": result.reused_chunk_count,
            "chunk_count": result.chunk_count,
            "requests": dict(result.requests),
            "retry_count": result.retry_count,
            **_speed(result.raw_size_bytes, result.duration),
        }
    return document


def _compared(found: TreeComparison | None) -> Document | None:
    """None where nothing was compared; differences are an error and never get here."""
    if found is None:
        return None
    return {"entry_count": found.entries, "content_count": found.contents}


def _speed(raw_bytes: int, duration: timedelta) -> Document:
    took_s = duration.total_seconds()
    return {
        "duration_s": seconds(duration),
        "throughput_bytes_per_s": round(raw_bytes / took_s) if took_s > 0 else None,
    }


def _source(head: Head) -> Document:
    return {
        "source_id": str(head.source_id),
        "label": head.source_id.label,
        "host": head.host_name,
        "sequence": head.sequence,
        "subvolume_uuid": str(head.subvolume_uuid),
        "written_time": time(head.written),
        "writer": head.writer,
    }


def unreadable(each: Unreadable) -> Document:
    """A source whose head cannot be relied on."""
    return {"source_id": str(each.source_id), "error": error(Failure.of(each.error))}


def _ordered(head: Head) -> list[HeadEntry]:
    return sorted(head.backups, key=lambda entry: entry.sequence)


def _optional(value: object) -> str | None:
    return None if value is None else str(value)


def _plain(value: object) -> object:
    """A context's value as JSON has it; anything unusual as its text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return str(value)
