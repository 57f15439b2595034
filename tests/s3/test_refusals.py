"""What a service refuses or does not know: the right error at once, or another way."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import (
    AccessDeniedError,
    BtrfsToS3Error,
    ConditionFailedError,
    MissingObjectError,
    NotReadableYetError,
    RepositoryError,
    UnreachableError,
)
from btrfs_to_s3.model.objects import (
    Capabilities,
    Replace,
    Role,
)
from tests.s3.fakes import sha
from tests.s3.objects import create

if TYPE_CHECKING:
    from btrfs_to_s3.s3 import S3Store
    from tests.s3.conftest import Place
    from tests.s3.fault_proxy import (
        FaultProxy,
    )


GOOD = Capabilities(
    conditional_create=True, conditional_replace=True, verifies_checksums=True, keeps_sha256=True
)


def test_the_404_to_an_if_match_is_a_condition_that_does_not_hold(
    moto: Place, proxy: FaultProxy
) -> None:
    proxy.fail("PUT", lambda exchange: exchange.error(404, "NoSuchKey"))
    with (
        moto.store(endpoint_url=proxy.url, capabilities=GOOD) as store,
        pytest.raises(ConditionFailedError, match="cannot be replaced"),
    ):
        store.put("no", b"x", sha256=sha(b"x"), role=Role.METADATA, condition=Replace("0" * 32))


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
