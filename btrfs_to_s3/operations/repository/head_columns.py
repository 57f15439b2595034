"""A head in columns: one list for each member of its entries, which JSON reads back quickly.

For the local cache only. What is decoded was encoded by this module from a head that had been
checked, and has the digest it had then; so nothing is checked again but its form.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from btrfs_to_s3.errors import IntegrityError
from btrfs_to_s3.model.backup import Head, HeadEntry, RequestRecord, StreamIdentity
from btrfs_to_s3.model.identity import BackupId, Kind, SourceId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LAYOUT: Final = 2
"""Grows with every change of what is written here."""
READABLE: Final = frozenset({1, LAYOUT})
"""Others are not read. 1 has no requests, so those are unknown, as in heads of that time."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_KINDS: Final = {kind.value: kind for kind in Kind}
_PLAIN: Final = (
    "sequence",
    "manifest_sha256_hex",
    "snapshot_ctransid",
    "raw_size_bytes",
    "stored_size_bytes",
    "chunk_count",
    "data_class",
)
"""Members of an entry that JSON has as they are."""


def encode_columns(head: Head) -> bytes:
    """The head's bytes for the cache."""
    entries = head.backups
    parents = (entry.parent for entry in entries if entry.parent is not None)
    ids = dict.fromkeys([*(entry.backup_id for entry in entries), *parents])
    uuids = dict.fromkeys(
        uuid
        for entry in entries
        for uuid in (entry.snapshot_uuid, entry.stream.uuid, entry.stream.parent_uuid)
        if uuid is not None
    )
    id_place = {backup_id: place for place, backup_id in enumerate(ids)}.get
    uuid_place = {uuid: place for place, uuid in enumerate(uuids)}.get
    members = {
        "source": [head.source_id.label, head.source_id.suffix],
        "repository_id": head.repository_id,
        "sequence": head.sequence,
        "host_id": head.host_id,
        "host_name": head.host_name,
        "subvolume": str(head.subvolume_uuid),
        "writer": head.writer,
        "written": _instant(head.written),
        "ids": [
            [_instant(each.time) for each in ids],
            [each.kind.value for each in ids],
            [each.tag for each in ids],
        ],
        "uuids": [uuid.hex for uuid in uuids],
        "own": [id_place(entry.backup_id) for entry in entries],
        "parent": [None if entry.parent is None else id_place(entry.parent) for entry in entries],
        "snapshot": [uuid_place(entry.snapshot_uuid) for entry in entries],
        "stream": [
            [uuid_place(entry.stream.uuid) for entry in entries],
            [entry.stream.transid for entry in entries],
            [_place(entry.stream.parent_uuid, uuid_place) for entry in entries],
            [entry.stream.parent_transid for entry in entries],
        ],
        "kind": [entry.kind.value for entry in entries],
        "taken": [_instant(entry.snapshot_time) for entry in entries],
        "finished": [_instant(entry.finished) for entry in entries],
        "requests": [_record(entry.requests) for entry in entries],
        "plain": [list(map(attrgetter(name), entries)) for name in _PLAIN],
    }
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def decode_columns(data: bytes) -> Head:
    """The head that ``encode_columns`` was given; ``IntegrityError`` for anything else."""
    try:
        members = json.loads(data)
        return Head(
            source_id=SourceId(*members["source"]),
            repository_id=members["repository_id"],
            sequence=members["sequence"],
            host_id=members["host_id"],
            host_name=members["host_name"],
            subvolume_uuid=UUID(members["subvolume"]),
            writer=members["writer"],
            written=_time(members["written"]),
            backups=tuple(_entries(members)),
        )
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise IntegrityError(f"the cached head is of another form: {error}") from error


def _entries(members: dict[str, Any]) -> Iterable[HeadEntry]:
    times, kinds, tags = members["ids"]
    ids = [
        BackupId(_time(time), _KINDS[kind], tag)
        for time, kind, tag in zip(times, kinds, tags, strict=True)
    ]
    uuids = [UUID(hex=each) for each in members["uuids"]]
    streams = [
        StreamIdentity(uuids[uuid], transid, None if above is None else uuids[above], transid_above)
        for uuid, transid, above, transid_above in zip(*members["stream"], strict=True)
    ]
    columns = (
        members["own"],
        members["parent"],
        streams,
        members["snapshot"],
        members["kind"],
        members["taken"],
        members["finished"],
        members.get("requests") or [None] * len(members["own"]),
        *members["plain"],
    )
    for own, parent, stream, snapshot, kind, taken, finished, made, *plain in zip(
        *columns, strict=True
    ):
        sequence, sha256_hex, ctransid, raw, stored, chunks, data_class = plain
        yield HeadEntry(
            ids[own],
            None if parent is None else ids[parent],
            sequence,
            _KINDS[kind],
            sha256_hex,
            stream,
            uuids[snapshot],
            ctransid,
            _time(taken),
            _time(finished),
            raw,
            stored,
            chunks,
            data_class,
            None if made is None else RequestRecord(*made),
        )


def _record(requests: RequestRecord | None) -> tuple[object, ...] | None:
    if requests is None:
        return None
    return dict(requests.counts), requests.metadata_class, requests.metadata_objects


def _place(uuid: UUID | None, place: Callable[[UUID], int | None]) -> int | None:
    return None if uuid is None else place(uuid)


def _instant(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _time(instant: int) -> datetime:
    return _EPOCH + timedelta(microseconds=instant)
