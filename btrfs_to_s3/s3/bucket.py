"""``ports.Bucket`` on S3: what the owner of the bucket configured, and the service's clock."""

from __future__ import annotations

import threading
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.exceptions import BotoCoreError

from btrfs_to_s3.errors import AccessDeniedError, MissingObjectError
from btrfs_to_s3.model.bucket import ObjectLock, Versioning
from btrfs_to_s3.s3 import lifecycle
from btrfs_to_s3.s3.translate import UnsupportedRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from btrfs_to_s3.model.bucket import Lifecycle
    from btrfs_to_s3.s3.session import Session

_FOUND_IN: Final[Mapping[str, str]] = {
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "the shared credentials file",
    "config-file": "the AWS configuration file",
    "assume-role": "an assumed role of the profile",
    "assume-role-with-web-identity": "a role assumed with a web identity",
    "sso": "single sign-on of the profile",
    "custom-process": "the profile's credential_process",
    "container-role": "the container's role",
    "iam-role": "the instance's role",
    "login": "a login session of the profile",
}
"""botocore's names of its credential providers (botocore.credentials, METHOD)."""


class S3Bucket:
    """Implements ``ports.Bucket``. From its making on it measures the service's clock."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._skew: timedelta | None = None
        session.client.meta.events.register("response-received.s3", self._measure)

    @property
    def name(self) -> str:
        """The bucket's name."""
        return self._session.settings.bucket

    @property
    def configured_region(self) -> str | None:
        """The region requests are signed for."""
        return self._session.client.meta.region_name

    def credentials_origin(self) -> str:
        """Where boto3 finds credentials, in words; ``AccessDeniedError`` where it finds none."""
        profile = self._session.settings.profile
        try:
            found = boto3.Session(profile_name=profile).get_credentials()
        except BotoCoreError as error:
            raise AccessDeniedError(
                f"the credentials cannot be used: {error}",
                hint="check the profile and the files it names",
            ) from error
        if found is None:
            raise AccessDeniedError(
                "no credentials were found",
                hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (under sudo: sudo -E), or a "
                "profile",
            )
        method = str(found.method)
        return _FOUND_IN.get(method, method) + (f", profile {profile}" if profile else "")

    def region(self) -> str | None:
        """The bucket's region; None where the service does not say."""
        answer = self._session.call(
            "HeadBucket", "", lambda _: self._session.client.head_bucket(Bucket=self.name)
        )
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        return answer.get("BucketRegion") or headers.get("x-amz-bucket-region")

    def clock_skew(self) -> timedelta | None:
        """How far this machine's clock was ahead of the service's at the last answer."""
        with self._lock:
            return self._skew

    def versioning(self) -> Versioning:
        """Whether the bucket keeps versions."""
        answer = self._session.call(
            "GetBucketVersioning",
            "",
            lambda _: self._session.client.get_bucket_versioning(Bucket=self.name),
        )
        return Versioning(str(answer.get("Status", "never")).lower())

    def object_lock(self) -> ObjectLock | None:
        """Object Lock's state; None where it is off or unknown to the service."""
        try:
            answer = self._session.call(
                "GetObjectLockConfiguration",
                "",
                lambda _: self._session.client.get_object_lock_configuration(Bucket=self.name),
            )
        except (MissingObjectError, UnsupportedRequestError):
            return None
        found = answer.get("ObjectLockConfiguration", {})
        if found.get("ObjectLockEnabled") != "Enabled":
            return None
        default = found.get("Rule", {}).get("DefaultRetention", {})
        if not default:
            return ObjectLock(None)
        years = default.get("Years")
        length = f"{years} years" if years else f"{default.get('Days', 0)} days"
        return ObjectLock(f"{default.get('Mode', '')} for {length}".strip())

    def lifecycle(self) -> Lifecycle:
        """The lifecycle configuration."""
        return lifecycle.read(self._session)

    def replace_lifecycle(self, wanted: Lifecycle) -> None:
        """Set the whole lifecycle configuration."""
        lifecycle.replace(self._session, wanted)

    def _measure(self, response_dict: Mapping[str, Any] | None, **_: object) -> None:
        """Handle ``response-received``: errors carry a Date too (RFC 9110, 6.6.1)."""
        headers = (response_dict or {}).get("headers", {})
        try:
            theirs = parsedate_to_datetime(headers.get("date", ""))
        except ValueError:
            return
        with self._lock:
            self._skew = self._session.now() - theirs.astimezone(UTC)
