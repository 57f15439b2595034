"""A lost head, rebuilt from the manifests that are still there (guarantee 1)."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.model.backup import Head, HeadEntry, RequestRecord
from btrfs_to_s3.plan.chain import HashedManifest, link_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from btrfs_to_s3.model.backup import Manifest, SourceRecord
    from btrfs_to_s3.model.identity import BackupId


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A manifest that the rebuilt head does not list, with the reason."""

    backup_id: BackupId
    sha256_hex: str
    reason: str


@dataclass(frozen=True, slots=True)
class RebuiltHead:
    """The head, whose backups all have complete chains, and what was left out of it."""

    head: Head
    left_out: tuple[LeftOut, ...]


def entry_of(manifest: Manifest, sha256_hex: str, sequence: int) -> HeadEntry:
    """The head's line for a backup with this manifest."""
    return HeadEntry(
        backup_id=manifest.backup_id,
        parent=manifest.parent,
        sequence=sequence,
        kind=manifest.kind,
        manifest_sha256_hex=sha256_hex,
        stream=manifest.stream,
        snapshot_uuid=manifest.snapshot.uuid,
        snapshot_ctransid=manifest.snapshot.ctransid,
        snapshot_time=manifest.snapshot.otime,
        finished=manifest.finished,
        raw_size_bytes=manifest.raw_size_bytes,
        stored_size_bytes=manifest.stored_size_bytes,
        chunk_count=manifest.chunk_count,
        data_class=manifest.data_class,
        requests=requests_of(manifest),
    )


def requests_of(manifest: Manifest) -> RequestRecord:
    """The requests that the manifest counts."""
    return RequestRecord(
        manifest.requests, manifest.metadata_class, 1 if manifest.catalog is None else 2
    )


def rebuild_head(
    manifests: Iterable[HashedManifest],
    record: SourceRecord,
    *,
    repository_id: str,
    writer: str,
    written: datetime,
    after_sequence: int = 0,
) -> RebuiltHead:
    """The head that lists every backup of ``record``'s source whose whole chain is present.

    Parents come before children, then order is by snapshot time, start and id; sequence numbers
    are given in that order, so the result does not depend on the order of ``manifests``. Pass the
    sequence of an older copy of the head, where there is one, as ``after_sequence``: the rebuilt
    one then counts as newer.
    """
    candidates, left_out = _distinct(manifests, record)
    ordered = _complete_chains(candidates)
    listed = {manifest.backup_id for manifest, _ in ordered}
    for backup_id, (_, sha256_hex) in candidates.items():
        if backup_id not in listed:
            left_out.append(LeftOut(backup_id, sha256_hex, _why_not(candidates, backup_id)))
    entries = tuple(
        entry_of(manifest, sha256_hex, sequence)
        for sequence, (manifest, sha256_hex) in enumerate(ordered, start=1)
    )
    taken_of = ordered[-1][0].snapshot.parent_uuid if ordered else None
    head = Head(
        source_id=record.source_id,
        repository_id=repository_id,
        sequence=max(len(entries), after_sequence + 1),
        host_id=record.host_id,
        host_name=record.host_name,
        subvolume_uuid=taken_of or record.subvolume_uuid,
        writer=writer,
        written=written,
        backups=entries,
    )
    left_out.sort(key=lambda line: (line.backup_id, line.sha256_hex, line.reason))
    return RebuiltHead(head, tuple(left_out))


def _distinct(
    manifests: Iterable[HashedManifest], record: SourceRecord
) -> tuple[dict[BackupId, HashedManifest], list[LeftOut]]:
    """Manifests of this source by id; two different ones of one id are both left out."""
    by_id: dict[BackupId, dict[str, HashedManifest]] = {}
    left_out: list[LeftOut] = []
    for manifest, sha256_hex in manifests:
        if manifest.source_id == record.source_id:
            by_id.setdefault(manifest.backup_id, {})[sha256_hex] = (manifest, sha256_hex)
        else:
            reason = f"it belongs to {manifest.source_id}"
            left_out.append(LeftOut(manifest.backup_id, sha256_hex, reason))
    candidates: dict[BackupId, HashedManifest] = {}
    for backup_id, variants in by_id.items():
        if len(variants) == 1:
            candidates[backup_id] = next(iter(variants.values()))
            continue
        left_out += [
            LeftOut(backup_id, sha256_hex, "there are different manifests of this id")
            for sha256_hex in variants
        ]
    return candidates, left_out


def _order(manifest: Manifest) -> tuple[datetime, datetime, BackupId]:
    return manifest.snapshot.otime, manifest.started, manifest.backup_id


def _complete_chains(candidates: Mapping[BackupId, HashedManifest]) -> Sequence[HashedManifest]:
    """Those reachable from a full one through sound links, parents first."""
    children: dict[BackupId | None, list[HashedManifest]] = {}
    for hashed in candidates.values():
        parent = candidates.get(hashed[0].parent) if hashed[0].parent else None
        if link_fault(hashed, parent) is None:
            children.setdefault(hashed[0].parent, []).append(hashed)
    ready = [(_order(manifest), digest) for manifest, digest in children.get(None, ())]
    heapq.heapify(ready)
    ordered: list[HashedManifest] = []
    while ready:
        (_, _, backup_id), _ = heapq.heappop(ready)
        ordered.append(candidates[backup_id])
        for manifest, digest in children.get(backup_id, ()):
            heapq.heappush(ready, (_order(manifest), digest))
    return ordered


def _why_not(candidates: Mapping[BackupId, HashedManifest], backup_id: BackupId) -> str:
    hashed = candidates[backup_id]
    wanted = hashed[0].parent
    parent = candidates.get(wanted) if wanted else None
    if wanted is not None and parent is None:
        return f"the manifest of its parent {wanted} is missing"
    fault = link_fault(hashed, parent)
    return fault or f"its parent {wanted} was left out"
