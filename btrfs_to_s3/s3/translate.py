"""What boto3 raises, in our words: an error of our tree, and whether trying again can heal it.

Messages never hold credentials: of the service's answer only its code and message are quoted,
which name at most the access key id.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3 import exceptions as http

from btrfs_to_s3.errors import (
    AccessDeniedError,
    BtrfsToS3Error,
    ConditionFailedError,
    ConfigError,
    IntegrityError,
    MissingObjectError,
    NotReadableYetError,
    RepositoryError,
    UnreachableError,
)
from btrfs_to_s3.s3.answers import Answer, Kind
from btrfs_to_s3.s3.retry import Failure, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from btrfs_to_s3.s3.client import S3Settings


class UnsupportedRequestError(RepositoryError):
    """The service does not know this request or header (501, 405)."""


class ConflictError(ConditionFailedError):
    """409: another conditional write of the same key was under way."""


class NoSuchUploadError(ConditionFailedError):
    """The multipart upload was completed, aborted or never there."""


class RangeOutsideError(IntegrityError):
    """416: the object ends before the range begins."""


class AnswerLostError(UnreachableError):
    """A 200 without its content: the request may or may not have been carried out."""


class CutShortError(UnreachableError):
    """The answer's body ended before its length, with the connection closed in order."""


class DamagedTransferError(IntegrityError):
    """Bytes were changed on their way."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """How a kind of answer is told. Fields of the templates: see ``Translator._answered``."""

    verdict: Verdict
    error: type[BtrfsToS3Error]
    message: str
    hint: str | None = None


_RULES: Final[Mapping[Kind, _Rule]] = {
    Kind.ARCHIVED: _Rule(
        Verdict.FINAL,
        NotReadableYetError,
        "{key} lies in an archive storage class and is not thawed",
        "'btrfs-to-s3 restore --wait' thaws what it needs and waits; 'btrfs-to-s3 thaw' does it "
        "beforehand",
    ),
    Kind.CLOCK: _Rule(
        Verdict.FINAL,
        AccessDeniedError,
        "{what}: this machine's clock is {skew}",
        "set this machine's clock: timedatectl set-ntp true",
    ),
    Kind.CONDITION: _Rule(
        Verdict.FINAL, ConditionFailedError, "{what}: its condition does not hold ({detail})"
    ),
    Kind.CONFLICT: _Rule(Verdict.TRANSIT, ConflictError, "{what}: {detail}"),
    Kind.DAMAGED: _Rule(
        Verdict.TRANSIT,
        DamagedTransferError,
        "{what}: the service received other bytes than were meant ({detail})",
        "a network device or this machine's memory changes data: test the memory",
    ),
    Kind.DENIED: _Rule(
        Verdict.FINAL,
        AccessDeniedError,
        "{what}: access denied ({detail})",
        "the credentials lack a permission or a bucket policy denies it; for a read, S3 says the "
        "same of a missing object when s3:ListBucket is not granted",
    ),
    Kind.EXPIRED: _Rule(
        Verdict.FINAL,
        AccessDeniedError,
        "{what}: the session token is expired or not valid ({code})",
        "renew the temporary credentials (AWS_SESSION_TOKEN)",
    ),
    Kind.FAILED: _Rule(Verdict.OUTAGE, UnreachableError, "{what}: the service failed ({detail})"),
    Kind.KEY_UNKNOWN: _Rule(
        Verdict.FINAL,
        AccessDeniedError,
        "{what}: the access key is not known to {service} ({code})",
        "check AWS_ACCESS_KEY_ID, and that it belongs to this endpoint",
    ),
    Kind.MISSING: _Rule(Verdict.FINAL, MissingObjectError, "{key} does not exist"),
    Kind.NO_EXPEDITED: _Rule(
        # A 503, but no outage: only this tier is used up, for minutes or hours.
        Verdict.FINAL,
        RepositoryError,
        "{what}: the service has no capacity for expedited thaws now",
        "try again later, or use --tier standard; provisioned capacity guarantees expedited ones",
    ),
    Kind.NO_BUCKET: _Rule(
        Verdict.FINAL,
        RepositoryError,
        "bucket {bucket!r} does not exist at {service}",
        "check the bucket's name, the endpoint and the region; buckets are never created here",
    ),
    Kind.NO_UPLOAD: _Rule(
        Verdict.FINAL, NoSuchUploadError, "{what}: the multipart upload is gone ({detail})"
    ),
    Kind.OTHER: _Rule(
        Verdict.FINAL,
        RepositoryError,
        "{what}: refused ({detail})",
        "check the settings that go with the request, such as storage_class and sse, "
        "and that the service knows them",
    ),
    Kind.RANGE: _Rule(
        Verdict.FINAL, RangeOutsideError, "{what}: the object ends before this range"
    ),
    Kind.REGION: _Rule(
        Verdict.FINAL,
        RepositoryError,
        "bucket {bucket!r} is not in region {region} but in {right}",
        "set region to {right} (or AWS_REGION)",
    ),
    Kind.SECRET: _Rule(
        Verdict.FINAL,
        AccessDeniedError,
        "{what}: the secret key does not belong to the access key ({code})",
        "check AWS_SECRET_ACCESS_KEY, and that no proxy rewrites paths or the host",
    ),
    Kind.THROTTLED: _Rule(
        Verdict.OUTAGE,
        UnreachableError,
        "{what}: throttled ({detail})",
        "lower the number of parallel transfers",
    ),
    Kind.UNSUPPORTED: _Rule(
        Verdict.FINAL, UnsupportedRequestError, "{what}: not supported by {service} ({detail})"
    ),
}


class Translator:
    """The ``Classifier`` for one repository; names its endpoint and bucket in messages."""

    __slots__ = ("_now", "_settings")

    def __init__(self, settings: S3Settings, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._now = now

    def __call__(self, error: Exception, operation: str, key: str) -> Failure | None:
        """Translate; None for an exception that is none of the library's (a bug)."""
        root = _unwrapped(error)
        if isinstance(root, AnswerLostError):
            return Failure(Verdict.OUTAGE, root)
        if isinstance(root, DamagedTransferError | CutShortError):
            return Failure(Verdict.TRANSIT, root)
        if isinstance(root, BtrfsToS3Error):
            return Failure(Verdict.FINAL, root)
        if isinstance(root, boto.ClientError):
            return self._answered(Answer.of(root), operation, key)
        return self._unanswered(root, operation, key)

    def _answered(self, answer: Answer, operation: str, key: str) -> Failure:
        settings = self._settings
        rule = _RULES[answer.kind(settings.region)]
        fields = {
            "what": f"{operation} {settings.url}/{key}".rstrip("/"),
            "key": key or settings.url,
            "detail": answer.detail,
            "code": answer.code,
            "bucket": settings.bucket,
            "service": settings.service,
            "region": settings.region or "us-east-1",
            "right": answer.region or _region_in(answer.message) or "another",
            "skew": self._skew(answer),
        }
        error = rule.error(
            rule.message.format(**fields),
            hint=None if rule.hint is None else rule.hint.format(**fields),
            operation=operation,
            key=key,
            code=answer.code,
            status=answer.status,
        )
        return Failure(rule.verdict, error, answer.retry_after_s)

    def _skew(self, answer: Answer) -> str:
        """How far this clock is off, by the answer's Date header (RFC 9110, 6.6.1)."""
        try:
            theirs = parsedate_to_datetime(answer.headers.get("date", ""))
        except ValueError:
            return "wrong by more than 15 min"
        skew_s = (self._now() - theirs.astimezone(UTC)).total_seconds()
        side = "ahead of" if skew_s > 0 else "behind"
        return f"{abs(skew_s):.0f} s {side} the service's"

    def _unanswered(self, error: Exception, operation: str, key: str) -> Failure | None:
        where = self._settings.service
        context: dict[str, Any] = {"operation": operation, "key": key}
        if isinstance(error, _CREDENTIALS):
            return Failure(
                Verdict.FINAL,
                AccessDeniedError(
                    f"no usable credentials for {self._settings.url}: {error}",
                    hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (under sudo: sudo -E) "
                    "or a profile; units of systemd read /etc/btrfs-to-s3/NAME.credentials",
                    **context,
                ),
            )
        if isinstance(error, boto.SSLError):
            return self._no_tls(error, context)
        if isinstance(error, boto.IncompleteReadError):
            return Failure(
                Verdict.TRANSIT,
                CutShortError(f"{operation} {key}: the answer was cut short", **context),
            )
        message = None
        if isinstance(error, boto.ReadTimeoutError | boto.ConnectTimeoutError):
            message = f"{where} did not answer in time ({operation} {key})"
        elif isinstance(error, _TRANSPORT):
            message = f"no connection to {where}: {_reason(error)}"
        elif isinstance(error, ResponseParserError):
            message = f"{where} answered with something that is not S3"
        if message is not None:
            return Failure(
                Verdict.OUTAGE,
                UnreachableError(
                    message, hint="check the endpoint, DNS and the network", **context
                ),
            )
        if isinstance(error, boto.BotoCoreError):
            return Failure(
                Verdict.FINAL, ConfigError(f"{operation} {key}: {_reason(error)}", **context)
            )
        return None

    def _no_tls(self, error: boto.SSLError, context: dict[str, Any]) -> Failure:
        reason = _reason(error)
        # A certificate or a protocol that is wrong stays wrong; a handshake cut off does not.
        final = "CERTIFICATE" in reason.upper() or "WRONG_VERSION" in reason.upper()
        return Failure(
            Verdict.FINAL if final else Verdict.OUTAGE,
            UnreachableError(
                f"no TLS connection to {self._settings.service}: {reason}",
                hint="for a private authority set ca_bundle to its PEM file; an endpoint without "
                "TLS is http://",
                **context,
            ),
        )


_CREDENTIALS: Final = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.UnauthorizedSSOTokenError,
)
_CONNECTION: Final = re.compile(r"\b\w+\(host=[^()]*, port=\d+\): ")
"""What urllib3 puts before a reason: the connection as a Python object."""
_TRANSPORT: Final = (
    boto.HTTPClientError,
    boto.ConnectionError,
    boto.ResponseStreamingError,
    http.HTTPError,
    OSError,
)


def _unwrapped(error: Exception) -> Exception:
    """What a body raised while it was sent comes wrapped by botocore: take ours out again."""
    if isinstance(error, boto.HTTPClientError):
        inner = error.kwargs.get("error")
        if isinstance(inner, BtrfsToS3Error):
            return inner
    return error


def _reason(error: Exception) -> str:
    """The innermost cause in one line."""
    inner = error.kwargs.get("error", error) if isinstance(error, boto.BotoCoreError) else error
    return " ".join(_CONNECTION.sub("", str(inner)).split()) or type(inner).__name__


def _region_in(message: str) -> str | None:
    match = re.search(r"expecting '([a-z0-9-]+)'", message)
    return match[1] if match else None
