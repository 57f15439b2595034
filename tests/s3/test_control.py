"""S3 Batch Operations: requests by botocore's own model, recorded answers, services without it."""

from __future__ import annotations

import io
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.stub import Stubber

from btrfs_to_s3.errors import AccessDeniedError, MissingObjectError, RepositoryError
from btrfs_to_s3.model.batch_job import BatchThawOrder
from btrfs_to_s3.model.storage_class import Tier
from btrfs_to_s3.s3 import S3Settings
from btrfs_to_s3.s3.control import Clients, S3BatchJobs
from btrfs_to_s3.s3.session import Session, World
from btrfs_to_s3.s3.translate import UnsupportedRequestError
from tests.s3.conftest import QUICK, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACCOUNT = "123456789012"
JOB = "00e123a4-c0d8-41f4-a0eb-b46f9ba5b07c"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/thaw"
ORDER = BatchThawOrder(
    manifest_key="notes/data-01234567/b/t-thaw-manifest.csv",
    manifest_etag="60e460c9d1046e73f7dde5043ac3ae85",
    versions=False,
    days=7,
    tier=Tier.BULK,
    role_arn=ROLE,
    priority=10,
    report_prefix="pre/notes/data-01234567/b/t-thaw-report",
    token="0123456789abcdef0123456789abcdef",
)
REQUEST = {
    "AccountId": ACCOUNT,
    "ConfirmationRequired": False,
    "ClientRequestToken": ORDER.token,
    "Description": f"btrfs-to-s3 thaw of {ORDER.manifest_key}",
    "Operation": {"S3InitiateRestoreObject": {"ExpirationInDays": 7, "GlacierJobTier": "BULK"}},
    "Manifest": {
        "Spec": {"Format": "S3BatchOperations_CSV_20180820", "Fields": ["Bucket", "Key"]},
        "Location": {
            "ObjectArn": f"arn:aws:s3:::bucket/pre/{ORDER.manifest_key}",
            "ETag": ORDER.manifest_etag,
        },
    },
    "Report": {
        "Bucket": "arn:aws:s3:::bucket",
        "Format": "Report_CSV_20180820",
        "Enabled": True,
        "Prefix": ORDER.report_prefix,
        "ReportScope": "FailedTasksOnly",
    },
    "Priority": 10,
    "RoleArn": ROLE,
}
# The shape of the S3 Control API Reference, DescribeJob, "Response Syntax".
DESCRIBED = b"""<?xml version="1.0" encoding="UTF-8"?>
<DescribeJobResult xmlns="http://awss3control.amazonaws.com/doc/2018-08-20/"><Job>
<JobId>00e123a4-c0d8-41f4-a0eb-b46f9ba5b07c</JobId><ConfirmationRequired>false</ConfirmationRequired>
<Status>Failed</Status><Priority>10</Priority><ProgressSummary>
<TotalNumberOfTasks>1000</TotalNumberOfTasks><NumberOfTasksSucceeded>400</NumberOfTasksSucceeded>
<NumberOfTasksFailed>600</NumberOfTasksFailed></ProgressSummary>
<FailureReasons><member><FailureCode>AccessDenied</FailureCode>
<FailureReason>Access denied when accessing the manifest</FailureReason></member></FailureReasons>
<StatusUpdateReason>too many failures</StatusUpdateReason>
</Job></DescribeJobResult>"""
CREATED = b"""<?xml version="1.0" encoding="UTF-8"?>
<CreateJobResult xmlns="http://awss3control.amazonaws.com/doc/2018-08-20/">
<JobId>00e123a4-c0d8-41f4-a0eb-b46f9ba5b07c</JobId></CreateJobResult>"""


class Raw(io.BytesIO):
    """A body as botocore reads it from urllib3."""

    def stream(self) -> Iterator[bytes]:
        yield self.getvalue()


def _client(name: str) -> Any:  # noqa: ANN401 - the stubs know S3 alone
    session = boto3.Session("id", "secret", region_name="us-east-1")
    return session.client(name)  # type: ignore[call-overload]  # likewise


@contextmanager
def _session() -> Iterator[Session]:
    session = Session.open(S3Settings("bucket", "pre", region="us-east-1"), QUICK, World())
    with closing(session):
        yield session


@contextmanager
def _stubbed() -> Iterator[tuple[S3BatchJobs, Stubber]]:
    """Jobs whose answers are put in by the test; botocore checks every request by its model."""
    with (
        _session() as session,
        closing(_client("sts")) as sts,
        closing(_client("s3control")) as control,
        Stubber(sts) as identity,
        Stubber(control) as stub,
    ):
        identity.add_response("get_caller_identity", {"Account": ACCOUNT})
        yield S3BatchJobs(session, Clients(sts, control)), stub


def test_a_job_is_made_of_a_request_that_botocore_accepts() -> None:
    with _stubbed() as (jobs, stub):
        stub.add_response("create_job", {"JobId": JOB}, REQUEST)
        assert jobs.create(ORDER) == JOB
        stub.assert_no_pending_responses()


def test_versions_have_a_column_and_a_role_its_partition() -> None:
    china = "arn:aws-cn:iam::123456789012:role/thaw"
    with _stubbed() as (jobs, _):
        request = jobs.request_of(replace(ORDER, versions=True, role_arn=china, tier=Tier.STANDARD))
    assert request["Manifest"]["Spec"]["Fields"] == ["Bucket", "Key", "VersionId"]
    assert request["Report"]["Bucket"] == "arn:aws-cn:s3:::bucket"
    assert request["Operation"]["S3InitiateRestoreObject"]["GlacierJobTier"] == "STANDARD"


def test_what_goes_over_the_wire_has_the_shape_of_the_reference() -> None:
    sent: list[Any] = []

    def answer(body: bytes) -> Callable[..., AWSResponse]:
        def handle(request: Any, **_: object) -> AWSResponse:  # noqa: ANN401 - botocore's
            sent.append(request)
            return AWSResponse(request.url, 200, HTTPHeaders(), Raw(body))

        return handle

    with (
        _session() as session,
        closing(_client("sts")) as sts,
        closing(_client("s3control")) as control,
    ):
        control.meta.events.register("before-send.s3-control.CreateJob", answer(CREATED))
        control.meta.events.register("before-send.s3-control.DescribeJob", answer(DESCRIBED))
        with Stubber(sts) as identity:
            identity.add_response("get_caller_identity", {"Account": ACCOUNT})
            jobs = S3BatchJobs(session, Clients(sts, control))
            job_id = jobs.create(ORDER)
            state = jobs.state(job_id)
    create, describe = sent
    host = f"https://{ACCOUNT}.s3-control.us-east-1.amazonaws.com"
    assert (create.method, create.url) == ("POST", f"{host}/v20180820/jobs")
    body = create.body.decode()
    assert "<S3InitiateRestoreObject><ExpirationInDays>7</ExpirationInDays>" in body
    assert "<GlacierJobTier>BULK</GlacierJobTier>" in body
    assert f"<ETag>{ORDER.manifest_etag}</ETag>" in body
    assert describe.url == f"{host}/v20180820/jobs/{job_id}"
    assert (state.status, state.total, state.succeeded, state.failed) == ("Failed", 1000, 400, 600)
    assert state.ended
    assert not state.complete
    assert state.reasons == (
        "AccessDenied: Access denied when accessing the manifest",
        "too many failures",
    )


@pytest.mark.parametrize(
    ("code", "status", "error", "hint"),
    [
        ("AccessDenied", 403, AccessDeniedError, "iam:PassRole"),
        ("InvalidRequest", 400, RepositoryError, "check --role"),
    ],
)
def test_a_refused_job_says_what_it_needs(
    code: str, status: int, error: type[RepositoryError], hint: str
) -> None:
    with _stubbed() as (jobs, stub):
        stub.add_client_error("create_job", code, "no", status)
        with pytest.raises(error) as caught:
            jobs.create(ORDER)
        assert hint in (caught.value.hint or "")


def test_throttling_is_waited_for_and_a_lost_job_is_missing() -> None:
    with _stubbed() as (jobs, stub):
        stub.add_client_error("describe_job", "TooManyRequestsException", "slow", 400)
        stub.add_response("describe_job", {"Job": {"JobId": JOB, "Status": "New"}})
        assert jobs.state(JOB).status == "New"
        stub.add_client_error("describe_job", "NotFoundException", "gone", 404)
        with pytest.raises(MissingObjectError):
            jobs.state(JOB)


@pytest.mark.parametrize("name", ["moto", "rclone", "swift"])
def test_a_service_without_the_api_is_named_at_once_with_the_remedy(
    place_at: Callable[[str], Place], name: str
) -> None:
    place = place_at(name)
    with place.store() as store, pytest.MonkeyPatch.context() as patch:
        for variable, value in place.service.environment().items():
            patch.setenv(variable, value)
        patch.delenv("AWS_SESSION_TOKEN")
        begun = time.monotonic()
        with pytest.raises(UnsupportedRequestError, match="has no S3 Control API") as caught:
            store.batch_jobs().create(ORDER)
        assert time.monotonic() - begun < 20
    assert caught.value.hint is not None
    assert "leave --batch-operations out" in caught.value.hint
    assert place.service.endpoint_url in caught.value.message
