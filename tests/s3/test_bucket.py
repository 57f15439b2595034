"""The bucket around a repository: lifecycle rules, versions, locks, region, clock, credentials."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from btrfs_to_s3.errors import AccessDeniedError, RepositoryError
from btrfs_to_s3.model.bucket import Lifecycle, ObjectLock, Versioning
from btrfs_to_s3.s3 import S3Settings, S3Store, World
from btrfs_to_s3.s3.translate import UnsupportedRequestError
from tests.s3.conftest import QUICK, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.s3.fault_proxy import FaultProxy

FOREIGN: dict[str, Any] = {
    "ID": "theirs",
    "Filter": {"And": {"Prefix": "logs/", "Tags": [{"Key": "a", "Value": "b"}]}},
    "Status": "Enabled",
    "Transitions": [{"Date": "2030-01-01T00:00:00Z", "StorageClass": "GLACIER"}],
    "Expiration": {"Date": "2031-01-01T00:00:00Z"},
}
OURS: dict[str, Any] = {
    "ID": "btrfs-to-s3 pre: unfinished uploads",
    "Filter": {"Prefix": "pre/"},
    "Status": "Enabled",
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
}


@pytest.fixture
def fresh(moto: Place) -> Place:
    """A bucket of one test's own."""
    return Place(moto.service, moto.service.create_bucket(), "pre")


@pytest.fixture
def own_store(fresh: Place) -> Iterator[S3Store]:
    with fresh.store() as opened:
        yield opened


def test_a_bucket_without_rules_has_none(own_store: S3Store) -> None:
    assert own_store.bucket().lifecycle() == Lifecycle()


def test_rules_come_back_as_they_were_set_times_included(own_store: S3Store) -> None:
    wanted = Lifecycle((FOREIGN, OURS), "varies_by_storage_class")
    own_store.bucket().replace_lifecycle(wanted)
    found = own_store.bucket().lifecycle()
    assert sorted(found.rules, key=lambda rule: str(rule["ID"])) == [OURS, FOREIGN]
    own_store.bucket().replace_lifecycle(found)
    assert own_store.bucket().lifecycle() == found


def test_the_smallest_size_that_is_moved_is_sent_back_as_it_was(
    faulty: S3Store, proxy: FaultProxy
) -> None:
    faulty.bucket().replace_lifecycle(Lifecycle((OURS,), "varies_by_storage_class"))
    [request] = [each for each in proxy.seen if "lifecycle" in each.target]
    header = "x-amz-transition-default-minimum-object-size"
    assert request.headers.get(header) == "varies_by_storage_class"


@pytest.mark.parametrize("name", ["rclone", "swift"])
def test_a_service_that_answers_with_a_listing_has_no_rules(
    place_at: Callable[[str], Place], name: str
) -> None:
    with (
        place_at(name).store() as opened,
        pytest.raises(UnsupportedRequestError, match="no lifecycle rules"),
    ):
        opened.bucket().lifecycle()


def test_a_service_that_says_so_has_no_rules(faulty: S3Store, proxy: FaultProxy) -> None:
    proxy.fail("lifecycle", lambda exchange: exchange.error(501, "NotImplemented"))
    with pytest.raises(UnsupportedRequestError):
        faulty.bucket().lifecycle()


def test_versions_are_kept_once_they_are_asked_for(fresh: Place, own_store: S3Store) -> None:
    assert own_store.bucket().versioning() is Versioning.NEVER
    with contextlib.closing(fresh.service.client()) as client:
        for status in ("Enabled", "Suspended"):
            client.put_bucket_versioning(
                Bucket=fresh.bucket,
                VersioningConfiguration={"Status": status},
            )
            assert own_store.bucket().versioning() is Versioning(status.lower())


def test_object_lock_is_told_with_its_default(moto: Place) -> None:
    bucket = moto.service.create_bucket(object_lock=True)
    place = Place(moto.service, bucket, "pre")
    with place.store() as opened, contextlib.closing(moto.service.client()) as client:
        assert opened.bucket().object_lock() == ObjectLock(None)
        client.put_object_lock_configuration(
            Bucket=bucket,
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}},
            },
        )
        assert opened.bucket().object_lock() == ObjectLock("GOVERNANCE for 3 days")


def test_no_object_lock_is_none_on_every_service(store: S3Store) -> None:
    assert store.bucket().object_lock() is None


def test_the_region_is_the_buckets_where_the_service_says_it(
    place_at: Callable[[str], Place], own_store: S3Store
) -> None:
    assert own_store.bucket().region() == "us-east-1"
    assert own_store.bucket().configured_region == "us-east-1"
    with place_at("rclone").store() as opened:
        assert opened.bucket().region() is None


@pytest.mark.parametrize("ahead_s", [-1000, 0, 400])
def test_the_clock_is_measured_by_the_services_date(fresh: Place, ahead_s: int) -> None:
    world = World(now=lambda: datetime.now(UTC) + timedelta(seconds=ahead_s))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in fresh.service.environment().items():
            patch.setenv(name, value)
        settings = S3Settings(
            bucket=fresh.bucket, endpoint_url=fresh.service.endpoint_url, addressing="path"
        )
        with S3Store.open(settings, QUICK, world=world) as opened:
            bucket = opened.bucket()
            assert bucket.clock_skew() is None
            assert list(opened.list("")) == []
            skew = bucket.clock_skew()
    assert skew is not None
    assert abs(skew.total_seconds() - ahead_s) < 3


def test_the_clock_is_measured_by_a_refusal_too(faulty: S3Store, proxy: FaultProxy) -> None:
    bucket = faulty.bucket()
    date = ("Date", "Fri, 20 Nov 2026 02:00:00 GMT")
    proxy.fail("list-type", lambda exchange: exchange.error(403, "RequestTimeTooSkewed", date))
    with pytest.raises(AccessDeniedError):
        list(faulty.list(""))
    skew = bucket.clock_skew()
    assert skew is not None
    assert abs(skew - (datetime.now(UTC) - datetime(2026, 11, 20, 2, tzinfo=UTC))) < timedelta(
        minutes=1
    )


def test_credentials_are_told_by_their_origin_and_never_shown(
    own_store: S3Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(AccessDeniedError, match="no credentials were found"):
        own_store.bucket().credentials_origin()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASHOWN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert own_store.bucket().credentials_origin() == "the environment (AWS_ACCESS_KEY_ID)"
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessDeniedError, match="cannot be used") as caught:
        own_store.bucket().credentials_origin()
    assert "AKIASHOWN" not in str(caught.value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = AKIASHOWN\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    assert own_store.bucket().credentials_origin() == "the shared credentials file"


def test_a_bucket_that_is_not_there_is_named(fresh: Place) -> None:
    with fresh.store(bucket="nobody-has-this") as opened, pytest.raises(RepositoryError):
        opened.bucket().versioning()
