"""Which links of a chain must be received on a filesystem, and on what they would be built."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from btrfs_to_s3.plan.backup.parents import Verdict, judge_parent
from btrfs_to_s3.plan.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from btrfs_to_s3.model.backup import HeadEntry
    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.plan.backup.parents import ReceivedRecords


class Action(StrEnum):
    """What a restore does with one link of the chain."""

    NOT_NEEDED = "not needed"
    REUSE = "reuse"
    RECEIVE = "receive"


@dataclass(frozen=True, slots=True)
class RestoreTarget:
    """Where links are received.

    ``directory`` is relative to the filesystem's top level, ``names`` are those the links' streams
    create there, ``taken`` the names that exist in it now.
    """

    directory: str
    names: Mapping[BackupId, str]
    taken: frozenset[str]

    def path_of(self, backup_id: BackupId) -> str:
        """The path, relative to the top level, that receiving this link creates."""
        name = self.names[backup_id]
        return f"{self.directory.strip('/')}/{name}".lstrip("/")


@dataclass(frozen=True, slots=True)
class Link:
    """One backup of the chain: what is done with it and why.

    ``local`` is the subvolume that is reused. ``parent`` is the subvolume that receive must choose
    (compare parent_uuid afterwards); None for a full stream and after a link received just before.
    """

    entry: HeadEntry
    action: Action
    reason: str
    local: Subvolume | None = None
    parent: Subvolume | None = None


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """The links, oldest first, or why the restore is refused (then nothing may be received)."""

    links: tuple[Link, ...]
    refusal: Refusal | None = None

    @property
    def to_receive(self) -> tuple[HeadEntry, ...]:
        """The backups to download, oldest first; empty when all is there already."""
        return tuple(link.entry for link in self.links if link.action is Action.RECEIVE)

    @property
    def raw_size_bytes(self) -> int:
        """Bytes that receive will read."""
        return sum(entry.raw_size_bytes for entry in self.to_receive)

    @property
    def stored_size_bytes(self) -> int:
        """Bytes to download."""
        return sum(entry.stored_size_bytes for entry in self.to_receive)


def receive_candidates(entry: HeadEntry, subvolumes: Iterable[Subvolume]) -> tuple[Subvolume, ...]:
    """What ``btrfs receive`` may take for a parent with this entry's stream; the first is taken.

    It looks the stream's uuid up as a received_uuid, then as a uuid (``process_snapshot``,
    cmds/receive.c), in the UUID tree, where subvolumes of one received_uuid stand in the order
    they got it: by the end of their receive, or by their birth as a snapshot of a received one.
    """
    locals_ = tuple(subvolumes)
    received = [local for local in locals_ if local.received_uuid == entry.stream.uuid]
    received.sort(key=lambda local: (max(local.rtransid, local.otransid), local.id))
    return (*received, *(local for local in locals_ if local.uuid == entry.stream.uuid))


def plan_restore(
    chain: Sequence[HeadEntry],
    subvolumes: Sequence[Subvolume],
    received: ReceivedRecords,
    target: RestoreTarget,
    candidates: Mapping[UUID, Sequence[Subvolume]] | None = None,
) -> RestorePlan:
    """Plan to bring the chain's last backup into the target directory.

    ``chain`` is a complete one, oldest first; ``subvolumes`` are all of the target's filesystem,
    also those outside the directory: receive finds them. ``candidates`` says, by stream uuid, what
    receive would choose from, as read from the UUID tree; without it, ``receive_candidates`` tells
    it from the subvolumes. The last link counts as there only at its own place in the directory;
    its ancestors may lie anywhere on the filesystem.
    """
    if not chain:
        return RestorePlan((), Refusal("there is nothing to restore", "name a backup"))
    last = chain[-1]
    there = _at_target(last, subvolumes, received, target)
    if there is not None:
        return RestorePlan((*_not_needed(chain[:-1]), there))
    if candidates is None:
        candidates = {entry.stream.uuid: receive_candidates(entry, subvolumes) for entry in chain}
    base, refusal = _base(chain, candidates, received)
    if refusal is not None:
        return RestorePlan((), refusal)
    needed = chain[base.index + 1 :] if base else chain
    name_taken = _name_taken(needed, target)
    if name_taken is not None:
        return RestorePlan((), name_taken)
    reused = (_reused(chain[base.index], base),) if base else ()
    before = _not_needed(chain[: base.index]) if base else ()
    parent = base.local if base else None
    to_receive = (
        Link(entry, Action.RECEIVE, _why_received(entry), parent=parent if number == 0 else None)
        for number, entry in enumerate(needed)
    )
    return RestorePlan((*before, *reused, *to_receive))


@dataclass(frozen=True, slots=True)
class _Base:
    """The newest ancestor that is on the filesystem and that receive will build on."""

    index: int
    local: Subvolume
    verdict: Verdict


def _base(
    chain: Sequence[HeadEntry],
    candidates: Mapping[UUID, Sequence[Subvolume]],
    received: ReceivedRecords,
) -> tuple[_Base | None, Refusal | None]:
    """Where to start; a refusal when receive would build on a subvolume that is not valid.

    An invalid copy with the parent's received_uuid cannot be passed by: it is found before
    anything received later. One that has the uuid itself can: received_uuids are looked up first.
    """
    for index in range(len(chain) - 2, -1, -1):
        entry = chain[index]
        found = candidates.get(entry.stream.uuid, ())
        if not found:
            continue
        chosen = found[0]
        verdict = judge_parent(chosen, entry, received.get(chosen.uuid))
        if verdict.valid:
            return _Base(index, chosen, verdict), None
        if chosen.received_uuid == entry.stream.uuid:
            return None, _would_choose(chosen, chain[index + 1], verdict)
    return None, None


def _would_choose(chosen: Subvolume, child: HeadEntry, verdict: Verdict) -> Refusal:
    return Refusal(
        f"btrfs receive would build {child.backup_id} on {chosen.path or '/'}, which cannot be "
        f"relied on: {verdict.reason}",
        f"delete it (btrfs subvolume delete {chosen.path or '/'}) or restore to another filesystem",
    )


def _at_target(
    last: HeadEntry,
    subvolumes: Sequence[Subvolume],
    received: ReceivedRecords,
    target: RestoreTarget,
) -> Link | None:
    path = target.path_of(last.backup_id)
    for local in subvolumes:
        verdict = judge_parent(local, last, received.get(local.uuid))
        if local.path == path and verdict.valid:
            return Link(last, Action.REUSE, f"it is already there: {verdict.reason}", local)
    return None


def _name_taken(needed: Sequence[HeadEntry], target: RestoreTarget) -> Refusal | None:
    made: set[str] = set()
    for entry in needed:
        name = target.names[entry.backup_id]
        if name in target.taken:
            return Refusal(
                f"{target.path_of(entry.backup_id)} exists and is not backup {entry.backup_id} as "
                "a restore recorded it",
                "move or delete it, or restore into another directory",
            )
        if name in made:
            return Refusal(
                f"two links of the chain are both named {name}",
                "receive them in directories of their own",
            )
        made.add(name)
    return None


def _not_needed(entries: Sequence[HeadEntry]) -> tuple[Link, ...]:
    reason = "a later link that contains it is already there"
    return tuple(Link(entry, Action.NOT_NEEDED, reason) for entry in entries)


def _reused(entry: HeadEntry, base: _Base) -> Link:
    return Link(entry, Action.REUSE, base.verdict.reason, base.local)


def _why_received(entry: HeadEntry) -> str:
    if entry.parent is None:
        return "the chain starts here and nothing of it is on the filesystem"
    return "no copy of it that can be relied on is on the filesystem"
