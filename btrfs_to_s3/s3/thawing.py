"""RestoreObject: asking for a readable copy of an archived object, at a rate the service takes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, cast

from btrfs_to_s3.errors import NotReadableYetError, RepositoryError, UsageError
from btrfs_to_s3.model.objects import ThawAnswer
from btrfs_to_s3.s3.answers import BAD_REQUEST

if TYPE_CHECKING:
    from mypy_boto3_s3.literals import TierType
    from mypy_boto3_s3.type_defs import (
        RestoreObjectOutputTypeDef,
        RestoreObjectRequestTypeDef,
        RestoreRequestTypeDef,
    )

    from btrfs_to_s3.model.storage_class import Tier
    from btrfs_to_s3.s3.session import Session

_OK: Final = 200
_UNDER_WAY: Final = "RestoreAlreadyInProgress"
_ONGOING: Final = re.compile(r'ongoing-request="true"')
_EXPIRY: Final = re.compile(r'expiry-date="([^"]+)"')


def request_thaw(
    session: Session, key: str, version_id: str | None, days: int | None, tier: Tier
) -> ThawAnswer:
    """Ask once; see ``ObjectStore.request_thaw``."""
    wanted: RestoreRequestTypeDef = {
        "GlacierJobParameters": {"Tier": cast("TierType", tier.value.capitalize())}
    }
    if days is not None:
        wanted["Days"] = days
    request: RestoreObjectRequestTypeDef = {
        "Bucket": session.settings.bucket,
        "Key": session.full_key(key),
        "RestoreRequest": wanted,
    }
    if version_id is not None:
        request["VersionId"] = version_id

    def attempt(_: int) -> RestoreObjectOutputTypeDef:
        session.thaws.take(1, session.cancel)
        return session.client.restore_object(**request)

    try:
        answer = session.call("RestoreObject", key, attempt)
    except NotReadableYetError as error:
        # InvalidObjectState means the opposite here: there is nothing to thaw.
        raise UsageError(
            f"{key} cannot be thawed: its storage class is no archive class",
            hint="run 'btrfs-to-s3 thaw SOURCE status': it may have been moved meanwhile",
            **error.context,
        ) from error
    except RepositoryError as error:
        if error.context.get("code") == _UNDER_WAY:
            return ThawAnswer.UNDER_WAY
        if error.context.get("status") == BAD_REQUEST and type(error) is RepositoryError:
            raise _refused(key, tier, error) from error
        raise
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    return ThawAnswer.READABLE if status == _OK else ThawAnswer.ACCEPTED


def thaw_state(header: str | None) -> tuple[bool, datetime | None]:
    """Whether a thaw is under way, and until when a copy can be read, by x-amz-restore."""
    if header is None:
        return False, None
    expiry = _EXPIRY.search(header)
    until = None
    if expiry is not None:
        try:
            until = parsedate_to_datetime(expiry[1]).astimezone(UTC)
        except ValueError:
            until = None
    return _ONGOING.search(header) is not None, until


def _refused(key: str, tier: Tier, error: RepositoryError) -> UsageError:
    return UsageError(
        f"{key}: the service refuses a thaw in the {tier} tier ({error})",
        hint="DEEP_ARCHIVE knows no expedited tier, and another service may know fewer: give "
        "another --tier",
        **error.context,
    )
