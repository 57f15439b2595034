"""Pages, versions and thaw states as moto serves them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import AccessDeniedError, NotReadableYetError
from btrfs_to_s3.model.objects import Create, DeleteTarget, Role
from integration_tests.harness.services import Moto
from tests.s3.fakes import sha
from tests.s3.fault_proxy import small_pages

if TYPE_CHECKING:
    from btrfs_to_s3.s3 import S3Store
    from tests.s3.conftest import Place
    from tests.s3.fault_proxy import FaultProxy


def create(store: S3Store, key: str, body: bytes = b"x", role: Role = Role.DATA) -> None:
    store.put(key, body, sha256=sha(body), role=role, condition=Create.ONLY_NEW)


def test_listings_longer_than_a_page_are_complete(faulty: S3Store, proxy: FaultProxy) -> None:
    keys = [f"k{number}" for number in range(5)]
    for key in keys:
        create(faulty, key)
        faulty.create_upload(key, Role.DATA)
    proxy.fail("?list-type", small_pages, times=3)
    assert [item.key for item in faulty.list("")] == keys
    assert faulty.request_counts()["list"] == 3
    proxy.fail("?uploads", small_pages, times=9)
    assert sorted(item.key for item in faulty.list_uploads("")) == keys


def test_versions_and_markers_are_listed_and_deleted_by_id(moto: Place, proxy: FaultProxy) -> None:
    bucket = moto.service.create_bucket()
    with closing(moto.service.client()) as client:
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    with moto.store(bucket=bucket, endpoint_url=proxy.url) as store:
        written = store.put(
            "k", b"one", sha256=sha(b"one"), role=Role.DATA, condition=Create.ONLY_NEW
        )
        assert written.version_id is not None
        assert store.delete([DeleteTarget("k")]) == []
        assert store.head("k") is None
        assert store.get_whole("k", limit_bytes=3, version_id=written.version_id)[0] == b"one"
        assert store.get("k", offset=1, size_bytes=2, version_id=written.version_id) == b"ne"
        assert store.head("k", written.version_id) is not None
        found = list(store.list_versions(""))
        assert {(item.key, item.delete_marker, item.latest) for item in found} == {
            ("k", False, False),
            ("k", True, True),
        }
        proxy.fail("?versions", small_pages, times=9)
        for number in range(3):
            create(store, f"more{number}")
        found = list(store.list_versions(""))
        assert len(found) == 5
        assert store.delete([DeleteTarget(item.key, item.version_id) for item in found]) == []
        assert list(store.list_versions("")) == []


def test_a_role_that_may_not_ask_for_versioning_gets_what_is_listed(
    moto: Place, proxy: FaultProxy
) -> None:
    with moto.store(endpoint_url=proxy.url) as store:
        create(store, "k")
        proxy.fail("versioning", lambda exchange: exchange.error(403, "AccessDenied"))
        assert [item.key for item in store.list_versions("")] == ["k"]


@pytest.mark.parametrize(("status", "code"), [(400, "InvalidArgument"), (501, "NotImplemented")])
def test_a_service_that_lists_no_thaws_of_versions_still_lists_versions(
    moto: Place, proxy: FaultProxy, status: int, code: str
) -> None:
    bucket = moto.service.create_bucket()
    with closing(moto.service.client()) as client:
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    with moto.store(bucket=bucket, endpoint_url=proxy.url) as store:
        create(store, "k")
        proxy.fail("?versions", lambda exchange: exchange.error(status, code))
        assert [item.key for item in store.list_versions("")] == ["k"]


def test_an_archived_object_is_not_readable_until_it_is_thawed(moto: Place) -> None:
    assert isinstance(moto.service, Moto)
    with (
        moto.store(data_class="DEEP_ARCHIVE") as store,
        closing(moto.service.client()) as client,
    ):
        create(store, "k")
        with pytest.raises(NotReadableYetError, match="thaw"):
            store.get("k", offset=0, size_bytes=1)
        with pytest.raises(NotReadableYetError, match="thaw"):
            store.get_whole("k", limit_bytes=1)
        (listed,) = store.list("")
        assert listed.storage_class == "DEEP_ARCHIVE"
        moto.service.thaw_after(0)
        client.restore_object(
            Bucket=moto.bucket, Key=f"{moto.prefix}/k", RestoreRequest={"Days": 2}
        )
        assert store.head("k") is not None
        assert store.get("k", offset=0, size_bytes=1) == b"x"


def test_the_state_of_a_thaw_is_read_from_the_listing(faulty: S3Store, proxy: FaultProxy) -> None:
    # moto lists no RestoreStatus: the answer is the example of S3's ListObjectsV2 API page.
    def entry(key: str, status: str) -> str:
        return (
            f"<Contents><Key>{key}</Key><LastModified>2026-11-20T02:00:00Z</LastModified>"
            f"<ETag>&quot;e&quot;</ETag><Size>1</Size><StorageClass>GLACIER</StorageClass>"
            f"{status}</Contents>"
        )

    running = "<RestoreStatus><IsRestoreInProgress>true</IsRestoreInProgress></RestoreStatus>"
    thawed = (
        "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress>"
        "<RestoreExpiryDate>2026-12-01T00:00:00Z</RestoreExpiryDate></RestoreStatus>"
    )
    page = f"<ListBucketResult>{entry('a', '')}{entry('b', running)}{entry('c', thawed)}"
    answer = f"{page}<IsTruncated>false</IsTruncated></ListBucketResult>".encode()
    proxy.fail("list-type", lambda exchange: exchange.answer(200, [], answer))
    states = [(item.thawing, item.thawed_until) for item in faulty.list("")]
    assert states == [(False, None), (True, None), (False, datetime(2026, 12, 1, tzinfo=UTC))]
    assert proxy.seen[0].headers["x-amz-optional-object-attributes"] == "RestoreStatus"


def test_users_without_a_right_are_told_by_the_service(moto: Place) -> None:
    assert isinstance(moto.service, Moto)
    with moto.store() as store:
        create(store, "repository.json")
    reader = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [reader]}
    try:
        limited = replace(moto, service=moto.service.require_credentials(policy))
        with limited.store() as store:
            store.check_access("repository.json")
            with pytest.raises(AccessDeniedError, match="access denied"):
                store.check_writable("repository.json", b"x", sha(b"x"))
        with moto.store() as stranger, pytest.raises(AccessDeniedError, match="not known"):
            stranger.check_access("repository.json")
    finally:
        moto.service.accept_any_credentials()
