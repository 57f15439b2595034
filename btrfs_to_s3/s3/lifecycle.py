"""A bucket's lifecycle configuration.

Source: S3 API, GetBucketLifecycleConfiguration and PutBucketLifecycleConfiguration. The latter
replaces the whole configuration and takes no condition.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from btrfs_to_s3.errors import MissingObjectError
from btrfs_to_s3.model.bucket import Lifecycle
from btrfs_to_s3.s3.translate import UnsupportedRequestError

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import PutBucketLifecycleConfigurationRequestTypeDef

    from btrfs_to_s3.s3.session import Session

_NONE_YET = "NoSuchLifecycleConfiguration"


def read(session: Session) -> Lifecycle:
    """The configuration, without rules where the bucket has none.

    ``UnsupportedRequestError`` where the service has no lifecycle rules. Some answer with a
    listing of the bucket (rclone, Swift): S3 never answers 200 without a rule.
    """
    try:
        answer = session.call(
            "GetBucketLifecycleConfiguration",
            "",
            lambda _: session.client.get_bucket_lifecycle_configuration(
                Bucket=session.settings.bucket
            ),
        )
    except MissingObjectError as error:
        if error.context.get("code") == _NONE_YET:
            return Lifecycle()
        raise _unsupported(session) from error
    if not answer.get("Rules"):
        raise _unsupported(session)
    minimum = answer.get("TransitionDefaultMinimumObjectSize")
    rules = tuple(cast("dict[str, object]", _plain(rule)) for rule in answer["Rules"])
    return Lifecycle(rules, str(minimum) if minimum else None)


def replace(session: Session, lifecycle: Lifecycle) -> None:
    """Set the whole configuration."""
    request: dict[str, Any] = {
        "Bucket": session.settings.bucket,
        "LifecycleConfiguration": {"Rules": list(lifecycle.rules)},
    }
    if lifecycle.transition_minimum is not None:
        request["TransitionDefaultMinimumObjectSize"] = lifecycle.transition_minimum
    session.call(
        "PutBucketLifecycleConfiguration",
        "",
        lambda _: session.client.put_bucket_lifecycle_configuration(
            **cast("PutBucketLifecycleConfigurationRequestTypeDef", request)
        ),
    )


def _unsupported(session: Session) -> UnsupportedRequestError:
    return UnsupportedRequestError(
        f"{session.settings.service} has no lifecycle rules",
        hint="unfinished uploads must be aborted there by other means; prune aborts those of "
        "backups that are gone",
    )


def _plain(value: object) -> object:
    """The same with times as text, as JSON has them and botocore takes them."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value
