"""Which stored source a local subvolume continues: by uuids, never by name, path or clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from btrfs_to_s3.plan.backup.parents import stands_for
from btrfs_to_s3.plan.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from btrfs_to_s3.model.backup import Head, HeadEntry
    from btrfs_to_s3.model.identity import SourceId
    from btrfs_to_s3.model.subvolume import Subvolume


@dataclass(frozen=True, slots=True)
class SourceQuery:
    """A local subvolume to find in the repository.

    ``subvolumes`` are all of its filesystem, ``heads`` all of the repository. ``adopt`` and
    ``new`` are what the person asked for: continue that source, or start another one.
    """

    source: Subvolume
    subvolumes: tuple[Subvolume, ...]
    heads: tuple[Head, ...]
    label: str
    host_id: str
    host_name: str
    adopt: SourceId | None = None
    new: bool = False


@dataclass(frozen=True, slots=True)
class KnownSource:
    """The subvolume continues this stored source."""

    head: Head
    reason: str


@dataclass(frozen=True, slots=True)
class NewSource:
    """The subvolume was never backed up here: a source of this label is to be created."""

    label: str
    reason: str


SourceMatch = KnownSource | NewSource | Refusal


def match_source(query: SourceQuery) -> SourceMatch:
    """Find the stored source by what its streams say, or say why a person must decide."""
    if query.adopt is not None or query.new:
        return _as_asked(query)
    exact = [head for head in query.heads if head.subvolume_uuid == query.source.uuid]
    if exact:
        return _exact(query, exact)
    derived = [(head, why) for head in query.heads if (why := _derivation(query, head))]
    gone = [(head, why) for head, why in derived if _still_here(query, head) is None]
    if len(gone) == 1:
        head, why = gone[0]
        return KnownSource(head, why + _elsewhere(query, head))
    if gone:
        return Refusal(
            f"{_named(query)} descends from backups of more than one source",
            f"choose one with --adopt, or --new: {_ids([head for head, _ in gone])}",
        )
    return _unmatched(query, [head for head, _ in derived])


def _as_asked(query: SourceQuery) -> SourceMatch:
    if query.adopt is not None and query.new:
        return Refusal("--adopt and --new exclude each other", "give one of them")
    if query.adopt is None:
        return NewSource(query.label, "a new source was asked for (--new)")
    for head in query.heads:
        if head.source_id == query.adopt:
            return KnownSource(head, "it was chosen with --adopt" + _elsewhere(query, head))
    known = f"the repository has {_ids(query.heads)}" if query.heads else "it has no sources yet"
    return Refusal(f"there is no source {query.adopt} to adopt", known)


def _exact(query: SourceQuery, heads: Sequence[Head]) -> SourceMatch:
    """Several sources of one subvolume (made with --new): the one it was last backed up to.

    Their newest snapshots were all taken of this one subvolume, whose ctransid only grows, so
    the highest tells which came last without asking a clock.
    """
    last = max(map(_progress, heads))
    newest = [head for head in heads if _progress(head) == last]
    if len(newest) > 1:
        return Refusal(
            f"{_named(query)} was backed up as more than one source",
            f"choose one with --adopt: {_ids(newest)}",
        )
    reason = "its newest backup was taken of this subvolume"
    if len(heads) > 1:
        reason += ", later than those of its other sources"
    return KnownSource(newest[0], reason + _elsewhere(query, newest[0]))


def _progress(head: Head) -> int:
    return head.newest.snapshot_ctransid if head.newest is not None else -1


def _derivation(query: SourceQuery, head: Head) -> str | None:
    """How the subvolume descends from one of the head's backups, or one of them from it."""
    for entry in sorted(head.backups, key=lambda entry: entry.sequence, reverse=True):
        why = _derived_from(query, entry)
        if why is not None:
            return why
    return None


def _derived_from(query: SourceQuery, entry: HeadEntry) -> str | None:
    source = query.source
    if source.parent_uuid is not None and source.parent_uuid == entry.snapshot_uuid:
        return f"it was made from the snapshot of backup {entry.backup_id}"
    for local in query.subvolumes:
        if local.uuid == source.uuid or not stands_for(local, entry):
            continue
        if source.parent_uuid == local.uuid:
            return f"it was made from {local.path}, restored from backup {entry.backup_id}"
        if local.parent_uuid == source.uuid:
            return f"backup {entry.backup_id} was made from its snapshot {local.path}"
    return None


def _still_here(query: SourceQuery, head: Head) -> Subvolume | None:
    """The subvolume that the head last backed up, where it still exists.

    While it does, another subvolume that descends from the same backups is a clone of it: to
    continue its source unasked would mix two subvolumes' backups.
    """
    return next((local for local in query.subvolumes if local.uuid == head.subvolume_uuid), None)


def _unmatched(query: SourceQuery, cloned: Sequence[Head]) -> SourceMatch:
    known = [head for head in query.heads if _is_known_name(query, head)]
    if known:
        return Refusal(_why_not_known(query, known, cloned), _remedy(known))
    if cloned:
        original = _still_here(query, cloned[0])
        where = f" ({original.path or '/'})" if original is not None else ""
        return NewSource(
            query.label,
            f"it descends from backups of {cloned[0].source_id}, whose own subvolume{where} is "
            "still here",
        )
    return NewSource(query.label, "no stored backup leads to it")


def _is_known_name(query: SourceQuery, head: Head) -> bool:
    same_host = head.host_id == query.host_id or head.host_name == query.host_name
    return same_host and head.source_id.label == query.label


def _why_not_known(query: SourceQuery, known: Sequence[Head], cloned: Sequence[Head]) -> str:
    named = f"{query.host_name}/{query.label} was backed up before"
    for head in known:
        original = _still_here(query, head)
        if head in cloned and original is not None:
            return f"{named}, but of the subvolume that is now {original.path or '/'}"
    return f"{named}, but of another subvolume (its uuids do not lead to this one)"


def _remedy(known: Sequence[Head]) -> str:
    choices = " or ".join(f"--adopt {head.source_id}" for head in known)
    return (
        f"{choices} continues it with this subvolume (a full backup where nothing local fits); "
        "--new starts another source"
    )


def _elsewhere(query: SourceQuery, head: Head) -> str:
    if head.host_id == query.host_id:
        return ""
    return f"; it was last written by host {head.host_name}"


def _named(query: SourceQuery) -> str:
    return f"the subvolume {query.source.path or '/'}"


def _ids(heads: Sequence[Head]) -> str:
    return ", ".join(str(head.source_id) for head in heads)
