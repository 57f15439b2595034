"""A thaw of a chain by one job, on a service that thaws at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from btrfs_to_s3.config.prices import load_prices
from btrfs_to_s3.errors import RepositoryError, UsageError
from btrfs_to_s3.model.batch_job import BatchJobState, BatchThawOrder
from btrfs_to_s3.model.storage_class import Tier
from btrfs_to_s3.operations.thaw.batch import (
    BatchPlace,
    BatchThaw,
    BatchWishes,
    request_by_job,
)
from btrfs_to_s3.operations.thaw.journal import open_journal
from btrfs_to_s3.operations.thaw.states import needed_of_chain
from btrfs_to_s3.operations.thaw.thaw import Thaw, ThawJob
from tests.operations.repositories import SyntheticRepository

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from btrfs_to_s3.model.backup import HeadEntry
    from tests.operations.conftest import Bucket

ROLE = "arn:aws:iam::123456789012:role/thaw"


@dataclass
class Service:
    """Implements ``ports.BatchJobs`` by doing what a manifest asks for, but its last lines."""

    bucket: Bucket
    skipped: int = 0
    orders: list[BatchThawOrder] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def create(self, order: BatchThawOrder) -> str:
        self.orders.append(order)
        lines = self.bucket.read(order.manifest_key).decode("ascii").splitlines()
        for line in lines[: len(lines) - self.skipped]:
            bucket, key = line.split(",")[:2]
            self.bucket.client.restore_object(
                Bucket=bucket,
                Key=unquote(key),
                RestoreRequest={"Days": order.days, "GlacierJobParameters": {"Tier": "Bulk"}},
            )
            self.asked.append(unquote(key).removeprefix(f"{self.bucket.prefix}/"))
        return "job-1"

    def state(self, job_id: str) -> BatchJobState:
        return BatchJobState(job_id, "Complete", 0, len(self.asked), self.skipped)


@pytest.fixture
def archived(bucket: Bucket, state_directory: Path) -> Iterator[SyntheticRepository]:
    with bucket.store(data_class="DEEP_ARCHIVE") as store:
        yield SyntheticRepository(store, state_directory)


def _both(
    repository: SyntheticRepository, service: Service, entry: HeadEntry, job: ThawJob | None = None
) -> tuple[Thaw, BatchThaw]:
    services, head = repository.services, repository.head()
    needed = needed_of_chain(services, head, entry, 2, proven=True)
    wanted = job or ThawJob(tier=Tier.BULK)
    thaw = Thaw(services, wanted, 2, repository.source_id, entry, needed)
    bucket = service.bucket
    place = BatchPlace(bucket.name, bucket.prefix, repository.source_id, entry.backup_id)
    journal = open_journal(services.state, repository.source_id, entry.backup_id)
    return thaw, BatchThaw(services, service, journal, place, BatchWishes(ROLE))


def test_one_job_asks_for_the_whole_chain(archived: SyntheticRepository, bucket: Bucket) -> None:
    full = archived.backup()
    entry = archived.backup(full)
    service = Service(bucket)
    thaw, batch = _both(archived, service, entry)
    days = thaw.status().chosen.days
    assert request_by_job(thaw, batch).ready
    [order] = service.orders
    assert sorted(service.asked) == [key for key in bucket.listing() if key.startswith("chunks/")]
    assert (order.days, order.tier) == (days, Tier.BULK)
    assert set(thaw.asked()) == {full.backup_id, entry.backup_id}


def test_what_is_thawed_already_makes_no_job(archived: SyntheticRepository, bucket: Bucket) -> None:
    entry = archived.backup()
    service = Service(bucket)
    request_by_job(*_both(archived, service, entry))
    assert request_by_job(*_both(archived, service, entry)).ready
    assert len(service.orders) == 1


def test_what_the_job_left_out_is_an_error_with_a_remedy(
    archived: SyntheticRepository, bucket: Bucket
) -> None:
    entry = archived.backup()
    thaw, batch = _both(archived, Service(bucket, skipped=1), entry)
    with pytest.raises(RepositoryError, match="1 are still frozen after the job") as caught:
        request_by_job(thaw, batch)
    assert "without --batch-operations" in (caught.value.hint or "")


def test_a_budget_that_does_not_suffice_makes_no_job(
    archived: SyntheticRepository, bucket: Bucket
) -> None:
    entry = archived.backup()
    service = Service(bucket)
    job = ThawJob(tier=Tier.BULK, budget=Decimal("0.0000001"), prices=load_prices(None))
    with pytest.raises(UsageError, match="more than the budget"):
        request_by_job(*_both(archived, service, entry, job))
    assert service.orders == []
    assert not [key for key in bucket.listing() if "thaw-manifest" in key]


def test_the_job_counts_against_the_budget_once(
    archived: SyntheticRepository, bucket: Bucket
) -> None:
    entry = archived.backup()
    job = ThawJob(tier=Tier.BULK, prices=load_prices(None))
    thaw, batch = _both(archived, Service(bucket), entry, job)
    request_by_job(thaw, batch)
    request_by_job(thaw, batch)
    journal = open_journal(archived.services.state, archived.source_id, entry.backup_id)
    amounts = [Decimal(str(each["amount"])) for each in journal.records() if "amount" in each]
    assert len(amounts) == 1
    assert amounts[0] > 0
