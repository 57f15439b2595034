"""The faults do what they say, and where there is none nothing is changed."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import time
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    FlexibleChecksumError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from integration_tests.harness.faultproxy import rules
from integration_tests.harness.faultproxy.operations import operation_of
from integration_tests.harness.faultproxy.proxy import FaultProxy, Request, fault_proxy
from integration_tests.harness.faultproxy.rules import Act, Rule, Script, Side
from integration_tests.harness.services import moto_server
from integration_tests.harness.tests.uploads import PART, error_code, put_in_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

MEBIBYTE = secrets.token_bytes(1024**2)


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("GET", "/", "ListBuckets"),
        ("GET", "/b?list-type=2&prefix=p", "ListObjectsV2"),
        ("GET", "/b?uploads", "ListMultipartUploads"),
        ("POST", "/b?delete", "DeleteObjects"),
        ("HEAD", "/b", "HeadBucket"),
        ("GET", "/b/k/l", "GetObject"),
        ("PUT", "/b/k", "PutObject"),
        ("POST", "/b/k?uploads", "CreateMultipartUpload"),
        ("PUT", "/b/k?partNumber=3&uploadId=u", "UploadPart"),
        ("GET", "/b/k?uploadId=u", "ListParts"),
        ("POST", "/b/k?uploadId=u", "CompleteMultipartUpload"),
        ("DELETE", "/b/k?uploadId=u", "AbortMultipartUpload"),
        ("DELETE", "/b/k", "DeleteObject"),
        ("POST", "/b/k?restore", "RestoreObject"),
        ("PATCH", "/b/k", "Other"),
    ],
)
def test_a_request_is_known_by_its_operation(method: str, path: str, operation: str) -> None:
    assert operation_of(method, path) == operation


def test_a_rule_acts_from_its_first_to_its_last_match() -> None:
    script = Script([rules.slow_down(operation="PutObject", first=2, last=3)])
    acted = [script.rule_for("PutObject", "PUT", "/b/k") is not None for _ in range(5)]
    assert acted == [False, True, True, False, False]
    assert script.rule_for("GetObject", "GET", "/b/k") is None


def test_a_rule_counts_also_where_an_earlier_one_acts() -> None:
    earlier, later = rules.slow_down(last=1), rules.access_denied(path="k$", first=2)
    script = Script([earlier, later])
    assert [script.rule_for("PutObject", "PUT", "/b/k") for _ in range(2)] == [earlier, later]


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultProxy]:
    """Return a proxy before a moto of its own, with nothing wrong yet."""
    with moto_server() as service, fault_proxy(service) as running:
        yield running


@pytest.fixture
def through(proxy: FaultProxy) -> Iterator[S3Client]:
    """Return a client that goes through the proxy and gives up after a second of silence."""
    with contextlib.closing(proxy.service.client(read_timeout_s=1)) as client:
        yield client
    proxy.set_rules()


@pytest.fixture
def bucket(proxy: FaultProxy) -> str:
    """Return a bucket with one object, `k`, of one MiB."""
    proxy.set_rules()
    name = proxy.service.create_bucket()
    with contextlib.closing(proxy.service.client()) as client:
        client.put_object(Bucket=name, Key="k", Body=MEBIBYTE)
    return name


def ended(proxy: FaultProxy, operation: str) -> Request:
    """The last request of an operation, once the proxy has noted its end."""
    deadline = time.monotonic() + 10
    while (last := proxy.requests(operation)[-1]).seconds is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return last


def test_bodies_pass_through_unchanged(proxy: FaultProxy, through: S3Client, bucket: str) -> None:
    parts = [secrets.token_bytes(PART), secrets.token_bytes(PART)]
    put_in_parts(through, bucket, "joined", parts)
    assert through.get_object(Bucket=bucket, Key="joined")["Body"].read() == b"".join(parts)
    assert len(proxy.requests("UploadPart")) >= 2
    last = ended(proxy, "GetObject")
    assert (last.status, last.answer_bytes, last.rule, last.error) == (200, 2 * PART, None, None)


@pytest.mark.parametrize(
    ("rule", "status", "code"),
    [
        (rules.internal_error(), 500, "InternalError"),
        (rules.slow_down(), 503, "SlowDown"),
        (rules.access_denied(), 403, "AccessDenied"),
        (rules.expired_token(), 400, "ExpiredToken"),
        (rules.clock_skew(), 403, "RequestTimeTooSkewed"),
        (rules.answer(409, "OperationAborted"), 409, "OperationAborted"),
    ],
)
def test_a_scripted_error_answers_and_the_service_sees_nothing(
    proxy: FaultProxy, through: S3Client, bucket: str, rule: Rule, status: int, code: str
) -> None:
    proxy.set_rules(dataclasses.replace(rule, operation="PutObject", last=1))
    with pytest.raises(ClientError) as failed:
        through.put_object(Bucket=bucket, Key="new", Body=b"x")
    assert error_code(failed.value) == code
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert proxy.requests()[-1].status == status
    assert proxy.requests()[-1].rule == f"{code} on PutObject"
    with pytest.raises(ClientError, match="404"):
        through.head_object(Bucket=bucket, Key="new")
    through.put_object(Bucket=bucket, Key="new", Body=b"x")


@pytest.mark.parametrize(
    ("rule", "seen"),
    [
        (Rule(act=Act.LOSE_ANSWER, operation="PutObject"), ConnectionClosedError),
        (rules.internal_error(operation="PutObject", processed=True), ClientError),
    ],
)
def test_a_request_whose_answer_is_lost_was_processed(
    proxy: FaultProxy, through: S3Client, bucket: str, rule: Rule, seen: type[Exception]
) -> None:
    proxy.set_rules(rule)
    with pytest.raises(seen):
        through.put_object(Bucket=bucket, Key="new", Body=b"done all the same")
    assert through.get_object(Bucket=bucket, Key="new")["Body"].read() == b"done all the same"


@pytest.mark.parametrize("at_byte", [0, 300_000])
def test_an_upload_reset_within_its_body_leaves_no_object(
    proxy: FaultProxy, through: S3Client, bucket: str, at_byte: int
) -> None:
    proxy.set_rules(Rule(act=Act.RESET, side=Side.REQUEST, at_byte=at_byte, operation="PutObject"))
    with pytest.raises(ConnectionClosedError):
        through.put_object(Bucket=bucket, Key="new", Body=MEBIBYTE)
    with pytest.raises(ClientError, match="404"):
        through.head_object(Bucket=bucket, Key="new")


@pytest.mark.parametrize(
    ("act", "how"), [(Act.RESET, "ConnectionResetError"), (Act.TRUNCATE, "IncompleteRead")]
)
def test_a_download_breaks_within_its_body(
    proxy: FaultProxy, through: S3Client, bucket: str, act: Act, how: str
) -> None:
    proxy.set_rules(Rule(act=act, at_byte=500_000))
    with pytest.raises((ResponseStreamingError, ConnectionClosedError), match=how):
        through.get_object(Bucket=bucket, Key="k")["Body"].read()


def test_one_bit_of_a_download_is_turned_over(
    proxy: FaultProxy, through: S3Client, bucket: str
) -> None:
    proxy.set_rules(Rule(act=Act.CORRUPT, at_byte=700_000))
    with pytest.raises(FlexibleChecksumError):
        through.get_object(Bucket=bucket, Key="k")["Body"].read()
    damaged = through.get_object(Bucket=bucket, Key="k", Range="bytes=0-999999")["Body"].read()
    assert [n for n, byte in enumerate(damaged) if byte != MEBIBYTE[n]] == [700_000]


def test_one_bit_of_an_upload_is_turned_over(
    proxy: FaultProxy, through: S3Client, bucket: str
) -> None:
    proxy.set_rules(Rule(act=Act.CORRUPT, side=Side.REQUEST, at_byte=5, operation="PutObject"))
    through.put_object(Bucket=bucket, Key="damaged", Body=b"0000000000")
    stored = through.get_object(Bucket=bucket, Key="damaged", Range="bytes=0-8")["Body"].read()
    assert stored == b"000001000"


@pytest.mark.parametrize("at_byte", [0, 500_000])
def test_a_stall_outlasts_an_impatient_client(
    proxy: FaultProxy, through: S3Client, bucket: str, at_byte: int
) -> None:
    proxy.set_rules(Rule(act=Act.STALL, seconds=2, at_byte=at_byte, last=1))
    with pytest.raises(ReadTimeoutError):
        through.get_object(Bucket=bucket, Key="k")["Body"].read()
    assert through.get_object(Bucket=bucket, Key="k")["Body"].read() == MEBIBYTE


@pytest.mark.parametrize("act", [Act.STALL, Act.DELAY])
def test_a_short_silence_harms_nothing(
    proxy: FaultProxy, through: S3Client, bucket: str, act: Act
) -> None:
    proxy.set_rules(Rule(act=act, seconds=0.5, at_byte=500_000))
    began = time.monotonic()
    assert through.get_object(Bucket=bucket, Key="k")["Body"].read() == MEBIBYTE
    assert time.monotonic() - began >= 0.5
