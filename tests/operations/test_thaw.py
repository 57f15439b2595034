"""Thawing a chain: what is looked at, asked for, waited for, and asked for again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import (
    InterruptedRunError,
    MissingObjectError,
    NotReadableYetError,
    UsageError,
)
from btrfs_to_s3.model.storage_class import Tier
from btrfs_to_s3.operations.repository.index import StoredIndex
from btrfs_to_s3.operations.restore.download import Download
from btrfs_to_s3.operations.restore.download_rate import remember_rate, remembered_rate
from btrfs_to_s3.operations.thaw.states import needed_of_chain
from btrfs_to_s3.operations.thaw.thaw import Thaw
from btrfs_to_s3.plan.restore.thaw_state import ThawState
from btrfs_to_s3.stream.cancel import LinkedCancellation
from tests.operations.archives import Archive, Waiting
from tests.operations.frozen import JOB, Frozen, frozen

if TYPE_CHECKING:
    from tests.operations.conftest import Bucket
    from tests.operations.repositories import SyntheticRepository


def test_all_links_are_asked_for_at_once_and_waited_for(repository: SyntheticRepository) -> None:
    chain = frozen(repository)
    began = repository.clock.now
    plan = chain.thaw().request()
    assert chain.asked() == chain.keys(chain.full, chain.increment)
    assert plan.count(ThawState.THAWING) == plan.object_count
    assert plan.expected is not None
    assert timedelta(0) <= plan.expected - (began + timedelta(hours=12)) <= timedelta(seconds=1)

    done = chain.thaw().wait()

    assert done.ready
    assert began + timedelta(hours=12) <= repository.clock.now
    assert repository.clock.now < began + timedelta(hours=12, minutes=11)


def test_states_come_from_listings_and_not_from_a_head_each(
    repository: SyntheticRepository,
) -> None:
    chain = frozen(repository)
    chain.thaw().status()
    probed = len(chain.archive.heads)
    chain.thaw().request()
    chain.thaw().wait()
    # One HEAD tells whether the listing can be believed, once for each process until it can.
    assert probed == 2
    assert len(chain.archive.heads) < len(chain.keys(chain.full, chain.increment)) * 2


def test_a_service_that_lists_no_thaws_is_asked_by_heads(repository: SyntheticRepository) -> None:
    chain = frozen(repository, lists=False)
    chain.thaw().request()
    assert chain.thaw().status().count(ThawState.THAWING) == len(chain.asked())
    assert chain.thaw().wait().ready
    assert chain.asked() == chain.keys(chain.full, chain.increment)


def test_a_second_call_asks_only_for_what_is_still_frozen(repository: SyntheticRepository) -> None:
    chain = frozen(repository)
    first, *rest = chain.keys(chain.full, chain.increment)
    chain.archive.request_thaw(first, None, 3, Tier.BULK)

    chain.thaw(replace(JOB, tier=Tier.BULK)).request()

    assert [key for key, _, _ in chain.archive.asked[1:]] == rest
    assert {tier for _, _, tier in chain.archive.asked} == {Tier.BULK}
    chain.thaw().request()
    assert len(chain.archive.asked) == 1 + len(rest)


def test_a_job_is_continued_in_its_tier_after_it_was_killed(
    repository: SyntheticRepository,
) -> None:
    chain = frozen(repository)
    chain.thaw(replace(JOB, tier=Tier.BULK, days=9)).request()
    for key in chain.keys(chain.full):
        chain.archive.expire(key)

    plan = chain.thaw().request()

    assert plan.tier is Tier.BULK
    assert {(days, tier) for _, days, tier in chain.archive.asked} == {(9, Tier.BULK)}
    chain.thaw().finish()
    assert chain.thaw().status().tier is Tier.STANDARD


def test_what_is_not_archived_is_neither_asked_for_nor_waited_for(
    repository: SyntheticRepository,
) -> None:
    chain = frozen(repository)
    chain.archive.classes = {chain.prefix(chain.full): "GLACIER"}
    plan = chain.thaw().request()
    assert chain.asked() == chain.keys(chain.full)
    assert plan.count(ThawState.READABLE) == len(chain.keys(chain.increment))
    chain.thaw().wait_for(chain.full.backup_id)
    chain.thaw().wait_for(chain.increment.backup_id)


@pytest.mark.parametrize("name", ["STANDARD", "GLACIER_IR", "INTELLIGENT_TIERING"])
def test_classes_that_are_read_at_once_need_nothing(
    repository: SyntheticRepository, name: str
) -> None:
    chain = frozen(repository, name)
    chain.thaw().require_ready()
    assert chain.thaw().request().ready
    assert chain.asked() == []
    assert chain.archive.heads == []


def test_intelligent_tiering_in_an_archive_tier_is_found_and_asked_for_without_days(
    repository: SyntheticRepository,
) -> None:
    chain = frozen(repository, "INTELLIGENT_TIERING", tiering="ARCHIVE_ACCESS")
    repository.clock.advance(days=100)
    with pytest.raises(NotReadableYetError):
        chain.thaw().require_ready()
    chain.thaw().request()
    assert {days for _, days, _ in chain.archive.asked} == {None}
    assert chain.thaw().wait().ready


def test_a_class_that_only_has_the_name_of_an_archive_needs_no_thaw(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    class OnlyAName(Archive):
        def _require_readable(self, key: str) -> None:
            """Everything can be read, as on Ceph."""

    assert bucket.listing()
    full = repository.backup()
    archive = OnlyAName(repository.store, repository.clock, {"chunks/": "GLACIER"})
    view = repository.through(archive)
    chain = Frozen(view, archive, Waiting(repository.clock), full, full)
    chain.thaw().require_ready()
    assert archive.asked == []


def test_a_budget_that_does_not_suffice_asks_for_nothing(repository: SyntheticRepository) -> None:
    chain = frozen(repository)
    needed = chain.thaw().status().chosen.cost
    assert needed is not None
    little = replace(JOB, budget=needed.total * Decimal("0.9"))
    with pytest.raises(UsageError, match="more than the budget"):
        chain.thaw(little).request()
    assert chain.archive.asked == []
    chain.thaw(replace(JOB, budget=needed.total)).request()
    assert chain.archive.asked != []


def test_a_budget_counts_what_the_same_thaw_cost_before(repository: SyntheticRepository) -> None:
    chain = frozen(repository)
    needed = chain.thaw().status().chosen.cost
    assert needed is not None
    job = replace(JOB, budget=needed.total * Decimal("1.01"))
    chain.thaw(job).request()
    for key in chain.keys(chain.full, chain.increment):
        chain.archive.expire(key)
    with pytest.raises(UsageError, match="more than the budget"):
        chain.thaw(job).request()


def test_a_budget_counts_the_download_where_nothing_has_to_be_asked_for(
    repository: SyntheticRepository,
) -> None:
    chain = frozen(repository, "STANDARD")
    needed = chain.thaw().status().chosen.cost
    assert needed is not None
    assert needed.total > 0
    little = chain.thaw(replace(JOB, budget=needed.total * Decimal("0.9")))
    with pytest.raises(UsageError, match="more than the budget"):
        little.require_ready()
    with pytest.raises(UsageError, match="more than the budget"):
        little.request(to_download=True)
    enough = chain.thaw(replace(JOB, budget=needed.total))
    enough.require_ready()
    enough.request(to_download=True)


def test_a_budget_counts_what_keeping_copies_longer_costs(repository: SyntheticRepository) -> None:
    chain = frozen(repository)
    slow = replace(JOB, days=1, bandwidth_bytes_per_s=10)
    needed = chain.thaw(slow).status().chosen.cost
    assert needed is not None
    thaw = chain.thaw(replace(slow, budget=needed.total))
    thaw.request()
    repository.clock.advance(hours=30)
    before = len(chain.archive.asked)
    with pytest.raises(UsageError, match="more than the budget"):
        thaw.wait_for(chain.full.backup_id)
    assert len(chain.archive.asked) == before
    chain.thaw(replace(slow, budget=needed.total * 3)).wait_for(chain.full.backup_id)
    assert len(chain.archive.asked) > before
    with pytest.raises(UsageError, match="more than the budget"):
        chain.thaw(replace(slow, budget=needed.total)).request(to_download=True)


def test_a_tier_that_a_class_of_the_chain_lacks_is_refused(repository: SyntheticRepository) -> None:
    chain = frozen(repository, "GLACIER")
    chain.thaw(replace(JOB, tier=Tier.EXPEDITED)).status()
    chain.archive.classes = {chain.prefix(chain.full): "DEEP_ARCHIVE", "chunks/": "GLACIER"}
    with pytest.raises(UsageError, match="DEEP_ARCHIVE has no expedited tier") as caught:
        chain.thaw(replace(JOB, tier=Tier.EXPEDITED)).request()
    assert caught.value.hint == "give --tier standard or bulk"
    assert chain.archive.asked == []


def test_what_froze_again_while_it_was_waited_for_is_asked_for_again(
    repository: SyntheticRepository,
) -> None:
    chain = frozen(repository)
    thaw = chain.thaw()
    thaw.request()
    for key in chain.keys(chain.full):
        chain.archive.expire(key)
    thaw.wait_for(chain.full.backup_id)
    assert len(chain.asked()) == len(chain.keys(chain.full)) * 2 + len(chain.keys(chain.increment))


def test_copies_that_would_go_away_during_the_download_are_kept_longer(
    repository: SyntheticRepository,
) -> None:
    chain = frozen(repository)
    slow = replace(JOB, days=1, bandwidth_bytes_per_s=10)  # hours for these few bytes
    thaw = chain.thaw(slow)
    thaw.request()
    repository.clock.advance(hours=30)
    before = len(chain.archive.asked)

    thaw.wait_for(chain.full.backup_id)

    again = chain.archive.asked[before:]
    assert {key for key, _, _ in again} == set(chain.keys(chain.full, chain.increment))
    left = min(copy.until for copy in chain.archive.copies.values() if copy.until)
    assert left - repository.clock.now >= timedelta(days=1)


def test_waiting_for_what_nobody_asked_for_ends_at_once(repository: SyntheticRepository) -> None:
    chain = frozen(repository)
    with pytest.raises(NotReadableYetError, match="must be thawed first") as caught:
        chain.thaw().wait()
    assert chain.waiting.waits == 0
    assert caught.value.context["expected_time"] is None


def test_the_error_names_the_expected_time_and_both_remedies(
    repository: SyntheticRepository,
) -> None:
    chain = frozen(repository)
    began = repository.clock.now
    chain.thaw(replace(JOB, tier=Tier.BULK)).request()
    repository.clock.advance(hours=1)
    with pytest.raises(NotReadableYetError) as caught:
        chain.thaw().require_ready()
    latest = began + timedelta(hours=48, seconds=1)
    expected = f"{latest:%Y-%m-%dT%H:%M:%SZ}"
    assert caught.value.context["expected_time"] == expected
    assert expected in caught.value.message
    hint = caught.value.hint
    assert hint is not None
    assert "restore --wait" in hint
    assert " wait'" in hint


def test_a_wait_ends_when_it_is_interrupted(repository: SyntheticRepository) -> None:
    chain = frozen(repository)
    chain.thaw().request()
    cancel = LinkedCancellation()
    cancel.set()
    services = replace(chain.view.services, cancel=cancel)
    needed = needed_of_chain(
        chain.view.services, chain.view.head(), chain.increment, 2, proven=True
    )
    thaw = Thaw(services, JOB, 2, chain.view.source_id, chain.increment, needed)
    with pytest.raises(InterruptedRunError):
        thaw.wait()


def test_a_lost_chunk_is_found_before_anything_is_paid_for(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    chain = frozen(repository)
    lost = chain.keys(chain.increment)[1]
    bucket.remove(lost)
    with pytest.raises(MissingObjectError, match=lost):
        chain.thaw().request()
    assert chain.archive.asked == []


def test_only_keys_of_the_index_count(repository: SyntheticRepository, bucket: Bucket) -> None:
    chain = frozen(repository)
    for key in chain.keys(chain.full):
        bucket.write(key.replace(".zst", "") + "0.zst", b"an orphan of another attempt")
        bucket.write(key[:-12] + "00000000.zst", b"another")
    chain.thaw().request()
    assert not any("00000000.zst" in key for key, _, _ in chain.archive.asked)
    assert len(chain.asked()) == chain.full.chunk_count + chain.increment.chunk_count


def test_on_a_bucket_with_versions_the_recorded_one_is_looked_at(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    bucket.keep_versions()
    chain = frozen(repository)
    victim = chain.keys(chain.full)[0]
    bucket.write(victim, b"a later version of the same key")
    assert chain.thaw().status().object_count == 2 * chain.full.chunk_count
    thaw = chain.thaw()
    thaw.request()
    assert victim in chain.asked()


def test_a_chunk_that_is_refused_in_mid_download_is_thawed_within_the_running_download(
    repository: SyntheticRepository,
) -> None:
    chain = frozen(repository)
    thaw = chain.thaw(replace(JOB, poll=timedelta(milliseconds=5)))
    thaw.request()
    repository.clock.advance(hours=12)
    goes_away = chain.keys(chain.full)[1:] + chain.keys(chain.increment)
    for key in goes_away:
        chain.archive.expire(key)
    before, sunk, polls = len(chain.archive.asked), bytearray(), []

    class Thawing(Thaw):
        def _sleep(self, cancel: object, at_most: timedelta = timedelta.max) -> None:
            assert at_most
            polls.append(cancel)
            repository.clock.advance(hours=6)

    thaw.__class__ = Thawing
    services = chain.view.services
    manifest = chain.view.access.manifest(chain.view.source_id, chain.full)
    with StoredIndex(chain.view.store, services.state, manifest) as index:
        Download(
            manifest,
            index.chunks(),
            chain.archive,
            chain.view.access.repository_id,
            2,
            services.reporter,
            services.cancel,
            thaw.thaw_again,
        ).run(sunk.extend, lambda: None)

    assert len(sunk) == manifest.raw_size_bytes
    assert {key for key, _, _ in chain.archive.asked[before:]} == set(goes_away)
    assert polls
    assert thaw.was_refused


def test_a_chunk_that_is_refused_for_ever_ends_the_download(
    repository: SyntheticRepository,
) -> None:
    chain = frozen(repository)
    thaw = chain.thaw()
    thaw.request()
    thaw.wait()
    services = chain.view.services
    manifest = chain.view.access.manifest(chain.view.source_id, chain.full)
    with StoredIndex(chain.view.store, services.state, manifest) as index:
        record = next(index.chunks())
    before = len(chain.archive.asked)
    for _ in range(20):
        thaw.thaw_again(record, chain.waiting)
    with pytest.raises(NotReadableYetError, match="the service refuses"):
        thaw.thaw_again(record, chain.waiting)
    assert len(chain.archive.asked) - before == 21


def test_what_is_frozen_is_handed_over_in_batches(repository: SyntheticRepository) -> None:
    chain = frozen(repository)
    first, *rest = chain.keys(chain.full, chain.increment)
    chain.archive.request_thaw(first, None, 3, Tier.STANDARD)
    handed = [chunk.record.key for batch in chain.thaw().frozen() for chunk in batch]
    assert handed == rest


def test_the_rate_of_a_download_is_remembered_where_it_tells_something(
    repository: SyntheticRepository,
) -> None:
    state = repository.state
    remember_rate(state, 1000, timedelta(seconds=1))
    assert remembered_rate(state) is None
    remember_rate(state, 100 * 1024**2, timedelta(seconds=20))
    assert remembered_rate(state) == 5 * 1024**2
    state.remember("rate", "download", b"damaged")
    assert remembered_rate(state) is None
