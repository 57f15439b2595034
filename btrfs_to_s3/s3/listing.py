"""Listings and deletions, page by page, on services that know only some of them."""

from __future__ import annotations

import logging
from datetime import UTC
from itertools import islice
from typing import TYPE_CHECKING, Final

from btrfs_to_s3.errors import AccessDeniedError, MissingObjectError, RepositoryError
from btrfs_to_s3.model.objects import (
    DeleteFailure,
    DeleteTarget,
    ListedObject,
    ListedVersion,
    UnfinishedUpload,
)
from btrfs_to_s3.s3.answers import BAD_REQUEST
from btrfs_to_s3.s3.retry import interrupted
from btrfs_to_s3.s3.session import canonical_etag
from btrfs_to_s3.s3.translate import UnsupportedRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from mypy_boto3_s3.type_defs import (
        DeleteObjectRequestTypeDef,
        DeleteObjectsOutputTypeDef,
        ErrorTypeDef,
        ListMultipartUploadsRequestTypeDef,
        ListObjectsV2OutputTypeDef,
        ListObjectsV2RequestTypeDef,
        ListObjectVersionsRequestTypeDef,
        ObjectIdentifierTypeDef,
        ObjectTypeDef,
        ObjectVersionTypeDef,
        RestoreStatusTypeDef,
    )

    from btrfs_to_s3.s3.session import Session

_log = logging.getLogger(__name__)
_DELETE_BATCH: Final = 1000
_DELETE_ROUNDS: Final = 4
_GONE: Final = frozenset({"NoSuchKey", "NoSuchVersion", "404"})
_HEALING: Final = frozenset({"InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout"})


def list_objects(session: Session, prefix: str) -> Iterator[ListedObject]:
    """Objects under a prefix in key order."""
    token: str | None = None
    while True:
        page = _page(session, prefix, token, limit=None)
        for entry in page.get("Contents", ()):
            yield _listed(session, entry)
        following = page.get("NextContinuationToken")
        if not page.get("IsTruncated"):
            return
        _check_progress("ListObjectsV2", token, following)
        token = following


def first_key_exists(session: Session, prefix: str) -> bool:
    """Whether anything lies under the prefix: the cheapest request that proves access."""
    return bool(_page(session, prefix, None, limit=1).get("Contents"))


def _page(
    session: Session, prefix: str, token: str | None, *, limit: int | None
) -> ListObjectsV2OutputTypeDef:
    request: ListObjectsV2RequestTypeDef = {
        "Bucket": session.settings.bucket,
        "Prefix": session.full_key(prefix),
    }
    if token is not None:
        request["ContinuationToken"] = token
    if limit is not None:
        request["MaxKeys"] = limit
    if session.learned.restore_status and limit is None:
        request["OptionalObjectAttributes"] = ["RestoreStatus"]

    def attempt(_: int) -> ListObjectsV2OutputTypeDef:
        return session.client.list_objects_v2(**request)

    try:
        return session.call("ListObjectsV2", prefix, attempt)
    except RepositoryError as error:
        if not _is_refused(error) or "OptionalObjectAttributes" not in request:
            raise
        del request["OptionalObjectAttributes"]
        page = session.call("ListObjectsV2", prefix, attempt)
        session.learned.restore_status = False
        _log.info("%s lists no thaw states", session.settings.service)
        return page


def _is_refused(error: RepositoryError) -> bool:
    """Whether the service may not know what was asked beside the listing."""
    unknown = isinstance(error, UnsupportedRequestError)
    return unknown or error.context.get("status") == BAD_REQUEST


def _listed(session: Session, entry: ObjectTypeDef) -> ListedObject:
    thawing, thawed_until = _thaw_state(entry.get("RestoreStatus", {}))
    return ListedObject(
        key=session.relative_key(entry["Key"]),
        size_bytes=entry.get("Size", 0),
        etag=canonical_etag(entry.get("ETag")),
        modified=entry["LastModified"].astimezone(UTC),
        storage_class=entry.get("StorageClass", "STANDARD"),
        thawing=thawing,
        thawed_until=thawed_until,
    )


def _thaw_state(status: RestoreStatusTypeDef) -> tuple[bool, datetime | None]:
    expiry = status.get("RestoreExpiryDate")
    return bool(status.get("IsRestoreInProgress")), expiry and expiry.astimezone(UTC)


def list_versions(session: Session, prefix: str) -> Iterator[ListedVersion]:
    """Versions and delete markers; none where the bucket never kept versions."""
    if not _keeps_versions(session):
        return
    request: ListObjectVersionsRequestTypeDef = {
        "Bucket": session.settings.bucket,
        "Prefix": session.full_key(prefix),
    }
    if session.learned.restore_status:
        request["OptionalObjectAttributes"] = ["RestoreStatus"]
    while True:
        try:
            page = session.call(
                "ListObjectVersions",
                prefix,
                lambda _: session.client.list_object_versions(**request),
            )
        except RepositoryError as error:
            if "OptionalObjectAttributes" in request and _is_refused(error):
                del request["OptionalObjectAttributes"]
                continue
            if isinstance(error, UnsupportedRequestError):
                return
            raise
        for entry in page.get("Versions", ()):
            yield _listed_version(session, entry)
        for removed in page.get("DeleteMarkers", ()):
            yield ListedVersion(
                key=session.relative_key(removed["Key"]),
                version_id=removed["VersionId"],
                latest=removed.get("IsLatest", False),
                delete_marker=True,
                modified=removed["LastModified"].astimezone(UTC),
            )
        if not page.get("IsTruncated"):
            return
        following = (page.get("NextKeyMarker"), page.get("NextVersionIdMarker"))
        before = (request.get("KeyMarker"), request.get("VersionIdMarker"))
        _check_progress("ListObjectVersions", before, following)
        request["KeyMarker"] = page["NextKeyMarker"]
        request["VersionIdMarker"] = page.get("NextVersionIdMarker", "")


def _listed_version(session: Session, entry: ObjectVersionTypeDef) -> ListedVersion:
    thawing, thawed_until = _thaw_state(entry.get("RestoreStatus", {}))
    return ListedVersion(
        key=session.relative_key(entry["Key"]),
        version_id=entry["VersionId"],
        latest=entry.get("IsLatest", False),
        delete_marker=False,
        modified=entry["LastModified"].astimezone(UTC),
        size_bytes=entry.get("Size", 0),
        storage_class=entry.get("StorageClass", "STANDARD"),
        thawing=thawing,
        thawed_until=thawed_until,
    )


def _keeps_versions(session: Session) -> bool:
    """Whether versioning is, or was, on. Unknown for lack of permission counts as yes."""
    try:
        answer = session.call(
            "GetBucketVersioning",
            "",
            lambda _: session.client.get_bucket_versioning(Bucket=session.settings.bucket),
        )
    except (UnsupportedRequestError, MissingObjectError):
        return False
    except AccessDeniedError:
        return True
    return answer.get("Status") in {"Enabled", "Suspended"}


def list_uploads(session: Session, prefix: str) -> Iterator[UnfinishedUpload]:
    """Unfinished multipart uploads; none where the service cannot list them."""
    full_prefix = session.full_key(prefix)
    request: ListMultipartUploadsRequestTypeDef = {
        "Bucket": session.settings.bucket,
        "Prefix": full_prefix,
    }
    while True:
        try:
            page = session.call(
                "ListMultipartUploads",
                prefix,
                lambda _: session.client.list_multipart_uploads(**request),
            )
        except UnsupportedRequestError:
            _log.info("%s does not list unfinished uploads", session.settings.service)
            return
        for entry in page.get("Uploads", ()):
            # Some services ignore the prefix; what is not ours must not be aborted.
            if entry["Key"].startswith(full_prefix):
                yield UnfinishedUpload(
                    session.relative_key(entry["Key"]),
                    entry["UploadId"],
                    entry["Initiated"].astimezone(UTC),
                )
        if not page.get("IsTruncated"):
            return
        following = (page.get("NextKeyMarker"), page.get("NextUploadIdMarker"))
        before = (request.get("KeyMarker"), request.get("UploadIdMarker"))
        _check_progress("ListMultipartUploads", before, following)
        request["KeyMarker"] = page["NextKeyMarker"]
        request["UploadIdMarker"] = page.get("NextUploadIdMarker", "")


def delete(session: Session, targets: Iterable[DeleteTarget]) -> Sequence[DeleteFailure]:
    """Delete in batches; what cannot be deleted is returned with its reason."""
    failures: list[DeleteFailure] = []
    pending = iter(targets)
    while batch := list(islice(pending, _DELETE_BATCH)):
        if session.learned.multi_delete:
            try:
                failures += _delete_batch(session, batch)
                continue
            except RepositoryError as error:
                if not _multi_delete_unknown(error):
                    raise
                session.learned.multi_delete = False
                _log.info("%s deletes one object a request", session.settings.service)
        for target in batch:
            failures += _delete_one(session, target)
    return failures


def _multi_delete_unknown(error: RepositoryError) -> bool:
    """A service without DeleteObjects, or one that wants a Content-MD5 with it."""
    if isinstance(error, UnsupportedRequestError):
        return True
    return type(error) is RepositoryError and error.context.get("status") == BAD_REQUEST


def _delete_batch(session: Session, batch: Sequence[DeleteTarget]) -> list[DeleteFailure]:
    failures: list[DeleteFailure] = []
    remaining: list[ObjectIdentifierTypeDef] = [_identifier(session, target) for target in batch]
    for round_number in range(1, _DELETE_ROUNDS + 1):
        wanted = remaining

        def attempt(
            _: int, wanted: Sequence[ObjectIdentifierTypeDef] = wanted
        ) -> DeleteObjectsOutputTypeDef:
            return session.client.delete_objects(
                Bucket=session.settings.bucket, Delete={"Objects": wanted, "Quiet": True}
            )

        errors = session.call("DeleteObjects", f"({len(wanted)} keys)", attempt).get("Errors", [])
        again = [entry for entry in errors if entry.get("Code") in _HEALING]
        failures += [
            _failure(session, entry)
            for entry in errors
            if entry.get("Code") not in _GONE and entry.get("Code") not in _HEALING
        ]
        if not again:
            return failures
        _log.warning("DeleteObjects: %d keys failed (%s), again", len(again), again[0].get("Code"))
        remaining = [_identifier_of(entry) for entry in again]
        if round_number < _DELETE_ROUNDS and session.cancel.wait(float(2 ** (round_number - 1))):
            raise interrupted("DeleteObjects", "")
    return failures + [_failure(session, entry) for entry in again]


def _delete_one(session: Session, target: DeleteTarget) -> list[DeleteFailure]:
    request: DeleteObjectRequestTypeDef = {
        "Bucket": session.settings.bucket,
        "Key": session.full_key(target.key),
    }
    if target.version_id is not None:
        request["VersionId"] = target.version_id
    try:
        session.call("DeleteObject", target.key, lambda _: session.client.delete_object(**request))
    except MissingObjectError:
        return []
    except AccessDeniedError as error:
        return [DeleteFailure(target.key, str(error.context.get("code")), error.message)]
    return []


def _identifier(session: Session, target: DeleteTarget) -> ObjectIdentifierTypeDef:
    identifier: ObjectIdentifierTypeDef = {"Key": session.full_key(target.key)}
    if target.version_id is not None:
        identifier["VersionId"] = target.version_id
    return identifier


def _identifier_of(entry: ErrorTypeDef) -> ObjectIdentifierTypeDef:
    identifier: ObjectIdentifierTypeDef = {"Key": entry["Key"]}
    if entry.get("VersionId"):
        identifier["VersionId"] = entry["VersionId"]
    return identifier


def _failure(session: Session, entry: ErrorTypeDef) -> DeleteFailure:
    return DeleteFailure(
        session.relative_key(entry.get("Key", "")), entry.get("Code", ""), entry.get("Message", "")
    )


def _check_progress(operation: str, before: object, following: object) -> None:
    """A service that repeats a page would keep us listing for ever."""
    if following in (before, None, (None, None)):
        raise RepositoryError(
            f"{operation}: the service says there is more but not where",
            hint="the service's listing is broken",
        )
