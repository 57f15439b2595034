"""Listings and deletions that a service answers in part, in circles or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import (
    RepositoryError,
)
from btrfs_to_s3.model.objects import (
    DeleteTarget,
)
from tests.s3.fakes import FakeTime
from tests.s3.objects import create

if TYPE_CHECKING:
    from btrfs_to_s3.s3 import S3Store
    from tests.s3.fault_proxy import (
        Exchange,
        FaultProxy,
    )


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


def test_a_listing_that_does_not_get_on_is_an_error(faulty: S3Store, proxy: FaultProxy) -> None:
    body = b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"
    proxy.fail("list-type", lambda exchange: exchange.answer(200, [], body), times=9)
    with pytest.raises(RepositoryError, match="more but not where"):
        list(faulty.list(""))
