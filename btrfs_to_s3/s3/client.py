"""Settings to a boto3 client: one place where botocore is configured and extended.

Hashing. botocore would hash every body again although the caller already holds its SHA-256: on
plain http because SigV4 signs the payload's digest, on https because an explicit
``ChecksumSHA256`` is not one of the cases in which it leaves the payload unsigned. The signer
below takes the digest from the ``x-amz-checksum-sha256`` header instead, so the payload stays
signed and no byte is hashed here (S3 API: "Authenticating Requests: Using the Authorization
Header"; the value of ``x-amz-content-sha256`` is the hex form of the same digest).
"""

from __future__ import annotations

import base64
import binascii
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import boto3
import botocore.auth
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from btrfs_to_s3.errors import ConfigError
from btrfs_to_s3.model.objects import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.awsrequest import AWSRequest
    from mypy_boto3_s3 import S3Client

Addressing = Literal["auto", "path", "virtual"]
Encryption = Literal["none", "AES256", "aws:kms"]

_log = logging.getLogger(__name__)
_SIGNER_NAME: Final = "s3v4-known-payload"
_CHECKSUM_HEADER: Final = "x-amz-checksum-sha256"
_KINDS: Final[Mapping[str, str]] = {
    "PutObject": "put",
    "CreateMultipartUpload": "put",
    "UploadPart": "put",
    "CompleteMultipartUpload": "put",
    "CopyObject": "put",
    "UploadPartCopy": "put",
    "GetObject": "get",
    "GetBucketVersioning": "get",
    "GetBucketLifecycleConfiguration": "get",
    "GetObjectLockConfiguration": "get",
    "PutBucketLifecycleConfiguration": "put",
    "HeadObject": "head",
    "HeadBucket": "head",
    "ListObjectsV2": "list",
    "ListObjectVersions": "list",
    "ListMultipartUploads": "list",
    "DeleteObject": "delete",
    "DeleteObjects": "delete",
    "AbortMultipartUpload": "delete",
    "RestoreObject": "thaw",
}


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Where the repository is and how to talk to it.

    ``prefix`` has no outer slashes; empty means the whole bucket. ``region``, ``profile`` and
    ``endpoint_url`` None leave the choice to boto3's usual chain (environment, files, instance
    role). ``ca_bundle`` is a PEM file for a private authority. Timeouts in seconds;
    ``max_pool`` is the number of connections kept, at least the number of workers.
    """

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    addressing: Addressing = "auto"
    ca_bundle: str | None = None
    sse: Encryption = "none"
    sse_kms_key_id: str | None = None
    data_class: str = "STANDARD"
    metadata_class: str = "STANDARD"
    connect_timeout_s: float = 15.0
    read_timeout_s: float = 60.0
    max_pool: int = 16

    @property
    def url(self) -> str:
        """``s3://bucket/prefix`` for messages."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def service(self) -> str:
        """The endpoint, or the region of AWS, for messages."""
        return self.endpoint_url or f"AWS S3 ({self.region or 'default region'})"

    def storage_class(self, role: Role) -> str:
        """The storage class that new objects of this role get."""
        return self.data_class if role is Role.DATA else self.metadata_class


class RequestCounter:
    """Counts HTTP requests as they are sent, so that every retry is one. Thread-safe.

    Thaw requests are a kind that only appears once there was one: most runs make none.
    """

    __slots__ = ("_counts", "_lock", "_pieces")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces = 0
        self._counts = dict.fromkeys(("put", "get", "list", "head", "delete"), 0)

    def on_send(self, event_name: str, **_: object) -> None:
        """Handle botocore's ``before-send.s3.<Operation>`` event."""
        kind = _KINDS.get(event_name.rpartition(".")[2])
        if kind is not None:
            with self._lock:
                self._counts[kind] = self._counts.get(kind, 0) + 1

    def piece(self) -> None:
        """A piece of a body is about to move."""
        # Threads may lose each other's count, which changes nothing: it grows all the same.
        self._pieces += 1

    @property
    def moves(self) -> tuple[int, int]:
        """Grows with every request and with every piece of a body."""
        return sum(self.snapshot().values()), self._pieces

    def snapshot(self) -> dict[str, int]:
        """The counts so far, by kind."""
        with self._lock:
            return dict(self._counts)


class _KnownPayloadAuth(botocore.auth.S3SigV4Auth):
    """SigV4 for S3 that takes the payload's digest from its checksum header."""

    def payload(self, request: AWSRequest) -> str:
        given = request.headers.get(_CHECKSUM_HEADER)
        try:
            digest = base64.b64decode(given or "", validate=True)
        except binascii.Error:
            digest = b""
        # Anything but one whole SHA-256 (none, a composite value) is hashed by botocore.
        return digest.hex() if len(digest) == 32 else str(super().payload(request))  # noqa: PLR2004 - bytes in a SHA-256


# Registered under a name of its own: botocore looks signers up here by what choose-signer says.
botocore.auth.AUTH_TYPE_MAPS[_SIGNER_NAME] = _KnownPayloadAuth


def _choose_signer(signature_version: object, **_: object) -> Any:  # noqa: ANN401 - the stubs know only handlers without a result
    """Handle ``choose-signer``: ours in place of plain SigV4 only (not SigV4A, not unsigned)."""
    return _SIGNER_NAME if signature_version in {"s3v4", "v4"} else None


def _stay_in_region(context: dict[str, Any], **_: object) -> None:
    """Handle ``before-call``: keep botocore from following a redirect to another region.

    It would answer every 301 or 400 with up to two unseen requests, of every object anew. We name
    the right region in an error instead. The mark is the one S3RegionRedirectorv2 itself leaves.
    """
    context.setdefault("s3_redirect", {})["redirected"] = True


def make_client(settings: S3Settings, counter: RequestCounter) -> S3Client:
    """Build the boto3 client; ``ConfigError`` when the settings cannot make one.

    Credentials come from boto3's normal chain and are looked for at the first request.
    """
    config = Config(
        connect_timeout=settings.connect_timeout_s,
        read_timeout=settings.read_timeout_s,
        max_pool_connections=settings.max_pool,
        retries={"total_max_attempts": 1, "mode": "standard"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
        s3={"addressing_style": settings.addressing},
        user_agent_extra="btrfs-to-s3",
    )
    try:
        session = boto3.Session(profile_name=settings.profile, region_name=settings.region)
        client = session.client(
            "s3",
            endpoint_url=settings.endpoint_url,
            verify=settings.ca_bundle,
            config=config,
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(
            f"no S3 client can be made for {settings.url}: {error}",
            hint="check profile, region and endpoint_url",
        ) from error
    events = client.meta.events
    events.register("before-send.s3", counter.on_send)
    events.register("before-call.s3", _stay_in_region)
    events.register_first("choose-signer.s3.PutObject", _choose_signer)
    events.register_first("choose-signer.s3.UploadPart", _choose_signer)
    _log.debug("S3 client for %s at %s", settings.url, settings.service)
    return client


def base64_digest(sha256: bytes) -> str:
    """A digest as S3's checksum headers carry it."""
    return base64.b64encode(sha256).decode("ascii")
