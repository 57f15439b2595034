"""Chains: a backup and its ancestors back to a full one."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.model.identity import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from btrfs_to_s3.model.backup import Head, HeadEntry, Manifest
    from btrfs_to_s3.model.identity import BackupId

HashedManifest = tuple["Manifest", str]
"""A manifest and the hex SHA-256 of the object it was read from."""

_DAMAGED = "run 'btrfs-to-s3 verify'; a damaged head can be rebuilt from the manifests"


def entries_by_id(head: Head) -> dict[BackupId, HeadEntry]:
    """The head's live backups by id; ``IntegrityError`` when it lists one twice."""
    entries = {entry.backup_id: entry for entry in head.backups}
    if len(entries) != len(head.backups):
        raise IntegrityError(
            f"the head of {head.source_id} lists a backup more than once", hint=_DAMAGED
        )
    return entries


def chain_of(head: Head, backup_id: BackupId) -> tuple[HeadEntry, ...]:
    """The backup and its ancestors, the full one first.

    ``IntegrityError`` when the backup or an ancestor is not live, when parents form a cycle, or
    when a backup's kind and its having a parent disagree.
    """
    return chain_in(entries_by_id(head), backup_id)


def chain_in(entries: Mapping[BackupId, HeadEntry], backup_id: BackupId) -> tuple[HeadEntry, ...]:
    """``chain_of`` over entries already sorted by id, for callers that ask for many chains."""
    chain: list[HeadEntry] = []
    seen: set[BackupId] = set()
    wanted: BackupId | None = backup_id
    while wanted is not None:
        if wanted in seen:
            raise IntegrityError(f"the ancestors of backup {backup_id} form a cycle", hint=_DAMAGED)
        entry = entries.get(wanted)
        if entry is None:
            raise IntegrityError(_missing(backup_id, wanted), hint=_DAMAGED)
        if (entry.parent is None) != (entry.kind is Kind.FULL):
            raise IntegrityError(_wrong_kind(entry.backup_id, entry.kind), hint=_DAMAGED)
        seen.add(wanted)
        chain.append(entry)
        wanted = entry.parent
    chain.reverse()
    return tuple(chain)


def descendants(head: Head, backup_id: BackupId) -> tuple[HeadEntry, ...]:
    """Every live backup that needs this one, each after all that need it (removal order)."""
    children: dict[BackupId, list[HeadEntry]] = {}
    for entry in head.backups:
        if entry.parent is not None:
            children.setdefault(entry.parent, []).append(entry)
    found: dict[BackupId, HeadEntry] = {}
    waiting = list(children.get(backup_id, ()))
    while waiting:
        entry = waiting.pop()
        if entry.backup_id in found or entry.backup_id == backup_id:
            raise IntegrityError(
                f"the descendants of backup {backup_id} form a cycle", hint=_DAMAGED
            )
        found[entry.backup_id] = entry
        waiting.extend(children.get(entry.backup_id, ()))
    return tuple(reversed(found.values()))


def live_chains(head: Head) -> dict[BackupId, tuple[HeadEntry, ...]]:
    """The chain of every live backup that is no other's parent, by that backup's id.

    ``IntegrityError`` when any of them is not complete.
    """
    entries = entries_by_id(head)
    parents = {entry.parent for entry in head.backups}
    chains = {
        backup_id: chain_in(entries, backup_id) for backup_id in entries if backup_id not in parents
    }
    covered = {entry.backup_id for chain in chains.values() for entry in chain}
    for backup_id in entries:
        if backup_id not in covered:
            chain_in(entries, backup_id)  # on no tip's chain: only a cycle leaves one out
    return chains


def link_fault(child: HashedManifest, parent: HashedManifest | None) -> str | None:
    """Why ``child`` does not continue ``parent`` (None: a full one must stand alone), or None.

    The parent transid is compared only where both were snapshots of the same subvolume: send
    writes the parent's local ctransid into the stream (``send_subvol_begin``, fs/btrfs/send.c),
    and in a received parent, as after a disaster restore, that is the other filesystem's number.
    """
    manifest, _ = child
    if manifest.source_id != (parent[0] if parent else manifest).source_id:
        return f"backup {manifest.backup_id} belongs to another source than its parent"
    if (manifest.parent is None) != (manifest.kind is Kind.FULL):
        return _wrong_kind(manifest.backup_id, manifest.kind)
    if manifest.parent is None:
        return None if parent is None else f"backup {manifest.backup_id} is full: it has no parent"
    if parent is None or manifest.parent != parent[0].backup_id:
        return _missing(manifest.backup_id, manifest.parent)
    return _stream_fault(manifest, *parent)


def _stream_fault(child: Manifest, parent: Manifest, parent_sha256_hex: str) -> str | None:
    name = f"backup {child.backup_id}"
    if child.parent_manifest_sha256_hex != parent_sha256_hex:
        return f"{name} was made on another manifest of {parent.backup_id} than the one stored now"
    if child.stream.parent_uuid != parent.stream.uuid:
        return f"the stream of {name} needs a parent that {parent.backup_id} is not"
    if child.stream.uuid == parent.stream.uuid:
        return f"the stream of {name} has the same uuid as its parent's"
    source = child.snapshot.parent_uuid
    same_source = source is not None and source == parent.snapshot.parent_uuid
    if same_source and child.stream.parent_transid != parent.stream.transid:
        return f"the stream of {name} needs another state of {parent.backup_id} than was stored"
    return None


def link_faults(manifests: Sequence[HashedManifest]) -> tuple[str, ...]:
    """What breaks a chain of manifests, given the full one first; empty when it holds."""
    if not manifests:
        return ()
    first = link_fault(manifests[0], None)
    links = (link_fault(child, parent) for parent, child in pairwise(manifests))
    return tuple(fault for fault in (first, *links) if fault is not None)


def check_links(manifests: Sequence[HashedManifest]) -> None:
    """``IntegrityError`` unless the manifests, the full one first, form one chain by hash and uuid.

    That they are the ones the head names is checked where they are read, by their SHA-256.
    """
    faults = link_faults(manifests)
    if faults:
        raise IntegrityError(
            "; ".join(faults), hint="restore another backup; 'btrfs-to-s3 verify' lists them"
        )


def _missing(backup_id: BackupId, ancestor: BackupId) -> str:
    if ancestor == backup_id:
        return f"backup {backup_id} is not live"
    return f"backup {backup_id} needs {ancestor}, which is not live"


def _wrong_kind(backup_id: BackupId, kind: Kind) -> str:
    what = "full but names a parent" if kind is Kind.FULL else "incremental but names no parent"
    return f"backup {backup_id} is {what}"
