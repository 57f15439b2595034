"""Thawing by one job: the manifest, the journal, the job's end."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from btrfs_to_s3.errors import (
    InterruptedRunError,
    MissingObjectError,
    RepositoryError,
    UnreachableError,
    UsageError,
)
from btrfs_to_s3.model.batch_job import BatchJobState, BatchThawOrder
from btrfs_to_s3.model.identity import BackupId
from btrfs_to_s3.model.storage_class import Tier
from btrfs_to_s3.operations.thaw.batch import BatchObject, BatchPlace, BatchThaw, BatchWishes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.operations.conftest import Bucket
    from tests.operations.repositories import SyntheticRepository

ROLE = "arn:aws:iam::123456789012:role/thaw"
BACKUP = BackupId.parse("20261120T020000Z-full-1a2b3c4d")
OBJECTS = [BatchObject(f"chunks/a b,c/{n}.zst") for n in range(3)]
AT_ONCE = timedelta(milliseconds=1)


class Jobs:
    """Implements ``ports.BatchJobs``: a job goes through the given states, then stays."""

    def __init__(self, *states: BatchJobState | Exception) -> None:
        self.states = list(states) or [_state("Complete", succeeded=3)]
        self.orders: list[BatchThawOrder] = []
        self.refusal: Exception | None = None

    def create(self, order: BatchThawOrder) -> str:
        self.orders.append(order)
        if self.refusal is not None:
            raise self.refusal
        return "job-1"

    def state(self, job_id: str) -> BatchJobState:
        assert job_id == "job-1"
        found = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(found, Exception):
            raise found
        return found


def _state(
    status: str, *, succeeded: int = 0, failed: int = 0, reasons: Sequence[str] = ()
) -> BatchJobState:
    return BatchJobState("job-1", status, 3, succeeded, failed, tuple(reasons))


def _batch(
    repository: SyntheticRepository,
    bucket: Bucket,
    jobs: Jobs,
    wishes: BatchWishes | None = None,
) -> BatchThaw:
    place = BatchPlace(bucket.name, bucket.prefix, repository.source_id, BACKUP)
    services = repository.services
    journal = services.state.journal("thaw", "test")
    return BatchThaw(services, jobs, journal, place, wishes or BatchWishes(ROLE), AT_ONCE)


def _manifests(bucket: Bucket) -> list[str]:
    return [key for key in bucket.listing() if key.endswith("-thaw-manifest.csv")]


def test_the_manifest_lists_every_object_url_encoded(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    jobs = Jobs()
    assert _batch(repository, bucket, jobs).request(OBJECTS, 7, Tier.BULK)
    [order] = jobs.orders
    [key] = _manifests(bucket)
    assert order.manifest_key == key
    assert key.startswith(f"notes/{repository.source_id}/{BACKUP}/")
    lines = bucket.read(key).decode("ascii").splitlines()
    assert lines[0] == f"{bucket.name},{bucket.prefix}/chunks/a%20b%2Cc/0.zst"
    assert [unquote(line.split(",")[1]) for line in lines] == [
        f"{bucket.prefix}/{each.key}" for each in OBJECTS
    ]
    head = bucket.client.head_object(Bucket=bucket.name, Key=f"{bucket.prefix}/{key}")
    assert head["ETag"] == f'"{order.manifest_etag}"'
    assert (order.days, order.tier, order.versions) == (7, Tier.BULK, False)
    assert order.report_prefix.startswith(f"{bucket.prefix}/notes/")


def test_versions_stand_in_a_column_of_their_own_as_soon_as_one_has_it(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    jobs = Jobs()
    objects = [BatchObject("chunks/a"), BatchObject("chunks/b", "v1")]
    _batch(repository, bucket, jobs).request(objects, 7, Tier.STANDARD)
    [key] = _manifests(bucket)
    rows = [line.split(",")[2] for line in bucket.read(key).decode().splitlines()]
    assert rows == ["null", "v1"]
    assert jobs.orders[0].versions


def test_a_second_call_goes_on_with_the_same_job(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    jobs = Jobs()
    assert _batch(repository, bucket, jobs).request(OBJECTS, 7, Tier.BULK)
    assert not _batch(repository, bucket, jobs).request(OBJECTS, 7, Tier.BULK)
    assert len(jobs.orders) == 1
    state = _batch(repository, bucket, jobs).follow()
    assert state is not None
    assert state.complete
    assert _batch(repository, bucket, jobs).follow() is None
    repository.clock.advance(minutes=1)
    assert _batch(repository, bucket, jobs).request(OBJECTS, 7, Tier.BULK)
    assert len(_manifests(bucket)) == 2


def test_a_job_whose_answer_was_lost_is_asked_for_with_the_same_token(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    jobs = Jobs()
    jobs.refusal = UnreachableError("no answer")
    with pytest.raises(UnreachableError):
        _batch(repository, bucket, jobs).request(OBJECTS, 7, Tier.BULK)
    jobs.refusal = None
    assert _batch(repository, bucket, jobs).request(OBJECTS, 7, Tier.BULK)
    assert jobs.orders[0] == jobs.orders[1]
    assert len(_manifests(bucket)) == 1


def test_other_wishes_make_another_job(repository: SyntheticRepository, bucket: Bucket) -> None:
    jobs = Jobs()
    jobs.refusal = UnreachableError("no answer")
    with pytest.raises(UnreachableError):
        _batch(repository, bucket, jobs).request(OBJECTS, 7, Tier.BULK)
    jobs.refusal = None
    repository.clock.advance(minutes=1)
    _batch(repository, bucket, jobs).request(OBJECTS, 9, Tier.BULK)
    assert jobs.orders[0].token != jobs.orders[1].token
    assert jobs.orders[1].days == 9


def test_a_job_is_followed_to_its_end(repository: SyntheticRepository, bucket: Bucket) -> None:
    jobs = Jobs(_state("Preparing"), _state("Active", succeeded=1), _state("Complete", succeeded=3))
    batch = _batch(repository, bucket, jobs)
    batch.request(OBJECTS, 7, Tier.BULK)
    state = batch.follow()
    assert state is not None
    assert state.succeeded == 3
    assert repository.listener.warnings == []


@pytest.mark.parametrize("status", ["Failed", "Cancelled"])
def test_a_job_that_fails_is_an_error_with_its_reasons_and_the_next_one_is_new(
    repository: SyntheticRepository, bucket: Bucket, status: str
) -> None:
    jobs = Jobs(_state(status, reasons=["AccessDenied: no manifest"]))
    batch = _batch(repository, bucket, jobs)
    batch.request(OBJECTS, 7, Tier.BULK)
    with pytest.raises(RepositoryError, match=f"{status}: AccessDenied: no manifest") as caught:
        batch.follow()
    assert "s3:RestoreObject" in (caught.value.hint or "")
    repository.clock.advance(minutes=1)
    assert batch.request(OBJECTS, 7, Tier.BULK)


def test_objects_that_failed_are_told_with_their_codes(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    jobs = Jobs(_state("Complete", succeeded=1, failed=2))
    batch = _batch(repository, bucket, jobs)
    batch.request(OBJECTS, 7, Tier.BULK)
    report = jobs.orders[0].report_prefix.removeprefix(f"{bucket.prefix}/")
    # User Guide, "Examples: S3 Batch Operations completion reports".
    rows = "".join(
        f"{bucket.name},key{n},,failed,{code},{status},message\n"
        for n, (code, status) in enumerate([("AccessDenied", 403), ("NoSuchKey", 404)])
    )
    bucket.write(f"{report}/job-job-1/results/abc.csv", rows.encode())
    batch.follow()
    [warning] = repository.listener.warnings
    assert "could not ask for 2 of 3 objects: 1 AccessDenied, 1 NoSuchKey" in warning


def test_a_report_elsewhere_is_not_read(repository: SyntheticRepository, bucket: Bucket) -> None:
    jobs = Jobs(_state("Complete", succeeded=1, failed=2))
    batch = _batch(repository, bucket, jobs, BatchWishes(ROLE, report_prefix="reports"))
    batch.request(OBJECTS, 7, Tier.BULK)
    assert jobs.orders[0].report_prefix == "reports"
    batch.follow()
    [warning] = repository.listener.warnings
    assert warning.endswith("could not ask for 2 of 3 objects")


def test_a_job_that_nobody_knows_any_more_is_given_up(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    jobs = Jobs(MissingObjectError("job-1 does not exist"))
    batch = _batch(repository, bucket, jobs)
    batch.request(OBJECTS, 7, Tier.BULK)
    with pytest.raises(RepositoryError, match="not known any more"):
        batch.follow()
    assert batch.follow() is None


def test_an_interruption_leaves_the_job_to_the_next_call(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    jobs = Jobs(_state("Active"))
    batch = _batch(repository, bucket, jobs)
    batch.request(OBJECTS, 7, Tier.BULK)
    repository.cancel.set()
    with pytest.raises(InterruptedRunError):
        batch.follow()
    assert not batch.request(OBJECTS, 7, Tier.BULK)


def test_what_a_job_cannot_do_is_refused_before_anything_is_written(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    jobs = Jobs()
    batch = _batch(repository, bucket, jobs)
    with pytest.raises(UsageError, match="no expedited tier"):
        batch.request(OBJECTS, 7, Tier.EXPEDITED)
    with pytest.raises(UsageError, match="nothing is frozen"):
        batch.request([], 7, Tier.BULK)
    assert _manifests(bucket) == []
    assert jobs.orders == []


def test_lines_of_others_in_the_journal_are_left_alone(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    jobs = Jobs()
    batch = _batch(repository, bucket, jobs)
    journal = repository.services.state.journal("thaw", "test")
    journal.append({"what": "job", "days": 3})
    batch.request(OBJECTS, 7, Tier.BULK)
    journal.append({"what": "asked", "step": "ended"})
    assert not batch.request(OBJECTS, 7, Tier.BULK)
    assert next(iter(journal.records())) == {"what": "job", "days": 3}


def test_a_line_that_cannot_be_read_makes_a_new_job(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    jobs = Jobs()
    batch = _batch(repository, bucket, jobs)
    journal = repository.services.state.journal("thaw", "test")
    journal.append({"what": "batch", "step": "stored", "days": "no number"})
    assert batch.request(OBJECTS, 7, Tier.BULK)


def test_a_service_without_jobs_is_named_and_nothing_is_left_there(
    repository: SyntheticRepository, bucket: Bucket
) -> None:
    with bucket.store() as store:
        place = BatchPlace(bucket.name, bucket.prefix, repository.source_id, BACKUP)
        services = repository.services
        journal = services.state.journal("thaw", "test")
        jobs = store.batch_jobs()
        batch = BatchThaw(services, jobs, journal, place, BatchWishes(ROLE), AT_ONCE)
        with pytest.raises(RepositoryError, match="has no S3 Control API"):
            batch.request(OBJECTS, 7, Tier.BULK)
    assert _manifests(bucket) == []
    assert batch.follow() is None
