"""Every trouble of the library and the service becomes one error with a hint, no secret in it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.errors import (
    AccessDeniedError,
    BtrfsToS3Error,
    ConditionFailedError,
    ConfigError,
    ExitCode,
    InterruptedRunError,
    MissingObjectError,
    NotReadableYetError,
    RepositoryError,
    UnreachableError,
)
from btrfs_to_s3.s3 import S3Settings
from btrfs_to_s3.s3.retry import Failure, Verdict
from btrfs_to_s3.s3.translate import Translator

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ENDPOINT = "https://s3.example.net"
SETTINGS = S3Settings("the-bucket", "the/prefix", ENDPOINT, "eu-central-1")


def client_error(
    status: int, code: str = "", message: str = "", **headers: str
) -> boto.ClientError:
    return boto.ClientError(
        {
            "Error": {"Code": code or str(status), "Message": message},
            "ResponseMetadata": {  # type: ignore[typeddict-item]  # what decides, no more
                "HTTPStatusCode": status,
                "HTTPHeaders": {name.replace("_", "-"): value for name, value in headers.items()},
            },
        },
        "GetObject",
    )


def translated(error: Exception) -> Failure:
    failure = Translator(SETTINGS, lambda: NOW)(error, "GetObject", "a/key")
    assert failure is not None
    return failure


@pytest.mark.parametrize(
    ("error", "verdict", "kind"),
    [
        (client_error(503, "SlowDown"), Verdict.OUTAGE, UnreachableError),
        (client_error(429), Verdict.OUTAGE, UnreachableError),
        (client_error(500, "InternalError"), Verdict.OUTAGE, UnreachableError),
        (client_error(502), Verdict.OUTAGE, UnreachableError),
        (client_error(599, "Odd"), Verdict.OUTAGE, UnreachableError),
        (client_error(400, "RequestTimeout"), Verdict.OUTAGE, UnreachableError),
        (client_error(409, "OperationAborted"), Verdict.TRANSIT, ConditionFailedError),
        (client_error(409, "RestoreAlreadyInProgress"), Verdict.FINAL, RepositoryError),
        (client_error(412), Verdict.FINAL, ConditionFailedError),
        (client_error(404), Verdict.FINAL, MissingObjectError),
        (client_error(403, "InvalidObjectState"), Verdict.FINAL, NotReadableYetError),
        (client_error(401), Verdict.FINAL, AccessDeniedError),
        (client_error(418, "Teapot"), Verdict.FINAL, RepositoryError),
        (boto.ReadTimeoutError(endpoint_url=ENDPOINT), Verdict.OUTAGE, UnreachableError),
        (boto.ConnectTimeoutError(endpoint_url=ENDPOINT), Verdict.OUTAGE, UnreachableError),
        (
            boto.EndpointConnectionError(endpoint_url=ENDPOINT, error=OSError("no route")),
            Verdict.OUTAGE,
            UnreachableError,
        ),
        (
            boto.ProxyConnectionError(proxy_url="http://proxy", error=OSError("no")),
            Verdict.OUTAGE,
            UnreachableError,
        ),
        (boto.ResponseStreamingError(error=OSError("reset")), Verdict.OUTAGE, UnreachableError),
        (ConnectionResetError(), Verdict.OUTAGE, UnreachableError),
        (ResponseParserError("no XML"), Verdict.OUTAGE, UnreachableError),
        (
            boto.IncompleteReadError(actual_bytes=1, expected_bytes=2),
            Verdict.TRANSIT,
            UnreachableError,
        ),
        (boto.NoCredentialsError(), Verdict.FINAL, AccessDeniedError),
        (
            boto.SSLError(endpoint_url=ENDPOINT, error=OSError("CERTIFICATE_VERIFY_FAILED")),
            Verdict.FINAL,
            UnreachableError,
        ),
        (
            boto.SSLError(endpoint_url=ENDPOINT, error=OSError("EOF occurred")),
            Verdict.OUTAGE,
            UnreachableError,
        ),
        (boto.ParamValidationError(report="bad"), Verdict.FINAL, ConfigError),
        (
            boto.HTTPClientError(error=InterruptedRunError("stop")),
            Verdict.FINAL,
            InterruptedRunError,
        ),
    ],
)
def test_each_trouble_has_its_verdict_and_its_error(
    error: Exception, verdict: Verdict, kind: type[BtrfsToS3Error]
) -> None:
    failure = translated(error)
    assert failure.verdict is verdict
    assert isinstance(failure.error, kind)


def test_an_error_of_no_library_is_a_bug_and_stays_one() -> None:
    assert Translator(SETTINGS, lambda: NOW)(KeyError("x"), "GetObject", "k") is None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (boto.NoCredentialsError(), ["credentials", "s3://the-bucket/the/prefix"]),
        (client_error(403, "SignatureDoesNotMatch"), ["secret key"]),
        (client_error(404, "NoSuchBucket"), ["'the-bucket'", ENDPOINT]),
        (client_error(301, x_amz_bucket_region="eu-west-3"), ["eu-central-1", "eu-west-3"]),
        (client_error(400, x_amz_bucket_region="eu-west-3"), ["eu-central-1", "eu-west-3"]),
        (
            client_error(
                400,
                "AuthorizationHeaderMalformed",
                "the region 'eu-central-1' is wrong; expecting 'eu-west-3'",
            ),
            ["eu-west-3"],
        ),
        (
            boto.EndpointConnectionError(endpoint_url="x", error=OSError("Name not known")),
            [ENDPOINT, "Name not known"],
        ),
        (
            boto.SSLError(endpoint_url="x", error=OSError("CERTIFICATE_VERIFY_FAILED self-signed")),
            [ENDPOINT, "self-signed"],
        ),
        (client_error(403, "InvalidObjectState"), ["a/key", "thaw"]),
        (client_error(400, "InvalidThing", "their words"), ["GetObject", "a/key", "their words"]),
    ],
)
def test_messages_name_what_a_person_must_look_at(error: Exception, words: list[str]) -> None:
    message = translated(error).error.message
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    "code",
    ["SignatureDoesNotMatch", "InvalidAccessKeyId", "ExpiredToken", "AccessDenied",
     "RequestTimeTooSkewed", "NoSuchBucket", "InvalidObjectState", "PermanentRedirect"],
)  # fmt: skip
def test_what_a_person_can_mend_comes_with_a_hint(code: str) -> None:
    assert translated(client_error(403, code)).error.hint


@pytest.mark.parametrize(
    ("date", "words"),
    [
        ("Fri, 20 Nov 2026 11:00:00 GMT", "3600 s ahead of the service's"),
        ("Fri, 20 Nov 2026 12:30:00 GMT", "1800 s behind the service's"),
        ("nonsense", "wrong by more than 15 min"),
        ("", "wrong by more than 15 min"),
    ],
)
def test_a_wrong_clock_is_told_by_how_much(date: str, words: str) -> None:
    failure = translated(client_error(403, "RequestTimeTooSkewed", date=date))
    assert words in failure.error.message
    assert failure.error.exit_code is ExitCode.REPOSITORY


def test_retry_after_is_read() -> None:
    assert translated(client_error(503, "SlowDown", retry_after="7")).retry_after_s == 7
    assert translated(client_error(503, "SlowDown", retry_after="Fri")).retry_after_s == 0


@given(status=st.integers(300, 999), code=st.text(max_size=20), message=st.text(max_size=40))
def test_any_answer_is_translated_and_only_healing_ones_are_retried(
    status: int, code: str, message: str
) -> None:
    failure = translated(client_error(status, code, message))
    if failure.verdict is Verdict.OUTAGE:
        assert status >= 500 or status in {408, 429} or code
    assert str(failure.error)
