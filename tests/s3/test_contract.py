"""What every service must do through the store: the good one, the strict one and the bad one."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import (
    ConditionFailedError,
    IntegrityError,
    MissingObjectError,
    RepositoryError,
    UsageError,
)
from btrfs_to_s3.model.objects import Capabilities, Create, DeleteTarget, Replace, Role
from btrfs_to_s3.model.storage_class import Tier
from tests.s3.fakes import sha

if TYPE_CHECKING:
    from btrfs_to_s3.model.objects import StoredObject
    from btrfs_to_s3.s3 import S3Store
    from tests.s3.conftest import Place

FIVE_MIB = 5 * 1024 * 1024
EXPECTED = {
    "moto": Capabilities(
        conditional_create=True,
        conditional_replace=True,
        verifies_checksums=False,
        keeps_sha256=True,
    ),
    "rclone": Capabilities(
        conditional_create=False,
        conditional_replace=False,
        verifies_checksums=False,
        keeps_sha256=True,
    ),
    "swift": Capabilities(
        conditional_create=True,
        conditional_replace=False,
        verifies_checksums=True,
        keeps_sha256=False,
    ),
}


def create(store: S3Store, key: str, body: bytes, role: Role = Role.METADATA) -> StoredObject:
    return store.put(key, body, sha256=sha(body), role=role, condition=Create.ONLY_NEW)


def upload(store: S3Store, key: str, *bodies: bytes) -> StoredObject:
    upload_id = store.create_upload(key, Role.DATA)
    parts = [
        store.upload_part(key, upload_id, number, body, sha(body))
        for number, body in enumerate(bodies, 1)
    ]
    return store.complete_upload(key, upload_id, parts, sum(map(len, bodies)))


def test_what_was_put_is_got_headed_and_listed(store: S3Store) -> None:
    body = b'{"a": 1}'
    written = create(store, "a/b.json", body)
    state = store.head("a/b.json")
    (listed,) = store.list("a/")
    assert store.get_whole("a/b.json", limit_bytes=8) == (body, written.etag)
    assert store.get("a/b.json", offset=2, size_bytes=3) == body[2:5]
    assert state is not None
    assert (state.size_bytes, state.etag) == (8, written.etag)
    assert (listed.key, listed.size_bytes, listed.etag) == ("a/b.json", 8, written.etag)
    assert listed.modified.tzinfo is UTC
    assert '"' not in written.etag


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO])
def test_every_kind_of_body_arrives(store: S3Store, kind: type) -> None:
    body = os.urandom(300_000)
    store.put("x", kind(body), sha256=sha(body), role=Role.DATA, condition=Create.ONLY_NEW)
    assert store.get("x", offset=0, size_bytes=len(body)) == body


def test_an_empty_object_can_be_put_and_got(store: S3Store) -> None:
    create(store, "empty", b"")
    assert store.get_whole("empty", limit_bytes=10)[0] == b""
    assert store.get("empty", offset=0, size_bytes=0) == b""


def test_a_file_body_is_sent_from_where_it_stands(store: S3Store) -> None:
    file = io.BytesIO(b"skipped" + b"sent")
    file.seek(7)
    written = store.put("x", file, sha256=sha(b"sent"), role=Role.DATA, condition=Create.ONLY_NEW)
    assert written.size_bytes == 4
    assert store.get_whole("x", limit_bytes=10)[0] == b"sent"


def test_a_key_is_created_once(store: S3Store) -> None:
    create(store, "k", b"first")
    with pytest.raises(ConditionFailedError):
        create(store, "k", b"other")
    assert store.get_whole("k", limit_bytes=9)[0] == b"first"


def test_creating_the_same_bytes_again_is_what_a_lost_answer_looks_like(store: S3Store) -> None:
    first = create(store, "k", b"same")
    assert create(store, "k", b"same").etag == first.etag


def test_a_replacement_needs_the_etag_that_is_there(store: S3Store) -> None:
    first = create(store, "head", b"one")
    second = store.put(
        "head", b"two", sha256=sha(b"two"), role=Role.METADATA, condition=Replace(first.etag)
    )
    with pytest.raises(ConditionFailedError):
        store.put("head", b"3", sha256=sha(b"3"), role=Role.METADATA, condition=Replace(first.etag))
    assert store.get_whole("head", limit_bytes=9) == (b"two", second.etag)


def test_what_is_absent_cannot_be_replaced(store: S3Store) -> None:
    with pytest.raises(ConditionFailedError):
        store.put("no", b"x", sha256=sha(b"x"), role=Role.METADATA, condition=Replace("0" * 32))
    assert store.head("no") is None


@pytest.mark.parametrize("place", ["moto"], indirect=True)
def test_of_many_creators_exactly_one_wins(place: Place) -> None:
    with place.store(max_pool=8) as store, ThreadPoolExecutor(8) as pool:

        def attempt(number: int) -> bool:
            try:
                create(store, "head", b"writer %d" % number)
            except ConditionFailedError:
                return False
            return True

        assert sum(pool.map(attempt, range(16))) == 1


def test_a_multipart_object_is_its_parts(store: S3Store) -> None:
    first, last = os.urandom(FIVE_MIB), b"the end"
    written = upload(store, "chunk", first, last)
    state = store.head("chunk")
    assert state is not None
    assert (written.size_bytes, written.etag) == (FIVE_MIB + 7, state.etag)
    assert store.get("chunk", offset=0, size_bytes=written.size_bytes) == first + last
    assert store.get("chunk", offset=FIVE_MIB - 2, size_bytes=9) == first[-2:] + last


def test_a_bucket_without_versions_gives_no_version_ids(place: Place) -> None:
    with place.store(capabilities=EXPECTED[place.service.name]) as store:
        assert upload(store, "a", b"x").version_id is None
        assert create(store, "b", b"x").version_id is None


def test_a_part_sent_again_is_there_once(store: S3Store) -> None:
    upload_id = store.create_upload("chunk", Role.DATA)
    store.upload_part("chunk", upload_id, 1, b"part", sha(b"part"))
    part = store.upload_part("chunk", upload_id, 1, b"part", sha(b"part"))
    store.complete_upload("chunk", upload_id, [part], 4)
    assert store.get_whole("chunk", limit_bytes=9)[0] == b"part"


def test_a_multipart_upload_does_not_overwrite(store: S3Store) -> None:
    create(store, "k", b"mine")
    upload_id = store.create_upload("k", Role.DATA)
    part = store.upload_part("k", upload_id, 1, b"yours", sha(b"yours"))
    with pytest.raises(ConditionFailedError):
        store.complete_upload("k", upload_id, [part], 5)
    store.abort_upload("k", upload_id)
    assert store.get_whole("k", limit_bytes=9)[0] == b"mine"


def test_completing_twice_is_success_unless_it_cannot_be_told(store: S3Store, place: Place) -> None:
    upload_id = store.create_upload("k", Role.DATA)
    part = store.upload_part("k", upload_id, 1, b"data", sha(b"data"))
    first = store.complete_upload("k", upload_id, [part], 4)
    try:
        assert store.complete_upload("k", upload_id, [part], 4).etag == first.etag
    except ConditionFailedError:
        # rclone's HEAD shows neither checksum nor ETag of a multipart object, so it cannot be told.
        assert store.head("k") is not None
        assert place.service.name == "rclone"
    assert store.get_whole("k", limit_bytes=9)[0] == b"data"


def test_an_unfinished_upload_is_listed_until_it_is_aborted(store: S3Store) -> None:
    upload_id = store.create_upload("chunks/a", Role.DATA)
    store.upload_part("chunks/a", upload_id, 1, b"data", sha(b"data"))
    (unfinished,) = store.list_uploads("chunks/")
    assert (unfinished.key, unfinished.upload_id) == ("chunks/a", upload_id)
    assert list(store.list_uploads("other/")) == []
    store.abort_upload("chunks/a", upload_id)
    assert list(store.list_uploads("chunks/")) == []
    store.abort_upload("chunks/a", upload_id)


def test_what_is_not_there_is_missing(store: S3Store) -> None:
    assert store.head("no") is None
    with pytest.raises(MissingObjectError):
        store.get("no", offset=0, size_bytes=1)
    with pytest.raises(MissingObjectError):
        store.get("no", offset=0, size_bytes=0)
    with pytest.raises(MissingObjectError):
        store.get_whole("no", limit_bytes=1)


@pytest.mark.parametrize(("offset", "size_bytes"), [(0, 11), (5, 6), (10, 1), (99, 1)])
def test_a_range_past_the_end_is_an_integrity_error(
    store: S3Store, offset: int, size_bytes: int
) -> None:
    create(store, "ten", b"0123456789")
    with pytest.raises(IntegrityError, match=f"ten ends before byte {offset + size_bytes}"):
        store.get("ten", offset=offset, size_bytes=size_bytes)


def test_an_object_over_the_limit_is_refused(store: S3Store) -> None:
    create(store, "ten", b"0123456789")
    with pytest.raises(IntegrityError, match="larger than"):
        store.get_whole("ten", limit_bytes=9)


def test_listing_is_in_key_order_and_within_the_prefix(place: Place) -> None:
    near = f"{place.prefix}-more"
    with place.store() as one, place.store(prefix=near) as other:
        for key in ("b/2", "a", "b/1", "c"):
            create(one, key, key.encode())
        create(other, "a", b"elsewhere")
        assert [item.key for item in one.list("")] == ["a", "b/1", "b/2", "c"]
        assert [item.key for item in one.list("b/")] == ["b/1", "b/2"]
        assert list(one.list("none/")) == []


def test_without_a_prefix_the_repository_is_the_whole_bucket(place: Place) -> None:
    bucket = place.service.create_bucket()
    with place.store(prefix="", bucket=bucket) as store:
        create(store, "a", b"1")
        assert [item.key for item in store.list("")] == ["a"]
        assert store.url == f"s3://{bucket}"


def test_what_was_never_archived_is_not_thawed_and_says_so(store: S3Store) -> None:
    create(store, "k", b"x", Role.DATA)
    state = store.head("k")
    assert state is not None
    assert (state.thawing, state.thawed_until, state.archive_status) == (False, None, None)
    # moto and S3 refuse the class, the others the request; none may take it for accepted.
    with pytest.raises((UsageError, RepositoryError)):
        store.request_thaw("k", None, 1, Tier.STANDARD)
    assert store.get("k", offset=0, size_bytes=1) == b"x"


def test_deleting_removes_and_what_is_gone_counts_as_deleted(store: S3Store) -> None:
    for key in ("a", "b", "ä ö&<>"):
        create(store, key, b"x")
    targets = [DeleteTarget(key) for key in ("a", "ä ö&<>", "never-there")]
    assert store.delete(targets) == []
    assert [item.key for item in store.list("")] == ["b"]


def test_a_bucket_without_versions_lists_none(store: S3Store) -> None:
    create(store, "a", b"x")
    assert list(store.list_versions("")) == []


def test_detection_finds_what_the_service_does_and_leaves_nothing(place: Place) -> None:
    body = b'{"repository_id": "r"}'
    with place.store() as store:
        before = create(store, "repository.json", body)
        assert store.detect("repository.json", body, sha(body)) == EXPECTED[place.service.name]
        assert store.capabilities == EXPECTED[place.service.name]
        assert [item.key for item in store.list("")] == ["repository.json"]
        assert store.get_whole("repository.json", limit_bytes=99) == (body, before.etag)
        assert list(store.list_uploads("")) == []


def test_conditions_hold_after_detection_too(place: Place) -> None:
    with place.store(capabilities=EXPECTED[place.service.name]) as store:
        first = create(store, "k", b"first")
        with pytest.raises(ConditionFailedError):
            create(store, "k", b"other")
        with pytest.raises(ConditionFailedError):
            upload(store, "k", b"other")
        store.put("k", b"2", sha256=sha(b"2"), role=Role.METADATA, condition=Replace(first.etag))
        with pytest.raises(ConditionFailedError):
            store.put(
                "k", b"3", sha256=sha(b"3"), role=Role.METADATA, condition=Replace(first.etag)
            )
        assert store.get_whole("k", limit_bytes=9)[0] == b"2"


def test_access_to_a_bucket_is_checked(place: Place) -> None:
    with place.store() as store:
        store.check_access("repository.json")
        create(store, "repository.json", b"{}")
        store.check_access("repository.json")
        store.check_writable("repository.json", b"{}", sha(b"{}"))
        assert store.get_whole("repository.json", limit_bytes=9)[0] == b"{}"


def test_a_missing_bucket_is_named(place: Place) -> None:
    with place.store(bucket="no-such-bucket-here") as store:
        with pytest.raises(RepositoryError, match="'no-such-bucket-here' does not exist"):
            store.check_access("repository.json")
        with pytest.raises(RepositoryError, match="does not exist"):
            create(store, "k", b"x")


def test_requests_are_counted_by_kind(place: Place) -> None:
    with place.store(capabilities=EXPECTED["moto"]) as store:
        create(store, "k", b"x")
        store.head("k")
        store.get_whole("k", limit_bytes=1)
        list(store.list(""))
        store.delete([DeleteTarget("k")])
        assert store.request_counts() == {"put": 1, "get": 1, "list": 1, "head": 1, "delete": 1}
