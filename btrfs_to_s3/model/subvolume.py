"""What a Btrfs subvolume says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

TOP_LEVEL_ID = 5
"""BTRFS_FS_TREE_OBJECTID (linux/btrfs_tree.h): the subvolume every filesystem starts with."""


@dataclass(frozen=True, slots=True)
class Subvolume:
    """One subvolume's root item (``struct btrfs_root_item``, linux/btrfs_tree.h).

    ``path`` is relative to the filesystem's top level (empty for the top level itself).
    ``ctransid`` is the transaction that last changed a file in it; ``stransid`` the transid its
    received stream carried. ``parent_uuid`` names what it is a snapshot of.
    """

    id: int
    path: str
    uuid: UUID
    parent_uuid: UUID | None
    received_uuid: UUID | None
    generation: int
    ctransid: int
    otransid: int
    stransid: int
    rtransid: int
    otime: datetime
    readonly: bool

    @property
    def stream_uuid(self) -> UUID:
        """The uuid that ``btrfs send`` of this subvolume writes into its first command.

        The transid beside it is always ``ctransid`` (send_subvol_begin, fs/btrfs/send.c).
        """
        return self.received_uuid or self.uuid


@dataclass(frozen=True, slots=True)
class SendOptions:
    """How a stream is made. ``protocol`` is 1 or 2; ``compressed_data`` needs protocol 2."""

    protocol: int
    compressed_data: bool
