"""Finding out what a service does, without leaving anything and without the right to delete.

Every probe uses ``repository.json``, which exists and never changes. The conditional writes carry
its own bytes and conditions that cannot hold: a service that honours them answers 412 and changes
nothing; one that ignores them stores the same bytes again. The checksum probe must not store
anything, because a service that keeps checksums without checking them would then keep a wrong
one: it sends one wrong part of a multipart upload that is aborted.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from btrfs_to_s3.errors import AccessDeniedError, ConditionFailedError, RepositoryError
from btrfs_to_s3.model.objects import Capabilities, Create, Replace, Role
from btrfs_to_s3.s3 import reading, writing
from btrfs_to_s3.s3.answers import BAD_REQUEST, Answer
from btrfs_to_s3.s3.translate import UnsupportedRequestError

if TYPE_CHECKING:
    from btrfs_to_s3.model.objects import Condition
    from btrfs_to_s3.s3.session import Session

_log = logging.getLogger(__name__)
_NO_ETAG = "0" * 32


def encode(found: Capabilities) -> bytes:
    """JSON for the local cache."""
    return json.dumps(asdict(found), sort_keys=True).encode()


def decode(data: bytes) -> Capabilities | None:
    """What ``encode`` made; None for anything else: then it is detected again."""
    try:
        values = json.loads(data)
    except ValueError:
        return None
    names = {field.name for field in fields(Capabilities)}
    if not isinstance(values, dict) or set(values) != names:
        return None
    if not all(isinstance(value, bool) for value in values.values()):
        return None
    return Capabilities(**values)


def check_writable(session: Session, key: str, body: bytes, sha256: bytes) -> None:
    """Prove the right to write: 412 is as good as success, only 403 is not."""
    _honours(session, key, body, sha256, Create.ONLY_NEW)


def detect(session: Session, key: str, body: bytes, sha256: bytes) -> Capabilities:
    """Probe with ``key``, which holds exactly ``body``; six requests."""
    headed = reading.head(session, key, None)
    if headed is None or headed.state.size_bytes != len(body):
        raise RepositoryError(f"{key} is not the object it should be: nothing can be probed on it")
    found = Capabilities(
        conditional_create=_honours(session, key, body, sha256, Create.ONLY_NEW),
        conditional_replace=_honours(session, key, body, sha256, Replace(_NO_ETAG)),
        verifies_checksums=_refuses_damage(session, key, body),
        keeps_sha256=headed.state.sha256_hex == sha256.hex(),
    )
    _log.info("%s: %s", session.settings.service, found)
    return found


def _honours(session: Session, key: str, body: bytes, sha256: bytes, condition: Condition) -> bool:
    """Whether a write is refused because a condition that cannot hold does not hold."""
    with session.metered(body) as metered:

        def attempt(_: int) -> None:
            writing.send(session, key, metered, sha256, Role.METADATA, condition)

        try:
            session.call("PutObject", key, attempt)
        except ConditionFailedError:
            return True
        except RepositoryError as error:
            if not _header_refused(error):
                raise
            writing.give_up_header(session, condition)
        return False


def _header_refused(error: RepositoryError) -> bool:
    if isinstance(error, UnsupportedRequestError):
        return True
    return type(error) is RepositoryError and error.context.get("status") == BAD_REQUEST


def _refuses_damage(session: Session, key: str, body: bytes) -> bool:
    """Whether a part whose bytes do not have the digest sent with them is refused."""
    try:
        upload_id = writing.create_upload(session, key, Role.METADATA)
    except RepositoryError as error:
        _log.warning("no multipart upload can be made, so no checksum is tried: %s", error)
        return False
    wrong = hashlib.sha256(body + b"damaged").digest()

    def attempt(_: int) -> bool:
        try:
            with session.metered(body) as metered:
                writing.send_part(session, key, upload_id, 1, metered, wrong)
        except ClientError as error:
            # Any 400: services name it BadDigest, InvalidDigest, XAmzContentSHA256Mismatch, …
            if Answer.of(error).status == BAD_REQUEST:
                return True
            raise
        return False

    try:
        return session.call("UploadPart", key, attempt)
    finally:
        try:
            writing.abort_upload(session, key, upload_id)
        except AccessDeniedError as error:
            _log.warning(
                "a probing upload of %s is left for the bucket's lifecycle: %s", key, error
            )
