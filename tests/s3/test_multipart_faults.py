"""Multipart uploads whose answers are lost, late or wrong."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import (
    ConditionFailedError,
)
from btrfs_to_s3.model.objects import (
    Role,
    UploadedPart,
)
from tests.s3.fakes import sha
from tests.s3.fault_proxy import (
    Exchange,
    FaultProxy,
    empty_200,
    error_inside_200,
    lose_answer,
    slow_down,
)
from tests.s3.objects import BODY, create

if TYPE_CHECKING:
    from collections.abc import Callable

    from btrfs_to_s3.s3 import S3Store


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("POST", error_inside_200),
        ("POST", lose_answer),
        ("POST", empty_200),
        ("POST", slow_down),
        ("partNumber=1", lose_answer),
        ("partNumber=1", slow_down),
    ],
)
def test_a_multipart_upload_survives(
    faulty: S3Store, proxy: FaultProxy, operation: str, fault: Callable[..., None]
) -> None:
    upload_id = faulty.create_upload("k", Role.DATA)
    proxy.fail(operation, fault)
    part = faulty.upload_part("k", upload_id, 1, BODY, sha(BODY))
    stored = faulty.complete_upload("k", upload_id, [part], len(BODY))
    state = faulty.head("k")
    assert state is not None
    assert (state.etag, state.size_bytes) == (stored.etag, len(BODY))
    assert faulty.get_whole("k", limit_bytes=400_000)[0] == BODY


@pytest.mark.parametrize(("status", "code"), [(404, "NoSuchUpload"), (412, "PreconditionFailed")])
@pytest.mark.parametrize("sizes", [(5 * 1024 * 1024, 9), (9,)])
def test_a_completion_whose_answer_was_lost_is_known_by_its_parts(
    faulty: S3Store, proxy: FaultProxy, status: int, code: str, sizes: tuple[int, ...]
) -> None:
    upload_id = faulty.create_upload("k", Role.DATA)
    parts = [
        faulty.upload_part("k", upload_id, number, os.urandom(size), b"\0" * 32)
        for number, size in enumerate(sizes, 1)
    ]
    proxy.fail("POST", lose_answer)
    proxy.fail("POST", lambda exchange: exchange.error(status, code))
    stored = faulty.complete_upload("k", upload_id, parts, sum(sizes))
    state = faulty.head("k")
    assert state is not None
    assert (stored.etag, stored.size_bytes) == (state.etag, state.size_bytes)


PARTS = [UploadedPart(1, "a" * 32, sha(b"one")), UploadedPart(2, "b" * 32, sha(b"two"))]


ETAG = hashlib.md5(b"\xaa" * 16 + b"\xbb" * 16, usedforsecurity=False).hexdigest() + "-2"


COMPOSITE = base64.b64encode(sha(sha(b"one") + sha(b"two"))).decode() + "-2"


OPAQUE = "of an encrypted object"


@pytest.mark.parametrize(
    ("etag", "checksum", "size_bytes", "ours"),
    [
        (ETAG, None, 6, True),
        (OPAQUE, COMPOSITE, 6, True),
        (ETAG, COMPOSITE.replace("-2", ""), 6, True),  # no composite checksum: the ETag decides
        (ETAG, base64.b64encode(sha(b"other")).decode() + "-2", 6, False),
        (OPAQUE, None, 6, False),
        (ETAG.replace("-2", "-3"), None, 6, False),
        (ETAG, COMPOSITE, 7, False),
    ],
)
def test_a_multipart_object_is_ours_by_size_and_checksum_or_etag(
    faulty: S3Store,
    proxy: FaultProxy,
    etag: str,
    checksum: str | None,
    size_bytes: int,
    ours: bool,
) -> None:
    headers = [("ETag", f'"{etag}"'), ("Content-Length", str(size_bytes))]
    headers += [("x-amz-checksum-sha256", checksum)] if checksum is not None else []
    proxy.fail("HEAD", lambda exchange: exchange.error(404, ""))
    proxy.fail("HEAD", lambda exchange: exchange.answer(200, headers, b""))
    proxy.fail("POST", lambda exchange: exchange.error(404, "NoSuchUpload"))
    if ours:
        assert faulty.complete_upload("k", "id", PARTS, 6).etag == etag
    else:
        with pytest.raises(ConditionFailedError):
            faulty.complete_upload("k", "id", PARTS, 6)


def test_a_completion_after_a_lost_answer_does_not_take_another_object_for_its_own(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    upload_id = faulty.create_upload("k", Role.DATA)
    part = faulty.upload_part("k", upload_id, 1, b"mine!", sha(b"mine!"))

    def another_wins(exchange: Exchange) -> None:
        create(faulty, "k", b"other")
        exchange.reset()

    proxy.fail("POST", another_wins)
    with pytest.raises(ConditionFailedError):
        faulty.complete_upload("k", upload_id, [part], 5)
    assert faulty.get_whole("k", limit_bytes=9)[0] == b"other"


def test_a_conflict_on_completing_asks_for_a_new_key_at_once(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    upload_id = faulty.create_upload("k", Role.DATA)
    part = faulty.upload_part("k", upload_id, 1, b"x", sha(b"x"))
    proxy.fail("POST", lambda exchange: exchange.error(409, "ConditionalRequestConflict"))
    before = proxy.count("POST")
    with pytest.raises(ConditionFailedError):
        faulty.complete_upload("k", upload_id, [part], 1)
    assert proxy.count("POST") == before + 1


def test_a_part_of_an_upload_that_is_gone_asks_for_a_new_key(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    proxy.fail("PUT", lambda exchange: exchange.error(404, "NoSuchUpload"))
    with pytest.raises(ConditionFailedError, match="gone"):
        faulty.upload_part("k", "an-id", 1, b"x", sha(b"x"))
    assert len(proxy.seen) == 1
