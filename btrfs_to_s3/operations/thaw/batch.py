"""Thawing very many objects by one job of S3 Batch Operations.

A job reads a manifest, the list of objects, and asks for the thaw of each. It reports only that it
asked: what can be read, the objects' own states say. Journalled so that a second call goes on with
the same job. Lines: ``batch`` with a ``step``: ``begun`` (before the manifest is written),
``stored`` (it is there), ``created`` (the job exists), ``ended``.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import quote
from uuid import uuid4

from btrfs_to_s3.errors import (
    BtrfsToS3Error,
    IntegrityError,
    InterruptedRunError,
    MissingObjectError,
    RepositoryError,
    UnreachableError,
    UsageError,
)
from btrfs_to_s3.format import keys
from btrfs_to_s3.format.jsonio import encode_time
from btrfs_to_s3.model.batch_job import BatchThawOrder
from btrfs_to_s3.model.objects import Create, DeleteTarget, Role
from btrfs_to_s3.model.storage_class import Tier
from btrfs_to_s3.plan.restore.thaw_state import ThawState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from btrfs_to_s3.model.batch_job import BatchJobState
    from btrfs_to_s3.model.identity import BackupId, SourceId
    from btrfs_to_s3.operations.services import Services
    from btrfs_to_s3.operations.thaw.thaw import Thaw
    from btrfs_to_s3.plan.restore.thaw import ThawPlan
    from btrfs_to_s3.plan.restore.thaw_state import ChunkThaw
    from btrfs_to_s3.ports import BatchJobs, Journal

_LINE: Final = "batch"
_READ_BYTES: Final = 1024 * 1024
_REPORT_LIMIT_BYTES: Final = 64 * 1024 * 1024
_ERROR_CODE: Final = 4
"""The column of the report (User Guide, "Examples: completion reports")."""
_LONGEST_LOOK: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class BatchWishes:
    """How the job is to be run.

    ``role_arn`` is the IAM role that it assumes; a job of higher ``priority`` goes first.
    ``report_prefix`` is a prefix of the bucket's keys; None puts reports beside the manifest.
    """

    role_arn: str
    priority: int = 10
    report_prefix: str | None = None


@dataclass(frozen=True, slots=True)
class BatchObject:
    """One object to thaw; its key is relative to the repository's prefix."""

    key: str
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class BatchPlace:
    """Where the bucket's keys begin, and what the thaw is for."""

    bucket: str
    prefix: str
    source_id: SourceId
    backup_id: BackupId

    def full(self, key: str) -> str:
        """A relative key as the bucket knows it."""
        return f"{self.prefix}/{key}" if self.prefix else key


@dataclass(frozen=True, slots=True)
class _Open:
    """The job that the journal leaves open."""

    order: BatchThawOrder
    job_id: str | None


class BatchThaw:
    """One thaw by S3 Batch Operations. ``journal`` may hold lines of others too."""

    def __init__(
        self,
        services: Services,
        jobs: BatchJobs,
        journal: Journal,
        place: BatchPlace,
        wishes: BatchWishes,
        poll: timedelta = _LONGEST_LOOK,
    ) -> None:
        self._services = services
        self._jobs = jobs
        self._journal = journal
        self._place = place
        self._wishes = wishes
        self._poll = min(poll, _LONGEST_LOOK)

    def request(self, objects: Iterable[BatchObject], days: int, tier: Tier) -> bool:
        """Start a job for these objects, or go on with the open one; True for a new one.

        ``UsageError`` for a tier that jobs do not have and when there is nothing to thaw;
        ``RepositoryError`` with the remedy where the service has no S3 Control API.
        """
        if tier is Tier.EXPEDITED:
            raise UsageError(
                "S3 Batch Operations know no expedited tier",
                hint="give --tier standard or bulk, or leave --batch-operations out",
            )
        found = self._open()
        if found is not None and found.job_id is not None:
            self._services.reporter.note(f"going on with job {found.job_id}")
            return False
        order = None if found is None else found.order
        if order is None or not self._as_wished(order, days, tier):
            order = self._stored(objects, days, tier)
        job_id = self._created(order)
        self._note("created", job_id=job_id)
        self._services.reporter.note(f"S3 Batch Operations job {job_id} was created")
        return True

    def _created(self, order: BatchThawOrder) -> str:
        """Create the job; one that was refused leaves no manifest behind."""
        try:
            return self._jobs.create(order)
        except UnreachableError:
            # It may have been created: the next call asks with the same token.
            raise
        except RepositoryError:
            self._services.access.store.delete([DeleteTarget(order.manifest_key)])
            self._note("ended", status="refused", failed=0)
            raise

    def follow(self) -> BatchJobState | None:
        """Wait for the open job's end; None where there is none.

        A job that fails, or was cancelled, is a ``RepositoryError`` with its reasons; single
        objects that it failed to ask for are a warning with their error codes.
        """
        found = self._open()
        if found is None or found.job_id is None:
            return None
        while True:
            state = self._state(found.job_id)
            if state.ended:
                break
            done = state.succeeded + state.failed
            self._services.reporter.activity(
                f"job {state.job_id} is {state.status}: {done} of {state.total} objects"
            )
            if self._services.cancel.wait(self._poll.total_seconds()):
                raise InterruptedRunError("interrupted while a job was under way")
        codes = self._failures(found.order, state) if state.failed else {}
        self._note("ended", job_id=state.job_id, status=state.status, failed=state.failed)
        self._judge(state, codes)
        return state

    def _state(self, job_id: str) -> BatchJobState:
        try:
            return self._jobs.state(job_id)
        except MissingObjectError as error:
            self._note("ended", job_id=job_id, status="forgotten", failed=0)
            raise RepositoryError(
                f"job {job_id} is not known any more",
                hint="request the thaw again: only what is still frozen is asked for",
                job_id=job_id,
            ) from error

    def _judge(self, state: BatchJobState, codes: Mapping[str, int]) -> None:
        why = ", ".join(f"{count} {code}" for code, count in codes.items())
        if not state.complete:
            reasons = "; ".join([*state.reasons, *([why] if why else [])]) or "no reason given"
            raise RepositoryError(
                f"job {state.job_id} ended as {state.status}: {reasons}",
                hint="the role needs s3:RestoreObject on the chunks, s3:GetObject on the manifest "
                "and s3:PutObject on the report; or leave --batch-operations out",
                job_id=state.job_id,
                status=state.status,
            )
        if state.failed:
            self._services.reporter.warn(
                f"job {state.job_id} could not ask for {state.failed} of {state.total} objects"
                + (f": {why}" if why else "")
            )

    # The manifest

    def _stored(self, objects: Iterable[BatchObject], days: int, tier: Tier) -> BatchThawOrder:
        """Write the manifest, and what the job will be made of."""
        now = self._services.clock()
        place, state = self._place, self._services.state
        key = keys.thaw_manifest(place.source_id, place.backup_id, now)
        report = keys.thaw_report(place.source_id, place.backup_id, now)
        token = uuid4().hex
        self._note("begun", time=encode_time(now), token=token, manifest_key=key)
        with state.temporary() as listed, state.temporary() as bare:
            count, versions = self._list(objects, listed, bare)
            if not count:
                raise UsageError("nothing is frozen, so no job is needed")
            body = listed if versions else bare
            stored = self._services.access.store.put(
                key,
                body,
                sha256=_digest(body),
                role=Role.METADATA,
                condition=Create.ONLY_NEW,
            )
        order = BatchThawOrder(
            manifest_key=key,
            manifest_etag=stored.etag,
            versions=versions,
            days=days,
            tier=tier,
            role_arn=self._wishes.role_arn,
            priority=self._wishes.priority,
            report_prefix=self._wishes.report_prefix or place.full(report),
            token=token,
        )
        self._note("stored", objects=count, **_order_fields(order))
        return order

    def _list(
        self, objects: Iterable[BatchObject], listed: BinaryIO, bare: BinaryIO
    ) -> tuple[int, bool]:
        """The manifest with and without versions; how many lines, and which one counts.

        Keys are URL-encoded; an object without a version is ``null`` among those with one.
        """
        count, versions = 0, False
        for each in objects:
            line = f"{self._place.bucket},{quote(self._place.full(each.key), safe='/')}"
            listed.write(f"{line},{each.version_id or 'null'}\n".encode("ascii"))
            bare.write(f"{line}\n".encode("ascii"))
            count, versions = count + 1, versions or each.version_id is not None
        for file in (listed, bare):
            file.seek(0)
        return count, versions

    def _as_wished(self, order: BatchThawOrder, days: int, tier: Tier) -> bool:
        """Whether an order whose job was perhaps never made can be sent again as it is."""
        wishes = self._wishes
        return (order.days, order.tier, order.role_arn, order.priority) == (
            days,
            tier,
            wishes.role_arn,
            wishes.priority,
        ) and wishes.report_prefix in (None, order.report_prefix)

    # The report

    def _failures(self, order: BatchThawOrder, state: BatchJobState) -> dict[str, int]:
        """How many tasks failed with which code, by the job's report; empty if it is not there."""
        above = self._place.full("")
        if not order.report_prefix.startswith(above):
            return {}
        store = self._services.access.store
        prefix = f"{order.report_prefix.removeprefix(above)}/job-{state.job_id}/results/"
        codes: Counter[str] = Counter()
        try:
            for listed in store.list(prefix):
                data, _ = store.get_whole(listed.key, limit_bytes=_REPORT_LIMIT_BYTES)
                rows = csv.reader(io.StringIO(data.decode("utf-8", "replace")))
                codes.update(row[_ERROR_CODE] for row in rows if len(row) > _ERROR_CODE)
        except (RepositoryError, IntegrityError) as error:
            self._services.reporter.note(f"the job's report cannot be read: {error}")
        return dict(codes.most_common())

    # The journal

    def _open(self) -> _Open | None:
        order: BatchThawOrder | None = None
        job_id: str | None = None
        for record in self._journal.records():
            if record.get("what") != _LINE:
                continue
            match record.get("step"):
                case "begun" | "ended":
                    order, job_id = None, None
                case "stored":
                    order = _order_of(record)
                case "created":
                    job_id = str(record.get("job_id"))
        return None if order is None else _Open(order, job_id)

    def _note(self, step: str, **fields: object) -> None:
        self._journal.append({"what": _LINE, "step": step, **fields})


def request_by_job(thaw: Thaw, batch: BatchThaw) -> ThawPlan:
    """Ask for all that is frozen by one job, follow it to its end; how far everything is then.

    ``RepositoryError`` when the job failed or left something that it could not ask for.
    """

    def ask(chunks: Iterator[ChunkThaw], days: int, tier: Tier) -> bool:
        objects = (BatchObject(each.record.key, each.record.version_id) for each in chunks)
        return batch.request(objects, days, tier)

    thaw.request_together(ask)
    batch.follow()
    plan = thaw.status()
    if left := plan.count(ThawState.FROZEN):
        raise RepositoryError(
            f"of {plan.object_count} objects {left} are still frozen after the job",
            hint="repeat the request without --batch-operations: each is then asked for by itself",
            frozen_count=left,
        )
    return plan


def _order_fields(order: BatchThawOrder) -> dict[str, object]:
    return {
        "manifest_key": order.manifest_key,
        "manifest_etag": order.manifest_etag,
        "versions": order.versions,
        "days": order.days,
        "tier": order.tier.value,
        "role_arn": order.role_arn,
        "priority": order.priority,
        "report_prefix": order.report_prefix,
        "token": order.token,
    }


def _order_of(record: Mapping[str, Any]) -> BatchThawOrder | None:
    """The order of a journal's line; None for one that cannot be read: it is made anew."""
    try:
        return BatchThawOrder(
            manifest_key=str(record["manifest_key"]),
            manifest_etag=str(record["manifest_etag"]),
            versions=bool(record["versions"]),
            days=int(record["days"]),
            tier=Tier(record["tier"]),
            role_arn=str(record["role_arn"]),
            priority=int(record["priority"]),
            report_prefix=str(record["report_prefix"]),
            token=str(record["token"]),
        )
    except (KeyError, TypeError, ValueError, BtrfsToS3Error):
        return None


def _digest(body: BinaryIO) -> bytes:
    """The SHA-256 of a file, which is read from its beginning and left there."""
    digest = hashlib.sha256()
    while data := body.read(_READ_BYTES):
        digest.update(data)
    body.seek(0)
    return digest.digest()
