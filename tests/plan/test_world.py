"""Sequences of backups, prunes, failures, restores, tampering and clock jumps.

A small model of Btrfs and of a repository carries out whatever the plans say. A subvolume's
content is one number; a stream is the content it was made of and the content it gives, and
replaying it on anything else is the failure that every rule here tries to provoke.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from btrfs_to_s3.model.policy import ChainPolicy, KeepPolicy, Strategy
from btrfs_to_s3.plan.backup.backup import plan_backup
from btrfs_to_s3.plan.backup.decision import Decision
from btrfs_to_s3.plan.backup.facts import BackupFacts, BackupWishes
from btrfs_to_s3.plan.backup.growth import coming_bases
from btrfs_to_s3.plan.backup.parents import valid_parents
from btrfs_to_s3.plan.backup.source import KnownSource, SourceQuery, match_source
from btrfs_to_s3.plan.chain import chain_of, live_chains
from btrfs_to_s3.plan.rebuild import rebuild_head
from btrfs_to_s3.plan.restore.restore import plan_restore
from btrfs_to_s3.plan.retention.early import Minimum
from btrfs_to_s3.plan.retention.holds import with_held
from btrfs_to_s3.plan.retention.keep import Dated, kept_by_rules
from btrfs_to_s3.plan.retention.local import LocalFacts, plan_local_prune
from btrfs_to_s3.plan.retention.retention import PrunePlan, plan_prune
from tests.plan.build import record
from tests.plan.prices import PRICES
from tests.plan.strategies import classes, policies, times
from tests.plan.world import Model

if TYPE_CHECKING:
    from btrfs_to_s3.model.backup import HeadEntry
    from btrfs_to_s3.model.identity import BackupId

TREE = ChainPolicy(strategy=Strategy.TREE)


class World(Model):
    """One source, its filesystem, its repository and a clock nobody can trust."""

    @initialize(ctransid=st.integers(1, 10**6))
    def begin(self, ctransid: int) -> None:
        self.transid = ctransid
        self.source = replace(self.source, ctransid=ctransid)

    # --- what people, programs and clocks do -------------------------------------------------

    @rule()
    def write(self) -> None:
        self.transid += 1
        self.source = replace(self.source, ctransid=self.transid)
        self.content[self.source.uuid] = self.number()

    @rule(hours=st.integers(1, 24 * 20))
    def time_passes(self, hours: int) -> None:
        self.clock += timedelta(hours=hours)

    @rule(to=times)
    def the_clock_jumps(self, to: datetime) -> None:
        self.clock = to

    @precondition(lambda self: self.local)
    @rule(data=st.data(), changes=st.booleans(), back=st.booleans())
    def someone_edits_a_snapshot(
        self,
        data: st.DataObject,
        changes: bool,
        back: bool,
    ) -> None:
        snapshot = data.draw(st.sampled_from(list(self.local.values())))
        self.transid += 1
        edited = replace(snapshot, readonly=back and snapshot.readonly)
        if changes:
            edited = replace(edited, ctransid=self.transid)
            self.content[snapshot.uuid] = self.number()
        self.local[snapshot.uuid] = edited

    @precondition(lambda self: self.local)
    @rule(data=st.data())
    def someone_deletes_a_snapshot(self, data: st.DataObject) -> None:
        del self.local[data.draw(st.sampled_from(sorted(self.local)))]

    @precondition(lambda self: self.local)
    @rule(data=st.data())
    def someone_rolls_back(self, data: st.DataObject) -> None:
        self.make_source(data.draw(st.sampled_from(list(self.local.values()))))

    @rule(name=st.sampled_from(classes))
    def someone_chooses_a_storage_class(self, name: str) -> None:
        self.data_class = name

    @rule()
    def the_local_state_is_lost(self) -> None:
        self.received = {}
        self.journal = None
        self.lost |= self.going.keys()
        self.going = {}

    @precondition(lambda self: self.head is not None)
    @rule(to=times)
    def the_head_is_lost_and_rebuilt(self, to: datetime) -> None:
        before = self.live()
        rebuilt = rebuild_head(
            (item.manifest for item in self.stored.values()),
            record(),
            repository_id=before.repository_id,
            writer="rebuild",
            written=to,
        )
        assert rebuilt.left_out == ()
        self.head = rebuilt.head
        self.sequence = rebuilt.head.sequence
        self.going, self.lost = {}, set()

    # --- what the plans say ------------------------------------------------------------------

    @rule(writes=st.booleans())
    def back_up(
        self,
        writes: bool,
    ) -> None:
        if writes:
            self.write()
        self.run(BackupWishes())

    @rule()
    def back_up_until_the_power_fails(self) -> None:
        self.write()
        self.run(BackupWishes(), interrupted=True)

    @rule()
    def back_up_and_die_before_tidying_up(self) -> None:
        self.back_up_until_the_power_fails()
        begun = self.journal
        self.run(BackupWishes())
        self.journal = begun

    @rule(
        full=st.booleans(),
        force=st.booleans(),
        restart=st.booleans(),
        max_chain=st.integers(1, 6),
        full_every=st.none() | st.integers(1, 30).map(lambda count: timedelta(days=count)),
        strategy=st.sampled_from(Strategy),
    )
    def back_up_by(
        self,
        full: bool,
        force: bool,
        restart: bool,
        max_chain: int,
        full_every: timedelta | None,
        strategy: Strategy,
    ) -> None:
        policy = ChainPolicy(full_every, max_chain, strategy)
        self.run(BackupWishes(full=full, force=force, restart=restart, chain=policy))

    def run(self, wishes: BackupWishes, *, interrupted: bool = False) -> None:
        facts = BackupFacts(
            self.source, self.subvolumes(), self.matched(), self.received, self.journal
        )
        result = plan_backup(facts, wishes, self.clock)
        assert result.reasons
        assert result.decision is not Decision.REFUSE
        if result.discard_journal:
            self.journal = None
        if result.decision is Decision.SKIP:
            newest = self.live().newest
            assert newest is not None
            assert self.stored[newest.backup_id].content == self.content[self.source.uuid]
            return
        self.send(result, wishes.chain, interrupted=interrupted)

    @precondition(lambda self: self.head is not None)
    @rule(data=st.data())
    def someone_holds_a_backup(self, data: st.DataObject) -> None:
        self.held.add(data.draw(st.sampled_from(self.live().backups)).backup_id)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def someone_releases_a_backup(self, data: st.DataObject) -> None:
        self.held.remove(data.draw(st.sampled_from(sorted(self.held))))

    @precondition(lambda self: self.head is not None)
    @rule(
        policy=policies,
        pay=st.booleans(),
        chain=st.sampled_from([ChainPolicy(), TREE]),
        data=st.data(),
        dies_after=st.none() | st.integers(0, 4),
        held_meanwhile=st.booleans(),
    )
    def prune(
        self,
        policy: KeepPolicy,
        pay: bool,
        chain: ChainPolicy,
        data: st.DataObject,
        dies_after: int | None,
        held_meanwhile: bool,
    ) -> None:
        """A prune that may stop anywhere, and beside which someone may hold a backup."""
        before = self.live()
        pinned = {each.backup_id: "to come" for each in self.coming_bases(chain)}
        if self.journal and self.journal.parent:
            pinned[self.journal.parent] = "journal"
        pinned |= dict.fromkeys(self.held, "held")
        result = plan_prune(before, policy, self.clock, pinned, Minimum(PRICES, pay))
        self.check_what_is_kept(result, policy)
        bases = self.coming_bases(chain)
        self.head = replace(before, backups=result.remaining)
        assert self.head.newest == before.newest
        assert self.coming_bases(chain) == bases
        self.going |= {item.backup_id: item for item in result.removals}
        if result.removals and held_meanwhile:
            # Whoever held it read the head just before the commit.
            self.held.add(data.draw(st.sampled_from(result.removals)).backup_id)
        if dies_after == 0:
            return
        self.put_back_what_is_held()
        for number, backup_id in enumerate(tuple(self.going), start=1):
            if number == dies_after:
                return
            del self.stored[backup_id], self.going[backup_id]

    def put_back_what_is_held(self) -> None:
        """The second look: from here on nothing that is held is on its way out."""
        self.head = with_held(self.live(), self.held, self.going) or self.live()
        live = {item.backup_id for item in self.head.backups}
        self.going = {each: item for each, item in self.going.items() if each not in live}
        assert self.held - self.lost <= live

    def check_what_is_kept(self, result: PrunePlan, policy: KeepPolicy) -> None:
        """Nothing goes that a rule or a hold keeps, and what stays says which rules keep it."""
        entries = self.live().backups
        dated = [Dated(item.backup_id, item.snapshot_time, item.sequence) for item in entries]
        wanted = kept_by_rules(dated, policy, self.clock)
        for line in result.lines:
            name = line.entry.backup_id
            assert line.keep or (name not in wanted and name not in self.held)
            assert set(wanted.get(name, ())) <= set(line.reasons)
            assert name not in self.held or "held" in line.reasons

    @rule(writes=st.booleans(), interrupted=st.booleans())
    def back_up_into_the_tree(self, writes: bool, interrupted: bool) -> None:
        if writes or interrupted:
            self.write()
        self.run(BackupWishes(chain=TREE), interrupted=interrupted)

    @rule(policy=policies, chain=st.sampled_from([ChainPolicy(), TREE]))
    def prune_snapshots(self, policy: KeepPolicy, chain: ChainPolicy) -> None:
        heads = (self.head,) if self.head else ()
        protected = {self.journal.snapshot_uuid: "journal"} if self.journal else {}
        local = tuple(self.local.values())
        before = self.coming_bases(chain)
        facts = LocalFacts(self.source, local, heads, self.received, protected, chain)
        for snapshot in plan_local_prune(facts, policy, self.clock).removals:
            del self.local[snapshot.uuid]
        assert self.coming_bases(chain) == before

    def coming_bases(self, chain: ChainPolicy) -> tuple[HeadEntry, ...]:
        if self.head is None:
            return ()
        parents = valid_parents(self.head, tuple(self.local.values()), self.received)
        usable = {parent.entry.backup_id for parent in parents}
        return coming_bases(self.head, chain, self.clock, usable)

    @precondition(lambda self: self.head is not None and self.head.backups)
    @rule(data=st.data(), transid=st.integers(1, 10**6))
    def the_machine_burns_down(self, data: st.DataObject, transid: int) -> None:
        """Everything local is gone; some backup is restored and worked on."""
        self.the_local_state_is_lost()
        self.local = {}
        self.transid = transid
        wanted = data.draw(st.sampled_from(self.live().backups))
        self.make_source(self.restore(wanted))
        self.write()
        query = SourceQuery(self.source, self.subvolumes(), (self.live(),), "x", "y", "z")
        assert isinstance(match_source(query), KnownSource)
        facts = BackupFacts(self.source, self.subvolumes(), self.head, self.received)
        result = plan_backup(facts, BackupWishes(chain=ChainPolicy(max_chain=9999)), self.clock)
        assert result.parent is not None
        assert result.parent.entry == wanted

    @precondition(lambda self: self.head is not None and self.head.backups)
    @rule(data=st.data())
    def someone_restores_beside_it(self, data: st.DataObject) -> None:
        wanted = data.draw(st.sampled_from(self.live().backups))
        chain = chain_of(self.live(), wanted.backup_id)
        local = list(self.subvolumes())
        if plan_restore(chain, local, self.received, self.target(chain)).refusal is None:
            self.restore(wanted)

    # --- what must hold at every moment ------------------------------------------------------

    @invariant()
    def every_live_backup_restores(self) -> None:
        if self.head is None:
            return
        live_chains(self.head)
        content: dict[BackupId | None, int | None] = {None: None}
        for item in sorted(self.head.backups, key=lambda one: one.sequence):
            stored = self.stored[item.backup_id]
            assert stored.base == content[item.parent]
            content[item.backup_id] = stored.content
        live = {item.backup_id for item in self.head.backups}
        assert set(self.stored) == live | self.going.keys() | self.lost
        assert live.isdisjoint(self.going)
        assert self.held <= set(self.stored)

    @invariant()
    def a_source_once_stored_has_a_restore_point(self) -> None:
        assert self.head is None or self.head.newest is not None


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
