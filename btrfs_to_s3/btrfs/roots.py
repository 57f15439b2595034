"""Subvolumes as the root tree holds them: root items, back references, the uuid tree.

Root items are written by a commit: what a *live* subvolume's ctransid is after an unsynced write
shows only after ``syncfs``. Read-only snapshots and received subvolumes do not have that delay
once they were synced.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from btrfs_to_s3.btrfs import ioctl
from btrfs_to_s3.model.subvolume import TOP_LEVEL_ID, Subvolume

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT_ITEM_KEY: Final = 132
_ROOT_BACKREF_KEY: Final = 144
_UUID_KEY_SUBVOL: Final = 251
_UUID_KEY_RECEIVED: Final = 252

_ROOT_ITEM_V1 = struct.Struct("<160xQ40xQ")
"""generation, flags: what every ``struct btrfs_root_item`` has."""
_ROOT_ITEM_V2 = struct.Struct("<239xQ16s16s16s4Q12xQI")
"""generation_v2, uuid, parent_uuid, received_uuid, c/o/s/rtransid, otime."""
_ROOT_REF = struct.Struct("<QQH")
_SUBVOL_RDONLY = 1 << 0
_NIL = UUID(int=0)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _RootItem:
    """The fields of a root item that a ``Subvolume`` shows; uuids are nil where unset."""

    generation: int
    readonly: bool
    uuid: UUID = _NIL
    parent_uuid: UUID = _NIL
    received_uuid: UUID = _NIL
    ctransid: int = 0
    otransid: int = 0
    stransid: int = 0
    rtransid: int = 0
    otime: datetime = _EPOCH


@dataclass(frozen=True, slots=True)
class _BackReference:
    """Where a subvolume hangs: the parent's id, the directory's inode in it and the name."""

    parent_id: int
    directory_inode: int
    name: str


def _parse_root_item(data: bytes) -> _RootItem:
    generation, flags = _ROOT_ITEM_V1.unpack_from(data)
    readonly = bool(flags & _SUBVOL_RDONLY)
    if len(data) < _ROOT_ITEM_V2.size:
        return _RootItem(generation, readonly)
    generation_v2, uuid, parent, received, ctransid, otransid, stransid, rtransid, sec, nsec = (
        _ROOT_ITEM_V2.unpack_from(data)
    )
    if generation_v2 != generation:  # an old kernel wrote it: the newer fields are not valid
        return _RootItem(generation, readonly)
    return _RootItem(
        generation,
        readonly,
        UUID(bytes=uuid),
        UUID(bytes=parent),
        UUID(bytes=received),
        ctransid,
        otransid,
        stransid,
        rtransid,
        _EPOCH + timedelta(seconds=sec, microseconds=nsec // 1000),
    )


def _parse_back_reference(key: ioctl.Key, data: bytes) -> _BackReference:
    directory_inode, _, size = _ROOT_REF.unpack_from(data)
    name = data[_ROOT_REF.size : _ROOT_REF.size + size]
    return _BackReference(key.offset, directory_inode, name.decode(errors="surrogateescape"))


class RootTree:
    """Reads subvolumes of the filesystem that ``fd`` (its top level, kept open) belongs to."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def subvolumes(self) -> tuple[Subvolume, ...]:
        """Every subvolume that is not being deleted, by ascending id; the top level is first."""
        return tuple(self._read(TOP_LEVEL_ID, ioctl.LAST_SUBVOLUME_ID))

    def by_id(self, subvolume_id: int) -> Subvolume | None:
        """One subvolume, None when it does not exist or is being deleted."""
        items, references = self._items(subvolume_id, subvolume_id)
        while (
            missing := {ref.parent_id for ref in references.values()}
            - references.keys()
            - {TOP_LEVEL_ID}
        ):
            before = len(references)
            for parent_id in missing:
                references |= self._items(parent_id, parent_id)[1]
            if len(references) == before:
                return None
        return next(self._resolve(items, references), None)

    def by_uuid(self, uuid: UUID) -> tuple[int, ...]:
        """Ids the uuid tree lists for a subvolume's own uuid, in its order."""
        return self._uuid_item(uuid, _UUID_KEY_SUBVOL)

    def by_received_uuid(self, uuid: UUID) -> tuple[int, ...]:
        """Ids the uuid tree lists for a received uuid, in its order."""
        return self._uuid_item(uuid, _UUID_KEY_RECEIVED)

    def _uuid_item(self, uuid: UUID, item_type: int) -> tuple[int, ...]:
        objectid, offset = struct.unpack("<QQ", uuid.bytes)
        key = ioctl.Key(objectid, item_type, offset)
        for _, data in ioctl.search(self._fd, ioctl.UUID_TREE_ID, key, key):
            return struct.unpack(f"<{len(data) // 8}Q", data)
        return ()

    def _read(self, first_id: int, last_id: int) -> Iterator[Subvolume]:
        return self._resolve(*self._items(first_id, last_id))

    def _items(
        self, first_id: int, last_id: int
    ) -> tuple[dict[int, _RootItem], dict[int, _BackReference]]:
        items: dict[int, _RootItem] = {}
        references: dict[int, _BackReference] = {}
        first = ioctl.Key(first_id, _ROOT_ITEM_KEY, 0)
        last = ioctl.Key(last_id, _ROOT_BACKREF_KEY, ioctl.MAX_U64)
        for key, data in ioctl.search(self._fd, ioctl.ROOT_TREE_ID, first, last):
            if TOP_LEVEL_ID < key.objectid < ioctl.SUBVOLUME_ROOT_INODE:
                continue  # the kernel's own trees
            if key.type == _ROOT_ITEM_KEY:
                items[key.objectid] = _parse_root_item(data)
            elif key.type == _ROOT_BACKREF_KEY:
                references[key.objectid] = _parse_back_reference(key, data)
        return items, references

    def _resolve(
        self, items: dict[int, _RootItem], references: dict[int, _BackReference]
    ) -> Iterator[Subvolume]:
        directories: dict[tuple[int, int], str | None] = {}
        for subvolume_id, item in sorted(items.items()):
            path = self._path(subvolume_id, references, directories)
            if path is not None:
                yield Subvolume(
                    id=subvolume_id,
                    path=path,
                    uuid=item.uuid,
                    parent_uuid=None if item.parent_uuid == _NIL else item.parent_uuid,
                    received_uuid=None if item.received_uuid == _NIL else item.received_uuid,
                    generation=item.generation,
                    ctransid=item.ctransid,
                    otransid=item.otransid,
                    stransid=item.stransid,
                    rtransid=item.rtransid,
                    otime=item.otime,
                    readonly=item.readonly,
                )

    def _path(
        self,
        subvolume_id: int,
        references: dict[int, _BackReference],
        directories: dict[tuple[int, int], str | None],
    ) -> str | None:
        """A subvolume's path from the top level; None without a back reference or its directory.

        Deleting a subvolume removes the reference at once and the root item much later.
        """
        parts: list[str] = []
        while subvolume_id != TOP_LEVEL_ID:
            reference = references.get(subvolume_id)
            if reference is None:
                return None
            where = (reference.parent_id, reference.directory_inode)
            if where not in directories:
                directories[where] = self._directory(*where)
            directory = directories[where]
            if directory is None:
                return None
            parts += [reference.name, directory]
            subvolume_id = reference.parent_id
        return "/".join(part for part in reversed(parts) if part)

    def _directory(self, tree_id: int, inode: int) -> str | None:
        try:
            return ioctl.path_in_tree(self._fd, tree_id, inode)
        except FileNotFoundError:  # removed since the tree was read
            return None
