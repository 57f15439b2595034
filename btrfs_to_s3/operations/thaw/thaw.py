"""Thawing the backups that a restore needs: plan, request, look, wait, and ask again in time."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.errors import InterruptedRunError, NotReadableYetError
from btrfs_to_s3.format.jsonio import encode_time
from btrfs_to_s3.model.storage_class import Tier
from btrfs_to_s3.operations.restore.download_rate import remembered_rate
from btrfs_to_s3.operations.thaw.journal import Begun, ThawJournal
from btrfs_to_s3.operations.thaw.not_ready import not_ready_error
from btrfs_to_s3.operations.thaw.states import Learned, Needed, ThawStates
from btrfs_to_s3.plan.cost.cost import ReadCost
from btrfs_to_s3.plan.cost.restore import days_for
from btrfs_to_s3.plan.restore.thaw import (
    Asked,
    ThawTerms,
    cost_of,
    download_rate,
    expected_end,
    extension_cost,
    lasts,
    plan_thaw,
    require_budget,
)
from btrfs_to_s3.plan.restore.thaw_state import READY, Tally, ThawState
from btrfs_to_s3.stream.pump import in_parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from btrfs_to_s3.model.backup import ChunkRecord, HeadEntry
    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.model.prices import PriceList
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.plan.restore.thaw import ThawPlan
    from btrfs_to_s3.plan.restore.thaw_state import ChunkThaw, Group, LinkThaw
    from btrfs_to_s3.ports import Cancellation

_DAY: Final = timedelta(days=1)
_FREE: Final = ReadCost()
_SETTLING: Final = timedelta(seconds=30)
"""How long a chunk that is said to be thawed is given before it is asked for once more."""
_REFUSALS: Final = 20
"""How often a chunk that is said to be thawed may still be refused."""


@dataclass(frozen=True, slots=True)
class ThawJob:
    """What a person wishes, and what it is reckoned with.

    ``tier`` None goes on with that of the thaw under way, else standard; ``days`` None takes as
    many as the download needs. ``budget`` is in the price list's currency.
    """

    tier: Tier | None = None
    days: int | None = None
    budget: Decimal | None = None
    prices: PriceList | None = None
    poll: timedelta = timedelta(minutes=10)
    part_size_bytes: int | None = None
    bandwidth_bytes_per_s: int | None = None


@dataclass(slots=True)
class _Known:
    """What is shared by all that look: the service's ways, and how far each backup was last."""

    learned: Learned = field(default_factory=Learned)
    links: dict[BackupId, LinkThaw] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)


class Thaw:
    """The thaw of the backups in ``needed``, oldest first, so that ``wanted`` can be restored."""

    def __init__(
        self,
        services: Services,
        job: ThawJob,
        concurrency: int,
        source_id: SourceId,
        wanted: HeadEntry,
        needed: Sequence[Needed],
    ) -> None:
        self._services = services
        self._job = job
        self._concurrency = concurrency
        self._address = f"{source_id}@{wanted.backup_id}"
        self._needed = tuple(needed)
        self._journal = ThawJournal(services.state, source_id, wanted.backup_id)
        begun = self._journal.begun()
        self._tier = job.tier or (Tier.STANDARD if begun is None else begun.tier)
        self._days = job.days or (None if begun is None else begun.days)
        self._known = _Known()
        self._asking = threading.Lock()

    def status(self) -> ThawPlan:
        """How far everything is, and what the rest takes; writes nothing."""
        links = self._states(self._services.cancel).tallies(self._needed)
        self._known.links.update({link.backup_id: link for link in links})
        expected = expected_end(links, self._journal.asked(), self._services.clock())
        return plan_thaw(links, self._terms(), expected)

    def asked(self) -> dict[BackupId, Asked]:
        """When this machine asked for each backup."""
        return self._journal.asked()

    def request(self, *, to_download: bool = False) -> ThawPlan:
        """Ask for everything that is frozen; how far it is then.

        ``UsageError`` when a class lacks the tier or the budget does not suffice, ``to_download``
        also where nothing is frozen: nothing was asked for then. Repeating it asks only for the
        rest.
        """
        plan = self.status()
        frozen_count = plan.count(ThawState.FROZEN)
        if frozen_count or to_download:
            self._require_budget(plan)
        if not frozen_count:
            return plan
        self._journal.begin(Begun(self._services.clock(), self._tier, self._days))
        frozen = {link.backup_id for link in plan.links if link.of_state(ThawState.FROZEN)}
        for link in self._needed:
            if link.entry.backup_id in frozen:
                self._ask(link, plan.chosen.days, self._services.cancel)
        plan = self.status()
        self._note_request(plan)
        return plan

    def request_together(self, ask: Callable[[Iterator[ChunkThaw], int, Tier], bool]) -> ThawPlan:
        """As ``request``, but what is frozen is handed to ``ask`` at once; how far it was before.

        ``ask`` takes the chunks, the days and the tier, and says whether it asked for them anew.
        What a thaw makes no copy of is still asked for one by one.
        """
        plan = self.status()
        frozen = [link for link in plan.links if link.of_state(ThawState.FROZEN)]
        if not frozen:
            return plan
        self._require_budget(plan)
        self._journal.begin(Begun(self._services.clock(), self._tier, self._days))
        days = plan.chosen.days
        chunks = (chunk for batch in self.frozen() for chunk in batch if chunk.keeps_days)
        first = next(chunks, None)
        if first is not None and ask(chain([first], chunks), days, self._tier):
            for link in frozen:
                self._note_asked(link.backup_id, link.of_state(ThawState.FROZEN), days)
        alone = {
            link.backup_id
            for link in frozen
            if any(not group.keeps_days for group in link.of_state(ThawState.FROZEN))
        }
        for needed in self._needed:
            if needed.entry.backup_id in alone:
                self._ask_where(needed, _comes_back_itself, days, self._services.cancel)
        return plan

    def frozen(self) -> Iterator[list[ChunkThaw]]:
        """Everything that must be asked for, in batches of at most 1000 chunks."""
        states = self._states(self._services.cancel)
        for link in self._needed:
            for batch in states.batches(link):
                chunks = [chunk for chunk in batch if chunk.state is ThawState.FROZEN]
                if chunks:
                    yield chunks

    def wait(self) -> ThawPlan:
        """Look every ``poll`` until everything can be read.

        ``NotReadableYetError`` at once when something was not asked for: waiting does not help.
        """
        while True:
            plan = self.status()
            if plan.ready:
                return plan
            if plan.count(ThawState.FROZEN):
                raise self.not_ready(plan)
            self._tell(plan)
            self._sleep(self._services.cancel)

    def require_ready(self) -> None:
        """``NotReadableYetError`` unless everything can be read now; then as to the budget."""
        plan = self.status()
        if not plan.ready:
            raise self.not_ready(plan)
        self._require_budget(plan)

    def not_ready(self, plan: ThawPlan) -> NotReadableYetError:
        """Why nothing can be restored now, until when that will be so, and both remedies."""
        return not_ready_error(plan, self._address)

    def wait_for(self, backup_id: BackupId) -> None:
        """Return once this backup can be read, and long enough to download it.

        What froze again meanwhile is asked for again; copies that would go away during the
        download are kept longer, also those of later backups.
        """
        place = next(
            number for number, link in enumerate(self._needed) if link.entry.backup_id == backup_id
        )
        link, states = self._needed[place], self._states(self._services.cancel)
        while True:
            found = self._tally(states, link)
            if found.ready:
                break
            if found.of_state(ThawState.FROZEN):
                self._ask_again(link, found)
            self._tell_link(found)
            self._sleep(self._services.cancel)
        self._keep_longer(self._needed[place:])

    def thaw_again(self, record: ChunkRecord, cancel: Cancellation) -> None:
        """Return once a chunk that was refused in mid-download can be read.

        Everything else that is frozen by now is asked for too, so that it is waited for once.
        Called from many threads.
        """
        states = self._states(cancel)
        with self._asking:
            refusals = self._known.refusals.get(record.key, 0) + 1
            self._known.refusals[record.key] = refusals
            chunk = states.of_chunk(record)
            if chunk.state in {ThawState.FROZEN, ThawState.THAWED}:
                self._services.reporter.warn(
                    f"{record.key} cannot be read any more: it is asked for again"
                )
                self._ask_for_all(chunk, cancel)
        while True:
            state = states.of_chunk(record).state
            if state not in READY:
                self._services.reporter.activity("waiting for a thaw")
                self._sleep(cancel)
                continue
            if refusals > _REFUSALS:
                raise NotReadableYetError(
                    f"{record.key} is {state}, but the service refuses to give it",
                    hint="ask the service's operator",
                    key=record.key,
                )
            self._sleep(cancel, at_most=_SETTLING)
            return

    @property
    def was_refused(self) -> bool:
        """Whether a download had to wait for a thaw: it says nothing of the line then."""
        return bool(self._known.refusals)

    def finish(self) -> None:
        """The backup was restored: the thaw is nobody's business any more."""
        self._journal.remove()

    # Asking

    def _ask(self, link: Needed, days: int, cancel: Cancellation) -> None:
        """Ask for what is frozen of one backup, and note it."""
        asked = self._ask_where(link, lambda chunk: chunk.state is ThawState.FROZEN, days, cancel)
        self._note_asked(link.entry.backup_id, asked.groups, days)

    def _note_asked(self, backup_id: BackupId, groups: Iterable[Group], days: int) -> None:
        cost = cost_of(groups, self._terms(), self._tier, days)
        amount = Decimal(0) if cost is None else cost.thaw_requests + cost.retrieval + cost.copy
        self._journal.add(backup_id, Asked(self._services.clock(), self._tier, days), amount)

    def _note_request(self, plan: ThawPlan) -> None:
        thawing = plan.count(ThawState.THAWING)
        if not thawing:
            return
        by = "" if plan.expected is None else f": readable by {encode_time(plan.expected)} at "
        latest = "the latest" if by else ""
        objects = "1 object is" if thawing == 1 else f"{thawing} objects are"
        self._services.reporter.note(f"{objects} being thawed{by}{latest}")

    def _ask_where(
        self, link: Needed, wanted: Callable[[ChunkThaw], bool], days: int, cancel: Cancellation
    ) -> LinkThaw:
        """Ask for some chunks of one backup; what was asked for."""
        asked = Tally(link.entry.backup_id, link.manifest.raw_size_bytes)
        for batch in self._states(cancel).batches(link):
            chunks = [chunk for chunk in batch if wanted(chunk)]
            ask = partial(self._ask_one, days=days, cancel=cancel)
            in_parallel(chunks, ask, self._concurrency, cancel)
            for chunk in chunks:
                asked.add(chunk)
        return asked.result()

    def _ask_again(self, link: Needed, found: LinkThaw) -> None:
        """What was asked for froze again, or was never asked for."""
        plan = plan_thaw([found], self._terms())
        self._require_budget(plan)
        self._services.reporter.note(
            f"{found.count(ThawState.FROZEN)} objects of {found.backup_id} are asked for again"
        )
        self._ask(link, plan.chosen.days, self._services.cancel)

    def _ask_for_all(self, refused: ChunkThaw, cancel: Cancellation) -> None:
        """Ask for this chunk, and for everything that is frozen in this backup and later ones."""
        plan = self.status()
        self._require_budget(plan)
        self._ask_one(refused, plan.chosen.days, cancel)
        frozen = {link.backup_id for link in plan.links if link.of_state(ThawState.FROZEN)}
        for link in self._needed:
            if link.entry.backup_id in frozen:
                self._ask(link, plan.chosen.days, cancel)

    def _ask_one(self, chunk: ChunkThaw, days: int, cancel: Cancellation) -> None:
        record, kept = chunk.record, days if chunk.keeps_days else None
        store = self._services.access.store.bound(cancel)
        store.request_thaw(record.key, record.version_id, kept, self._tier)

    def _keep_longer(self, links: Sequence[Needed]) -> None:
        """Ask anew for copies that would go away before they are downloaded."""
        rate, now, download = self._terms().rate, self._services.clock(), timedelta(0)
        for link in links:
            download += rate.takes(link.entry.stored_size_bytes)
            if lasts(self._ends(link, now + download), now, download):
                continue
            end = now + download

            def short(chunk: ChunkThaw, end: datetime = end) -> bool:
                return chunk.state is ThawState.THAWED and not lasts(chunk.until, end, timedelta(0))

            days = max(self._job.days or 1, days_for(download, timedelta(0)))
            found = self._tally(self._states(self._services.cancel), link)
            more = extension_cost(found.of_state(ThawState.THAWED), self._terms(), days)
            known = list(self._known.links.values())
            self._require_budget(plan_thaw(known, self._terms()), more)
            asked = self._ask_where(link, short, days, self._services.cancel)
            noted = Asked(self._services.clock(), self._tier, days)
            self._journal.add(found.backup_id, noted, more.total)
            self._services.reporter.note(
                f"{asked.object_count} thawed objects of {link.entry.backup_id} are kept "
                f"{days} days more"
            )

    def _ends(self, link: Needed, needed_until: datetime) -> datetime | None:
        """When the first copy of a backup goes away; looked up only where that may be too soon."""
        backup_id = link.entry.backup_id
        found, asked = self._known.links.get(backup_id), self._journal.asked().get(backup_id)
        early = asked is None or asked.time + timedelta(days=asked.days) < needed_until + _DAY
        if early and (found is None or not found.ready):
            found = self._tally(self._states(self._services.cancel), link)
        return None if found is None else found.until

    # Inside

    def _states(self, cancel: Cancellation) -> ThawStates:
        services = replace(self._services, cancel=cancel)
        return ThawStates(services, self._concurrency, self._known.learned)

    def _tally(self, states: ThawStates, link: Needed) -> LinkThaw:
        found = states.tally(link)
        self._known.links[found.backup_id] = found
        return found

    def _terms(self) -> ThawTerms:
        measured = remembered_rate(self._services.state)
        rate = download_rate(measured, self._job.bandwidth_bytes_per_s)
        return ThawTerms(self._tier, self._days, rate, self._job.prices, self._job.part_size_bytes)

    def _require_budget(self, plan: ThawPlan, more: ReadCost = _FREE) -> None:
        prices = self._job.prices
        if prices is not None and plan.chosen.cost is not None:
            cost, spent = plan.chosen.cost + more, self._journal.spent()
            require_budget(cost, spent, self._job.budget, prices.currency)

    def _tell(self, plan: ThawPlan) -> None:
        ready = plan.count(*READY)
        by = "" if plan.expected is None else f", by {encode_time(plan.expected)} at the latest"
        self._services.reporter.activity(
            f"waiting for the thaw: {ready} of {plan.object_count} objects can be read{by}"
        )

    def _tell_link(self, link: LinkThaw) -> None:
        end = expected_end([link], self._journal.asked(), self._services.clock())
        by = "" if end is None else f", by {encode_time(end)} at the latest"
        self._services.reporter.activity(
            f"waiting for the thaw of {link.backup_id}: {link.count(*READY)} of "
            f"{link.object_count} objects can be read{by}"
        )

    def _sleep(self, cancel: Cancellation, at_most: timedelta = timedelta.max) -> None:
        if cancel.wait(min(self._job.poll, at_most).total_seconds()):
            raise InterruptedRunError("interrupted while waiting for a thaw")


def _comes_back_itself(chunk: ChunkThaw) -> bool:
    """Whether a thaw of a frozen chunk makes no copy (INTELLIGENT_TIERING): no job can ask so."""
    return chunk.state is ThawState.FROZEN and not chunk.keeps_days
