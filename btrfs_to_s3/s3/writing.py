"""PutObject and multipart uploads: conditional, checked by digest, safe to repeat."""

from __future__ import annotations

import base64
import hashlib
import logging
from typing import TYPE_CHECKING, Final, TypeVar

from botocore.exceptions import ClientError

from btrfs_to_s3.errors import ConditionFailedError, MissingObjectError, RepositoryError
from btrfs_to_s3.model.objects import Create, Replace, Role, StoredObject, UploadedPart
from btrfs_to_s3.s3 import reading
from btrfs_to_s3.s3.answers import CONFLICT, Answer
from btrfs_to_s3.s3.client import base64_digest
from btrfs_to_s3.s3.session import Session, canonical_etag, canonical_version, quoted_etag
from btrfs_to_s3.s3.translate import (
    AnswerLostError,
    NoSuchUploadError,
    UnsupportedRequestError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_s3.type_defs import (
        CompleteMultipartUploadRequestTypeDef,
        CopyObjectRequestTypeDef,
        CreateMultipartUploadRequestTypeDef,
        PutObjectOutputTypeDef,
        PutObjectRequestTypeDef,
    )

    from btrfs_to_s3.model.objects import Condition
    from btrfs_to_s3.ports import Body
    from btrfs_to_s3.s3.bandwidth import MeteredBody
    from btrfs_to_s3.s3.reading import Headed

_log = logging.getLogger(__name__)
T = TypeVar("T")
_MD5_HEX_DIGITS: Final = 32


def put(
    session: Session, key: str, body: Body, *, sha256: bytes, role: Role, condition: Condition
) -> StoredObject:
    """Write one object under a condition; see ``ObjectStore.put``."""
    with session.metered(body) as metered:

        def attempt(_: int) -> PutObjectOutputTypeDef:
            return send(session, key, metered, sha256, role, _header(session, condition))

        def guarded() -> PutObjectOutputTypeDef:
            if not _trusted(session, condition):
                _guard(session, key, condition)
            return session.call("PutObject", key, attempt)

        try:
            answer = _with_fallback(session, condition, guarded)
        except (ConditionFailedError, MissingObjectError) as error:
            # 404 is S3's answer to If-Match on an absent key.
            there = _already_there(session, key, metered, sha256, role)
            if there is not None:
                _log.info("PutObject %s: the object is there already, byte for byte", key)
                return there
            if isinstance(error, ConditionFailedError):
                raise
            raise ConditionFailedError(
                f"{key} does not exist, so it cannot be replaced", key=key
            ) from error
        return StoredObject(
            key,
            metered.size_bytes,
            canonical_etag(answer.get("ETag")),
            canonical_version(answer.get("VersionId")),
        )


def say_how_kept(
    session: Session,
    request: PutObjectRequestTypeDef
    | CreateMultipartUploadRequestTypeDef
    | CopyObjectRequestTypeDef,
    role: Role,
) -> None:
    """Add a new object's storage class and encryption, where they are not the bucket's default."""
    storage_class = session.settings.storage_class(role)
    if storage_class != "STANDARD":
        request["StorageClass"] = storage_class  # type: ignore[arg-type]  # free text: services have their own
    if session.settings.sse != "none":
        request["ServerSideEncryption"] = session.settings.sse
        if session.settings.sse_kms_key_id is not None:
            request["SSEKMSKeyId"] = session.settings.sse_kms_key_id


def send(
    session: Session,
    key: str,
    metered: MeteredBody,
    sha256: bytes,
    role: Role,
    condition: Condition | None,
) -> PutObjectOutputTypeDef:
    """One PutObject request, without any policy: botocore's errors come out as they are."""
    metered.seek(0)
    request: PutObjectRequestTypeDef = {
        "Bucket": session.settings.bucket,
        "Key": session.full_key(key),
        "Body": metered,  # type: ignore[typeddict-item]  # the stubs know io classes only
        "ContentLength": metered.size_bytes,
        "ChecksumAlgorithm": "SHA256",
        "ChecksumSHA256": base64_digest(sha256),
    }
    say_how_kept(session, request, role)
    match condition:
        case Create.ONLY_NEW:
            request["IfNoneMatch"] = "*"
        case Replace(etag):
            request["IfMatch"] = quoted_etag(etag)
    return session.client.put_object(**request)


def create_upload(session: Session, key: str, role: Role) -> str:
    """Start a multipart upload; returns its id."""
    request: CreateMultipartUploadRequestTypeDef = {
        "Bucket": session.settings.bucket,
        "Key": session.full_key(key),
        "ChecksumAlgorithm": "SHA256",
        "ChecksumType": "COMPOSITE",
    }
    say_how_kept(session, request, role)

    def attempt(_: int) -> str:
        upload_id = session.client.create_multipart_upload(**request).get("UploadId")
        if not upload_id:
            raise AnswerLostError(f"CreateMultipartUpload {key}: the answer holds no upload id")
        return upload_id

    return session.call("CreateMultipartUpload", key, attempt)


def upload_part(
    session: Session, key: str, upload_id: str, number: int, body: Body, sha256: bytes
) -> UploadedPart:
    """Send one part; repeating it replaces the part."""
    with session.metered(body) as metered:
        return session.call(
            "UploadPart",
            key,
            lambda _: send_part(session, key, upload_id, number, metered, sha256),
        )


def send_part(
    session: Session, key: str, upload_id: str, number: int, metered: MeteredBody, sha256: bytes
) -> UploadedPart:
    """One UploadPart request, without any policy: botocore's errors come out as they are."""
    metered.seek(0)
    answer = session.client.upload_part(
        Bucket=session.settings.bucket,
        Key=session.full_key(key),
        UploadId=upload_id,
        PartNumber=number,
        Body=metered,  # type: ignore[arg-type]  # the stubs know io classes only
        ContentLength=metered.size_bytes,
        ChecksumAlgorithm="SHA256",
        ChecksumSHA256=base64_digest(sha256),
    )
    return UploadedPart(number, canonical_etag(answer.get("ETag")), sha256)


def complete_upload(
    session: Session, key: str, upload_id: str, parts: Sequence[UploadedPart], size_bytes: int
) -> StoredObject:
    """Make the object out of its parts; see ``ObjectStore.complete_upload``."""

    def guarded() -> StoredObject:
        if not _trusted(session, Create.ONLY_NEW):
            _guard(session, key, Create.ONLY_NEW)
        return _complete(session, key, upload_id, parts, size_bytes)

    try:
        stored = _with_fallback(session, Create.ONLY_NEW, guarded)
    except ConditionFailedError:
        # A lost answer to our own success, in this process or in the one this run resumes.
        headed = reading.head(session, key, None)
        if headed is None or not _made_of(headed, parts, size_bytes):
            raise
        _log.info("CompleteMultipartUpload %s: the answer was lost, the object is ours", key)
        return _stored(headed)
    if _trusted(session, Create.ONLY_NEW):
        return stored
    # rclone, for one, answers with another ETag here than HEAD and LIST give later.
    headed = reading.head(session, key, None)
    if headed is None or headed.state.size_bytes != size_bytes:
        raise RepositoryError(f"{key} is not there although the service completed it", key=key)
    return _stored(headed)


def _complete(
    session: Session, key: str, upload_id: str, parts: Sequence[UploadedPart], size_bytes: int
) -> StoredObject:
    request: CompleteMultipartUploadRequestTypeDef = {
        "Bucket": session.settings.bucket,
        "Key": session.full_key(key),
        "UploadId": upload_id,
        "MpuObjectSize": size_bytes,
        "MultipartUpload": {
            "Parts": [
                {
                    "PartNumber": part.number,
                    "ETag": quoted_etag(part.etag),
                    "ChecksumSHA256": base64_digest(part.sha256),
                }
                for part in parts
            ]
        },
    }
    if _header(session, Create.ONLY_NEW) is not None:
        request["IfNoneMatch"] = "*"

    def attempt(_: int) -> StoredObject:
        try:
            answer = session.client.complete_multipart_upload(**request)
        except ClientError as error:
            if Answer.of(error).status == CONFLICT:
                # S3 API, CompleteMultipartUpload: after 409 the upload cannot be completed; the
                # object must be sent again.
                raise ConditionFailedError(
                    f"{key}: another write of this key was under way", key=key
                ) from error
            raise
        if not answer.get("ETag"):
            raise AnswerLostError(f"CompleteMultipartUpload {key}: the answer holds no ETag")
        return StoredObject(
            key,
            size_bytes,
            canonical_etag(answer["ETag"]),
            canonical_version(answer.get("VersionId")),
        )

    return session.call("CompleteMultipartUpload", key, attempt)


def abort_upload(session: Session, key: str, upload_id: str) -> None:
    """Give up an upload; one that is gone already is no error."""

    def attempt(_: int) -> None:
        session.client.abort_multipart_upload(
            Bucket=session.settings.bucket, Key=session.full_key(key), UploadId=upload_id
        )

    try:
        session.call("AbortMultipartUpload", key, attempt)
    except (NoSuchUploadError, MissingObjectError):
        _log.debug("AbortMultipartUpload %s: the upload was gone", key)


def _with_fallback(session: Session, condition: Condition, write: Callable[[], T]) -> T:
    """Write; once more without the condition's header when the service refuses that header."""
    try:
        return write()
    except UnsupportedRequestError:
        if not give_up_header(session, condition):
            raise
        return write()


def _trusted(session: Session, condition: Condition) -> bool:
    """Whether the service was seen to enforce this condition itself."""
    seen = session.learned.capabilities
    if seen is None:
        return False
    return seen.conditional_create if condition is Create.ONLY_NEW else seen.conditional_replace


def _header(session: Session, condition: Condition) -> Condition | None:
    """The condition to send: none once it was refused or seen to be ignored."""
    if session.learned.capabilities is not None and not _trusted(session, condition):
        return None
    learned = session.learned
    accepted = learned.if_none_match if condition is Create.ONLY_NEW else learned.if_match
    return condition if accepted else None


def give_up_header(session: Session, condition: Condition) -> bool:
    """Remember that the service refuses this header (Swift: 501 to PUT with If-Match).

    False when it was not being sent, so that the refusal was of something else.
    """
    if _header(session, condition) is None:
        return False
    if condition is Create.ONLY_NEW:
        session.learned.if_none_match = False
    else:
        session.learned.if_match = False
    _log.warning("%s refuses conditional writes of this kind", session.settings.service)
    return True


def _guard(session: Session, key: str, condition: Condition) -> None:
    """Check the condition by a HEAD: all that can be done where the service does not.

    Another writer between this HEAD and the PUT would go unnoticed; that there is none is then
    the user's assumption (``Capabilities.single_writer_assumed``).
    """
    headed = reading.head(session, key, None)
    match condition:
        case Create.ONLY_NEW:
            held = headed is None
        case Replace(etag):
            held = headed is not None and headed.state.etag == canonical_etag(etag)
    if not held:
        raise ConditionFailedError(
            f"{key} {'exists already' if condition is Create.ONLY_NEW else 'was changed'}", key=key
        )


def _already_there(
    session: Session, key: str, metered: MeteredBody, sha256: bytes, role: Role
) -> StoredObject | None:
    """The object at ``key`` if it holds exactly this body.

    Then an earlier attempt whose answer was lost wrote it, in this call or in one the caller
    repeats: what was asked for is the case.
    """
    headed = reading.head(session, key, None)
    if headed is None or headed.state.size_bytes != metered.size_bytes:
        return None
    state = headed.state
    if state.sha256_hex is not None:
        equal = state.sha256_hex == sha256.hex()
    else:
        equal = state.etag == _md5_hex(metered) or (
            role is Role.METADATA and reading.digest_of(session, key, state.size_bytes) == sha256
        )
    return _stored(headed) if equal else None


def _made_of(headed: Headed, parts: Sequence[UploadedPart], size_bytes: int) -> bool:
    """Whether a multipart object has exactly these parts, by its checksum or its ETag."""
    if headed.state.size_bytes != size_bytes:
        return False
    if headed.checksum_sha256 is not None and headed.checksum_sha256.endswith(f"-{len(parts)}"):
        digests = hashlib.sha256(b"".join(part.sha256 for part in parts)).digest()
        return headed.checksum_sha256.partition("-")[0] == base64.b64encode(digests).decode()
    # S3 API, "Object" (ETag): the MD5 of the parts' MD5s, unless encrypted with KMS.
    if any(len(part.etag) != _MD5_HEX_DIGITS for part in parts):
        return False
    try:
        joined = b"".join(bytes.fromhex(part.etag) for part in parts)
    except ValueError:
        return False
    md5_hex = hashlib.md5(joined, usedforsecurity=False).hexdigest()
    return headed.state.etag == f"{md5_hex}-{len(parts)}"


def _stored(headed: Headed) -> StoredObject:
    state = headed.state
    return StoredObject(state.key, state.size_bytes, state.etag, state.version_id)


def _md5_hex(metered: MeteredBody) -> str:
    """The ETag of a body written in one piece (without KMS)."""
    digest = hashlib.md5(usedforsecurity=False)
    for piece in metered.whole():
        digest.update(piece)
    return digest.hexdigest()
