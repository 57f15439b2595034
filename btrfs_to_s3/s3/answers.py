"""What an S3 error answer says: its parts, and which of a few kinds it is.

Codes and statuses: S3 API Reference, "Error responses" (list of error codes). A HEAD has no body,
so botocore gives the status as its code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.exceptions import ClientError

BAD_REQUEST: Final = 400
CONFLICT: Final = 409
_SERVER_ERROR: Final = 500


class Kind(Enum):
    """What an error answer is about."""

    ARCHIVED = auto()
    CLOCK = auto()
    CONDITION = auto()
    CONFLICT = auto()
    DAMAGED = auto()
    DENIED = auto()
    EXPIRED = auto()
    FAILED = auto()
    KEY_UNKNOWN = auto()
    MISSING = auto()
    NO_EXPEDITED = auto()
    NO_BUCKET = auto()
    NO_UPLOAD = auto()
    OTHER = auto()
    RANGE = auto()
    REGION = auto()
    SECRET = auto()
    THROTTLED = auto()
    UNSUPPORTED = auto()


_BY_CODE: Final[Mapping[str, Kind]] = {
    "AccessDenied": Kind.DENIED,
    "AllAccessDisabled": Kind.DENIED,
    "AuthorizationHeaderMalformed": Kind.REGION,
    "BadDigest": Kind.DAMAGED,
    "BandwidthLimitExceeded": Kind.THROTTLED,
    "ConditionalRequestConflict": Kind.CONFLICT,
    "ExpiredToken": Kind.EXPIRED,
    "Forbidden": Kind.DENIED,
    "GlacierExpeditedRetrievalNotAvailable": Kind.NO_EXPEDITED,
    "IllegalLocationConstraintException": Kind.REGION,
    "IncompleteBody": Kind.DAMAGED,
    "InternalError": Kind.FAILED,
    "InvalidAccessKeyId": Kind.KEY_UNKNOWN,
    "InvalidDigest": Kind.DAMAGED,
    "InvalidObjectState": Kind.ARCHIVED,
    "InvalidRange": Kind.RANGE,
    "InvalidToken": Kind.EXPIRED,
    "MethodNotAllowed": Kind.UNSUPPORTED,
    "NoSuchBucket": Kind.NO_BUCKET,
    "NoSuchKey": Kind.MISSING,
    "NoSuchUpload": Kind.NO_UPLOAD,
    "NoSuchVersion": Kind.MISSING,
    "NotImplemented": Kind.UNSUPPORTED,
    "OperationAborted": Kind.CONFLICT,
    "PermanentRedirect": Kind.REGION,
    "PreconditionFailed": Kind.CONDITION,
    "RequestLimitExceeded": Kind.THROTTLED,
    "RequestTimeTooSkewed": Kind.CLOCK,
    "RequestTimeout": Kind.FAILED,
    "RestoreAlreadyInProgress": Kind.OTHER,
    "ServiceUnavailable": Kind.FAILED,
    "SignatureDoesNotMatch": Kind.SECRET,
    "SlowDown": Kind.THROTTLED,
    "TemporaryRedirect": Kind.REGION,
    "Throttling": Kind.THROTTLED,
    "ThrottlingException": Kind.THROTTLED,
    "TokenRefreshRequired": Kind.EXPIRED,
    "TooManyRequests": Kind.THROTTLED,
    "TooManyRequestsException": Kind.THROTTLED,
    "XAmzContentChecksumMismatch": Kind.DAMAGED,
    "XAmzContentSHA256Mismatch": Kind.DAMAGED,
}
_BY_STATUS: Final[Mapping[int, Kind]] = {
    301: Kind.REGION,
    307: Kind.REGION,
    401: Kind.DENIED,
    403: Kind.DENIED,
    404: Kind.MISSING,
    405: Kind.UNSUPPORTED,
    408: Kind.FAILED,
    409: Kind.CONFLICT,
    412: Kind.CONDITION,
    416: Kind.RANGE,
    429: Kind.THROTTLED,
    501: Kind.UNSUPPORTED,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The parts of an error answer that decide something. ``region``: the bucket's, if said."""

    code: str
    status: int
    message: str
    headers: Mapping[str, str]
    region: str | None

    @classmethod
    def of(cls, error: ClientError) -> Answer:
        """Read botocore's parsed error."""
        response: Mapping[str, Any] = error.response
        body: Mapping[str, Any] = response.get("Error", {})
        meta: Mapping[str, Any] = response.get("ResponseMetadata", {})
        headers: Mapping[str, str] = meta.get("HTTPHeaders", {})
        return cls(
            code=str(body.get("Code", "")),
            status=int(meta.get("HTTPStatusCode", 0)),
            message=str(body.get("Message", "")),
            headers=headers,
            region=headers.get("x-amz-bucket-region") or body.get("Region"),
        )

    @property
    def detail(self) -> str:
        """The service's own words."""
        code = "" if self.code in {"", str(self.status)} else f" {self.code}"
        page = self.headers.get("content-type", "").startswith("text/html")
        return (
            f"{self.status}{code}"
            + (f": {self.message}" if self.message else "")
            + (", a web page: is this endpoint S3?" if page else "")
        )

    @property
    def retry_after_s(self) -> float:
        """The Retry-After header in seconds; 0 without one (S3 does not use its date form)."""
        value = self.headers.get("retry-after", "")
        return float(value) if value.isdigit() else 0.0

    def kind(self, region: str | None) -> Kind:
        """What the answer is about, for a client that works in ``region``."""
        known = _BY_CODE.get(self.code)
        if known is not None:
            return known
        if self.status == BAD_REQUEST and self.region not in (None, region):
            # A HEAD signed for another region has no body, only the right region in a header.
            return Kind.REGION
        known = _BY_STATUS.get(self.status)
        if known is not None:
            return known
        return Kind.FAILED if self.status >= _SERVER_ERROR else Kind.OTHER
