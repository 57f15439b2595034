"""The network and the service at their worst: nothing lost, nothing twice, nothing in vain."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import (
    AccessDeniedError,
    BtrfsToS3Error,
    ConditionFailedError,
    IntegrityError,
    InterruptedRunError,
    MissingObjectError,
    NotReadableYetError,
    RepositoryError,
    UnreachableError,
)
from btrfs_to_s3.model.objects import (
    Capabilities,
    Create,
    DeleteTarget,
    Replace,
    Role,
    UploadedPart,
)
from btrfs_to_s3.s3 import Limits
from tests.s3.conftest import QUICK
from tests.s3.fakes import FakeTime, sha
from tests.s3.fault_proxy import (
    Exchange,
    FaultProxy,
    empty_200,
    error_inside_200,
    lose_answer,
    reset,
    reset_answer,
    slow_down,
    stall,
    truncate_answer,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from btrfs_to_s3.s3 import S3Store
    from tests.s3.conftest import Place

BODY = os.urandom(400_000)
GOOD = Capabilities(
    conditional_create=True, conditional_replace=True, verifies_checksums=True, keeps_sha256=True
)


def create(store: S3Store, key: str, body: bytes, role: Role = Role.DATA) -> str:
    return store.put(key, body, sha256=sha(body), role=role, condition=Create.ONLY_NEW).etag


@pytest.mark.parametrize("fault", [slow_down, reset, reset_answer, truncate_answer])
def test_a_read_survives(faulty: S3Store, proxy: FaultProxy, fault: Callable[..., None]) -> None:
    create(faulty, "k", BODY)
    proxy.fail("GET", fault, times=2)
    assert faulty.get("k", offset=100, size_bytes=300_000) == BODY[100:300_100]
    proxy.fail("GET", fault, times=2)
    assert faulty.get_whole("k", limit_bytes=400_000)[0] == BODY


@pytest.mark.parametrize("fault", [slow_down, reset, lose_answer])
def test_a_write_survives(faulty: S3Store, proxy: FaultProxy, fault: Callable[..., None]) -> None:
    proxy.fail("PUT", fault, times=2)
    etag = create(faulty, "k", BODY)
    assert faulty.get_whole("k", limit_bytes=400_000) == (BODY, etag)
    assert proxy.count("PUT") == 3


def test_a_write_survives_a_reset_in_the_middle_of_its_body(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    proxy.reset_during_body("PUT", 150_000, times=2)
    create(faulty, "k", BODY)
    assert faulty.get_whole("k", limit_bytes=400_000)[0] == BODY


def test_a_stalled_answer_is_given_up_and_asked_again(moto: Place, proxy: FaultProxy) -> None:
    with moto.store() as store:
        create(store, "k", b"x")
    patient = Limits(retry=replace(QUICK.retry, attempts=99))  # a busy machine is slow as well
    with moto.store(patient, endpoint_url=proxy.url, read_timeout_s=0.2) as store:
        proxy.fail("GET", stall)
        assert store.get_whole("k", limit_bytes=1)[0] == b"x"
        assert proxy.count("GET") >= 2


def test_a_lost_answer_to_a_replacement_is_success(faulty: S3Store, proxy: FaultProxy) -> None:
    etag = create(faulty, "head", b"one")
    proxy.fail("PUT", lose_answer)
    replaced = faulty.put(
        "head", b"two", sha256=sha(b"two"), role=Role.METADATA, condition=Replace(etag)
    )
    assert faulty.get_whole("head", limit_bytes=9) == (b"two", replaced.etag)


def test_a_lost_race_is_no_success_even_after_a_retry(faulty: S3Store, proxy: FaultProxy) -> None:
    etag = create(faulty, "head", b"one")

    def another_wins(exchange: Exchange) -> None:
        faulty.put("head", b"WON", sha256=sha(b"WON"), role=Role.DATA, condition=Replace(etag))
        exchange.reset()

    proxy.fail("PUT", another_wins)
    with pytest.raises(ConditionFailedError):
        faulty.put("head", b"two", sha256=sha(b"two"), role=Role.DATA, condition=Replace(etag))
    assert faulty.get_whole("head", limit_bytes=9)[0] == b"WON"


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


def test_a_conflict_on_putting_is_tried_again(faulty: S3Store, proxy: FaultProxy) -> None:
    proxy.fail("PUT", lambda exchange: exchange.error(409, "ConditionalRequestConflict"))
    create(faulty, "k", b"x")
    assert proxy.count("PUT") == 2


def test_a_part_of_an_upload_that_is_gone_asks_for_a_new_key(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    proxy.fail("PUT", lambda exchange: exchange.error(404, "NoSuchUpload"))
    with pytest.raises(ConditionFailedError, match="gone"):
        faulty.upload_part("k", "an-id", 1, b"x", sha(b"x"))
    assert len(proxy.seen) == 1


def test_the_404_to_an_if_match_is_a_condition_that_does_not_hold(
    moto: Place, proxy: FaultProxy
) -> None:
    proxy.fail("PUT", lambda exchange: exchange.error(404, "NoSuchKey"))
    with (
        moto.store(endpoint_url=proxy.url, capabilities=GOOD) as store,
        pytest.raises(ConditionFailedError, match="cannot be replaced"),
    ):
        store.put("no", b"x", sha256=sha(b"x"), role=Role.METADATA, condition=Replace("0" * 32))


@pytest.mark.parametrize("code", ["BadDigest", "XAmzContentChecksumMismatch"])
def test_damage_on_the_way_is_sent_again_a_few_times(
    faulty: S3Store, proxy: FaultProxy, code: str
) -> None:
    proxy.fail("PUT", lambda exchange: exchange.error(400, code), times=2)
    create(faulty, "k", b"x")
    proxy.fail("PUT", lambda exchange: exchange.error(400, code), times=9)
    with pytest.raises(IntegrityError, match="other bytes"):
        create(faulty, "l", b"x")
    assert proxy.count("PUT") == 3 + QUICK.retry.transit_attempts


def test_a_truncated_body_that_stays_truncated_ends_in_an_error(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    create(faulty, "k", BODY)
    proxy.fail("GET", truncate_answer, times=99)
    with pytest.raises(UnreachableError, match="cut short"):
        faulty.get("k", offset=0, size_bytes=len(BODY))
    assert proxy.count("GET") == QUICK.retry.transit_attempts


def chunked(body: bytes) -> Callable[[Exchange], None]:
    """An answer of untold length, as some proxies make them."""
    head = b"HTTP/1.1 206 OK\r\nContent-Range: bytes 0-9/10\r\nTransfer-Encoding: chunked\r\n\r\n"
    text = head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return lambda exchange: exchange.client.sendall(text)


def test_an_answer_of_untold_length_is_measured(faulty: S3Store, proxy: FaultProxy) -> None:
    proxy.fail("GET", chunked(b"012345678"), times=2)
    proxy.fail("GET", chunked(b"0123456789"), times=3)
    assert faulty.get("k", offset=0, size_bytes=10) == b"0123456789"
    assert proxy.count("GET") == 3
    assert faulty.get_whole("k", limit_bytes=10)[0] == b"0123456789"
    with pytest.raises(IntegrityError, match="larger"):
        faulty.get_whole("k", limit_bytes=9)


def test_another_range_than_was_asked_for_is_refused(faulty: S3Store, proxy: FaultProxy) -> None:
    proxy.fail("GET", chunked(b"0123456789"))
    with pytest.raises(IntegrityError, match="another range"):
        faulty.get("k", offset=5, size_bytes=10)
    proxy.fail("GET", lambda exchange: exchange.answer(200, [], b"0123456789"))
    with pytest.raises(IntegrityError, match="ignores ranges"):
        faulty.get("k", offset=5, size_bytes=5)
    assert proxy.count("GET") == 2


REFUSALS = [
    (403, "AccessDenied", AccessDeniedError, "access denied"),
    (403, "SignatureDoesNotMatch", AccessDeniedError, "secret key"),
    (403, "InvalidAccessKeyId", AccessDeniedError, "not known"),
    (400, "ExpiredToken", AccessDeniedError, "expired"),
    (403, "InvalidObjectState", NotReadableYetError, "archive"),
    (404, "NoSuchBucket", RepositoryError, "does not exist at"),
    (404, "NoSuchKey", MissingObjectError, "does not exist"),
    (400, "InvalidRequest", RepositoryError, "refused"),
    (301, "PermanentRedirect", RepositoryError, "not in region us-east-1"),
    (501, "NotImplemented", RepositoryError, "not supported"),
]


@pytest.mark.parametrize(("status", "code", "kind", "text"), REFUSALS)
def test_what_does_not_heal_fails_after_exactly_one_request(
    faulty: S3Store,
    proxy: FaultProxy,
    status: int,
    code: str,
    kind: type[BtrfsToS3Error],
    text: str,
) -> None:
    proxy.fail("GET", lambda exchange: exchange.error(status, code), times=9)
    with pytest.raises(kind, match=text):
        faulty.get("k", offset=0, size_bytes=1)
    assert len(proxy.seen) == 1


def test_the_right_region_is_named_and_not_silently_used(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    header = ("x-amz-bucket-region", "eu-west-3")
    proxy.fail("GET", lambda exchange: exchange.error(301, "PermanentRedirect", header), times=9)
    with pytest.raises(RepositoryError, match="not in region us-east-1 but in eu-west-3") as caught:
        faulty.check_access("repository.json")
    assert caught.value.hint is not None
    assert "eu-west-3" in caught.value.hint
    assert len(proxy.seen) == 1


def test_a_head_in_the_wrong_region_names_it_too(faulty: S3Store, proxy: FaultProxy) -> None:
    header = ("x-amz-bucket-region", "eu-west-3")
    proxy.fail("HEAD", lambda exchange: exchange.error(400, "", header), times=9)
    with pytest.raises(RepositoryError, match="eu-west-3"):
        faulty.head("k")
    assert len(proxy.seen) == 1


def test_a_head_without_the_right_to_decrypt_is_asked_without_checksums(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    create(faulty, "k", b"x")
    proxy.fail("HEAD", lambda exchange: exchange.error(403, ""))
    state = faulty.head("k")
    assert state is not None
    assert state.sha256_hex is None
    assert faulty.head("k") is not None
    asked = [r.headers.get("x-amz-checksum-mode") for r in proxy.seen if r.method == "HEAD"]
    assert asked[1:] == ["ENABLED", None, None]  # the first guarded the creation


def test_a_storm_of_503_ends_after_the_patience_with_the_last_error(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    proxy.fail("GET", slow_down, times=9999)
    with pytest.raises(UnreachableError, match=r"no usable answer.*SlowDown") as caught:
        faulty.get("k", offset=0, size_bytes=1)
    assert caught.value.__cause__ is not None
    assert proxy.count("GET") > QUICK.gate.threshold


def test_workers_pause_in_a_storm_and_all_go_on_after_it(moto: Place, proxy: FaultProxy) -> None:
    patient = replace(QUICK, gate=replace(QUICK.gate, first_patience_s=20, patience_s=20))
    with moto.store(patient, endpoint_url=proxy.url) as store:
        create(store, "k", BODY)
        proxy.fail("GET", slow_down, times=QUICK.gate.threshold + 3)
        results: list[bytes] = []

        def work() -> None:
            results.append(store.get("k", offset=0, size_bytes=1000))

        workers = [threading.Thread(target=work) for _ in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(10)
        assert results == [BODY[:1000]] * 6


def test_an_outage_ends_at_once_when_the_run_is_interrupted(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    time = FakeTime(on_wait=lambda time: time.cancel() if len(time.waits) == 3 else None)
    proxy.fail("GET", slow_down, times=9999)
    with pytest.raises(InterruptedRunError):
        faulty.bound(time).get("k", offset=0, size_bytes=1)
    assert len(time.waits) == 3


def test_an_upload_in_progress_ends_when_the_run_is_interrupted(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    class AfterSomePieces(FakeTime):
        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 3

    with pytest.raises(InterruptedRunError):
        faulty.bound(AfterSomePieces()).upload_part("k", "id", 1, BODY * 4, sha(BODY * 4))
    assert proxy.count("PUT") == 1


def test_a_download_in_progress_ends_when_the_run_is_interrupted(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    create(faulty, "k", BODY)

    class DuringTheBody(FakeTime):
        def is_set(self) -> bool:
            return proxy.count("GET") > 0

    with pytest.raises(InterruptedRunError):
        faulty.bound(DuringTheBody()).get("k", offset=0, size_bytes=len(BODY))
    assert proxy.count("GET") == 1


def test_keys_that_failed_for_a_passing_reason_are_deleted_again(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    for key in ("a", "b", "c"):
        create(faulty, key, b"x")

    def partly(exchange: Exchange) -> None:
        prefix = list(faulty.list(""))  # the proxy is asked while it answers: it has threads
        assert len(prefix) == 3
        body = exchange.request.body.decode()
        full = [text.partition("</Key>")[0] for text in body.split("<Key>")[1:]]
        errors = (
            f"<Error><Key>{full[0]}</Key><Code>InternalError</Code></Error>"
            f"<Error><Key>{full[1]}</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
            f"<Error><Key>{full[2]}</Key><Code>NoSuchKey</Code></Error>"
        )
        exchange.answer(200, [], f"<DeleteResult>{errors}</DeleteResult>".encode())

    proxy.fail("POST", partly)
    targets = [DeleteTarget(key) for key in ("a", "b", "c")]
    (failure,) = faulty.bound(FakeTime()).delete(targets)
    assert (failure.key, failure.code, failure.message) == ("b", "AccessDenied", "no")
    assert [item.key for item in faulty.list("")] == ["b", "c"]


def test_more_than_a_thousand_keys_take_several_requests(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    assert faulty.delete(DeleteTarget(f"k{number}") for number in range(2001)) == []
    assert [request.body.count(b"<Key>") for request in proxy.seen] == [1000, 1000, 1]


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (400, "MissingContentMD5")])
def test_a_service_without_multi_delete_gets_single_deletes(
    faulty: S3Store, proxy: FaultProxy, status: int, code: str
) -> None:
    create(faulty, "a", b"x")
    create(faulty, "b", b"x")
    proxy.fail("POST", lambda exchange: exchange.error(status, code), times=9)
    assert faulty.delete([DeleteTarget("a"), DeleteTarget("b")]) == []
    assert faulty.delete([DeleteTarget("a")]) == []
    assert list(faulty.list("")) == []
    assert proxy.count("POST") == 1


def test_a_service_that_lists_no_thaw_states_still_lists(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    create(faulty, "a", b"x")
    proxy.fail("list-type", lambda exchange: exchange.error(400, "InvalidArgument"))
    assert [item.key for item in faulty.list("")] == ["a"]
    assert [item.key for item in faulty.list("")] == ["a"]
    asked = [request.headers.get("x-amz-optional-object-attributes") for request in proxy.seen]
    assert asked[-3:] == ["RestoreStatus", None, None]


@pytest.mark.parametrize("status", [501, 405])
def test_a_service_that_knows_no_uploads_or_versions_lists_none(
    faulty: S3Store, proxy: FaultProxy, status: int
) -> None:
    proxy.fail("uploads", lambda exchange: exchange.error(status, "NotImplemented"))
    proxy.fail("versioning", lambda exchange: exchange.error(status, "NotImplemented"))
    assert list(faulty.list_uploads("")) == []
    assert list(faulty.list_versions("")) == []


def test_a_listing_that_repeats_its_page_is_an_error(faulty: S3Store, proxy: FaultProxy) -> None:
    body = (
        b"<ListBucketResult><IsTruncated>true</IsTruncated>"
        b"<NextContinuationToken>a-token</NextContinuationToken></ListBucketResult>"
    )
    proxy.fail("list-type", lambda exchange: exchange.answer(200, [], body), times=99)
    with pytest.raises(RepositoryError, match="more but not where"):
        list(faulty.list(""))
    assert len(proxy.seen) == 2


def test_uploads_of_others_are_never_listed(faulty: S3Store, proxy: FaultProxy) -> None:
    upload = (
        b"<Upload><Key>somebody/else</Key><UploadId>u</UploadId>"
        b"<Initiated>2026-11-20T02:00:00Z</Initiated></Upload>"
    )
    body = b"<ListMultipartUploadsResult>" + upload + b"</ListMultipartUploadsResult>"
    proxy.fail("uploads", lambda exchange: exchange.answer(200, [], body))
    assert list(faulty.list_uploads("")) == []


@pytest.mark.parametrize(
    ("checksum", "kind", "kept"),
    [
        (base64.b64encode(sha(b"x")).decode(), "FULL_OBJECT", sha(b"x").hex()),
        (base64.b64encode(sha(b"x")).decode(), None, sha(b"x").hex()),
        (base64.b64encode(sha(b"x")).decode(), "COMPOSITE", None),
        (base64.b64encode(sha(b"x")).decode() + "-1", None, None),
        ("bm90IGEgZGlnZXN0", None, None),
    ],
)
def test_only_a_digest_of_the_whole_object_counts_as_kept(
    faulty: S3Store, proxy: FaultProxy, checksum: str, kind: str | None, kept: str | None
) -> None:
    headers = [("ETag", '"e"'), ("Content-Length", "1"), ("x-amz-checksum-sha256", checksum)]
    headers += [("x-amz-checksum-type", kind)] if kind is not None else []
    proxy.fail("HEAD", lambda exchange: exchange.answer(200, headers, b""))
    state = faulty.head("k")
    assert state is not None
    assert state.sha256_hex == kept


def test_a_listing_that_does_not_get_on_is_an_error(faulty: S3Store, proxy: FaultProxy) -> None:
    body = b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"
    proxy.fail("list-type", lambda exchange: exchange.answer(200, [], body), times=9)
    with pytest.raises(RepositoryError, match="more but not where"):
        list(faulty.list(""))


def test_a_refused_if_match_is_never_sent_again(faulty: S3Store, proxy: FaultProxy) -> None:
    etag = create(faulty, "head", b"0")
    proxy.fail("PUT", lambda exchange: exchange.error(501, "NotImplemented"))
    for number in (1, 2):
        body = b"%d" % number
        etag = faulty.put(
            "head", body, sha256=sha(body), role=Role.METADATA, condition=Replace(etag)
        ).etag
    sent = [request.headers.get("If-Match") for request in proxy.seen if request.method == "PUT"]
    assert [value is not None for value in sent] == [False, True, False, False]
    with pytest.raises(ConditionFailedError):
        faulty.put("head", b"3", sha256=sha(b"3"), role=Role.METADATA, condition=Replace("0" * 32))


def test_what_is_not_s3_at_all_is_said_so(faulty: S3Store, proxy: FaultProxy) -> None:
    page = b"<html><title>It works!</title><p>unclosed</html>"
    header = ("Content-Type", "text/html; charset=utf-8")
    proxy.fail("GET", lambda exchange: exchange.answer(200, [header], page), times=9999)
    with pytest.raises(UnreachableError, match="is this endpoint S3"):
        faulty.check_access("repository.json")


def test_a_refused_connection_names_the_endpoint(moto: Place) -> None:
    with (
        moto.store(endpoint_url="http://127.0.0.1:9") as store,
        pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:9"),
    ):
        store.check_access("repository.json")


def test_an_unknown_host_names_the_endpoint(moto: Place) -> None:
    with (
        moto.store(endpoint_url="http://no-such-host.invalid") as store,
        pytest.raises(UnreachableError, match=r"no-such-host\.invalid"),
    ):
        store.check_access("repository.json")


def test_a_connection_is_used_again_after_a_whole_read_and_closed_after_a_broken_one(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    create(faulty, "k", BODY)
    for _ in range(5):
        faulty.get("k", offset=0, size_bytes=1000)
        faulty.get_whole("k", limit_bytes=400_000)
        faulty.head("k")
    assert proxy.connections == 1
    with pytest.raises(IntegrityError):
        faulty.get_whole("k", limit_bytes=1)
    faulty.get("k", offset=0, size_bytes=1000)
    assert proxy.connections == 2


def test_every_retry_is_logged_and_counted_and_no_secret_is(
    faulty: S3Store, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.fail("PUT", slow_down, times=2)
    with caplog.at_level(logging.DEBUG, logger="btrfs_to_s3"):
        create(faulty, "k", b"x")
    retries = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert [text.partition(",")[0] for text in retries] == [
        "PutObject k: attempt 1 failed",
        "PutObject k: attempt 2 failed",
    ]
    assert "SlowDown" in retries[0]
    assert faulty.request_counts()["put"] == 3
