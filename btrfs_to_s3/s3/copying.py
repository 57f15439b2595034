"""CopyObject and UploadPartCopy: objects that never leave the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from btrfs_to_s3.errors import RepositoryError
from btrfs_to_s3.model.objects import CopySource, UploadedPart
from btrfs_to_s3.s3 import reading
from btrfs_to_s3.s3.session import Session, canonical_etag, quoted_etag
from btrfs_to_s3.s3.translate import AnswerLostError
from btrfs_to_s3.s3.writing import say_how_kept

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CopyObjectRequestTypeDef, CopySourceTypeDef

    from btrfs_to_s3.model.objects import ObjectState, Role


def service_of(session: Session) -> str:
    """What two repositories have in common that can copy from each other: the endpoint."""
    return session.client.meta.endpoint_url if session.settings.endpoint_url else "aws"


def source(session: Session, key: str, etag: str, version_id: str | None) -> CopySource:
    """An object of this repository as another one can be told of it."""
    bucket, full_key = session.settings.bucket, session.full_key(key)
    return CopySource(service_of(session), bucket, full_key, canonical_etag(etag), version_id)


def copy_object(session: Session, key: str, source: CopySource, role: Role) -> ObjectState:
    """One CopyObject, and a HEAD of what it made; see ``ObjectStore.copy``."""
    request: CopyObjectRequestTypeDef = {
        "Bucket": session.settings.bucket,
        "Key": session.full_key(key),
        "CopySource": _named(source),
        "CopySourceIfMatch": quoted_etag(source.etag),
        "ChecksumAlgorithm": "SHA256",
    }
    say_how_kept(session, request, role)
    session.call("CopyObject", key, lambda _: session.client.copy_object(**request))
    headed = reading.head(session, key, None)
    if headed is None:
        raise RepositoryError(f"{key} is not there although the service copied it", key=key)
    return headed.state


def copy_part(
    session: Session,
    key: str,
    upload_id: str,
    number: int,
    source: CopySource,
    span: tuple[int, int],
    sha256: bytes,
) -> UploadedPart:
    """One UploadPartCopy; ``span`` is the first and the last byte."""

    def attempt(_: int) -> UploadedPart:
        answer = session.client.upload_part_copy(
            Bucket=session.settings.bucket,
            Key=session.full_key(key),
            UploadId=upload_id,
            PartNumber=number,
            CopySource=_named(source),
            CopySourceIfMatch=quoted_etag(source.etag),
            CopySourceRange=f"bytes={span[0]}-{span[1]}",
        )
        etag = answer.get("CopyPartResult", {}).get("ETag")
        if not etag:
            raise AnswerLostError(f"UploadPartCopy {key}: the answer holds no ETag")
        return UploadedPart(number, canonical_etag(etag), sha256)

    return session.call("UploadPartCopy", key, attempt)


def _named(source: CopySource) -> CopySourceTypeDef:
    named: CopySourceTypeDef = {"Bucket": source.bucket, "Key": source.key}
    if source.version_id is not None:
        named["VersionId"] = source.version_id
    return named
