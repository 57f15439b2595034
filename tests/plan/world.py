"""One source, its filesystem and its repository as values, and what the program does to them.

A content is a number: whatever is restored must have the number that was backed up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hypothesis.stateful import RuleBasedStateMachine

from btrfs_to_s3.model.policy import ChainPolicy, Strategy
from btrfs_to_s3.plan.backup.decision import Decision
from btrfs_to_s3.plan.backup.facts import OpenJournal
from btrfs_to_s3.plan.backup.source import KnownSource, NewSource, SourceQuery, match_source
from btrfs_to_s3.plan.backup.tree import MAX_LINKS
from btrfs_to_s3.plan.chain import chain_of
from btrfs_to_s3.plan.refusal import Refusal
from btrfs_to_s3.plan.restore.restore import Action, RestoreTarget, plan_restore
from tests.plan.build import SOURCE_ID, T0, entry, head, manifest, source, subvolume

if TYPE_CHECKING:
    from uuid import UUID

    from btrfs_to_s3.model.backup import Head, HeadEntry, Manifest
    from btrfs_to_s3.model.identity import BackupId
    from btrfs_to_s3.model.subvolume import Subvolume
    from btrfs_to_s3.plan.backup.backup import BackupPlan


@dataclass(frozen=True)
class Stored:
    """A committed stream: the content it must be replayed on, and what comes out."""

    base: int | None
    content: int
    manifest: tuple[Manifest, str]


class Model(RuleBasedStateMachine):
    """Snapshots, sends, commits and receives, each checked where it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = T0
        self.numbers = 10
        self.transid = 100
        self.source = source(ctransid=100)
        self.content: dict[UUID, int] = {self.source.uuid: 1}
        self.local: dict[UUID, Subvolume] = {}
        self.received: dict[UUID, int] = {}
        self.head: Head | None = None
        self.stored: dict[BackupId, Stored] = {}
        self.journal: OpenJournal | None = None
        self.sequence = 0
        self.sent = 0  # the content that an interrupted upload began with
        self.held: set[BackupId] = set()
        self.going: dict[BackupId, HeadEntry] = {}  # removed from the head, not yet deleted
        self.lost: set[BackupId] = set()  # the same, and no journal tells of it any more
        self.data_class = "STANDARD"

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def live(self) -> Head:
        assert self.head is not None
        return self.head

    def subvolumes(self) -> tuple[Subvolume, ...]:
        return (self.source, *self.local.values())

    def matched(self) -> Head | None:
        heads = (self.head,) if self.head else ()
        query = SourceQuery(self.source, self.subvolumes(), heads, "data", "host", "nas")
        result = match_source(query)
        assert self.head is None or not isinstance(result, NewSource)
        if isinstance(result, Refusal):
            # Nothing that is left leads to this source: a person decides.
            result = match_source(replace(query, adopt=SOURCE_ID))
        return result.head if isinstance(result, KnownSource) else None

    def make_source(self, snapshot: Subvolume) -> None:
        number = self.number()
        self.source = subvolume(number, parent=snapshot.uuid, ctransid=snapshot.ctransid)
        self.content[self.source.uuid] = self.content[snapshot.uuid]

    def snapshot(self) -> Subvolume:
        self.transid += 1
        number = self.number()
        made = subvolume(
            number, parent=self.source.uuid, ctransid=self.source.ctransid, readonly=True
        )
        self.local[made.uuid] = replace(made, otime=self.clock, otransid=self.transid)
        self.content[made.uuid] = self.content[self.source.uuid]
        return self.local[made.uuid]

    def send(self, plan: BackupPlan, policy: ChainPolicy, *, interrupted: bool) -> None:
        sent = plan.snapshot or self.snapshot()
        parent = plan.parent
        if plan.decision is Decision.RESUME:
            assert self.journal is not None
            assert self.content[sent.uuid] == self.sent
            assert self.journal.parent == (parent.entry.backup_id if parent else None)
        if parent is not None:
            # What the increment leaves out is taken from the stored parent when it is restored.
            stored = self.stored[parent.entry.backup_id]
            assert self.content[parent.local.uuid] == stored.content
        if parent is not None and plan.decision is Decision.INCREMENTAL:
            links = chain_of(self.live(), parent.entry.backup_id)
            assert len(links) < policy.max_chain
            if policy.strategy is Strategy.TREE:
                assert len(links) < MAX_LINKS
            age = sent.otime - links[0].snapshot_time
            assert policy.full_every is None or age < policy.full_every
        made = entry(
            self.sequence + 1,
            parent.entry if parent else None,
            time=sent.otime,
            uuid=sent.uuid,
            ctransid=sent.ctransid,
        )
        made = replace(made, data_class=self.data_class)
        assert made.stream.uuid not in {item.stream.uuid for item in self.entries()}
        if interrupted:
            self.sent = self.content[sent.uuid]
            self.journal = OpenJournal(
                SOURCE_ID,
                made.backup_id,
                made.kind,
                made.parent,
                sent.uuid,
                sent.ctransid,
                self.clock,
            )
            return
        self.commit(made, parent.entry if parent else None, self.content[sent.uuid])

    def entries(self) -> tuple[HeadEntry, ...]:
        return self.head.backups if self.head else ()

    def commit(self, made: HeadEntry, parent: HeadEntry | None, content: int) -> None:
        self.sequence += 1
        self.journal = None
        base = self.stored[parent.backup_id] if parent else None
        hashed = manifest(made, base.manifest if base else None)
        facts = replace(hashed[0].snapshot, parent_uuid=self.source.uuid)
        hashed = (replace(hashed[0], snapshot=facts), hashed[1])
        self.stored[made.backup_id] = Stored(base.content if base else None, content, hashed)
        before = self.head or head()
        self.head = replace(
            before,
            sequence=self.sequence,
            subvolume_uuid=self.source.uuid,
            backups=(*before.backups, made),
        )

    def target(self, chain: tuple[HeadEntry, ...]) -> RestoreTarget:
        names = {item.backup_id: f"{self.number()}" for item in chain}
        return RestoreTarget("restored", names, frozenset())

    def restore(self, wanted: HeadEntry) -> Subvolume:
        chain = chain_of(self.live(), wanted.backup_id)
        plan = plan_restore(chain, self.subvolumes(), self.received, self.target(chain))
        assert plan.refusal is None
        last: Subvolume | None = None
        for link in plan.links:
            if link.action is Action.REUSE:
                last = link.local
                assert last is not None
                assert self.content[last.uuid] == self.stored[link.entry.backup_id].content
            elif link.action is Action.RECEIVE:
                last = self.receive(link.entry, last)
        assert last is not None
        return last

    def receive(self, item: HeadEntry, parent: Subvolume | None) -> Subvolume:
        stored = self.stored[item.backup_id]
        assert (None if parent is None else self.content[parent.uuid]) == stored.base
        self.transid += 2
        number = self.number()
        made = subvolume(
            number,
            parent=parent.uuid if parent else None,
            received=item.stream.uuid,
            ctransid=self.transid,
            stransid=item.stream.transid,
            readonly=True,
        )
        made = replace(made, otransid=self.transid - 1, rtransid=self.transid, otime=self.clock)
        self.local[made.uuid] = made
        self.content[made.uuid] = stored.content
        self.received[made.uuid] = made.ctransid
        return made
