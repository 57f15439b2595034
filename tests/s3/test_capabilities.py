"""Detection: what it concludes, what it must not change, and its cached form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.errors import AccessDeniedError, RepositoryError
from btrfs_to_s3.model.objects import Capabilities, Create, Role
from btrfs_to_s3.s3.capabilities import decode, encode
from tests.s3.fakes import sha

if TYPE_CHECKING:
    from btrfs_to_s3.s3 import S3Store
    from tests.s3.fault_proxy import FaultProxy

KEY = "repository.json"
BODY = b'{"repository_id": "r"}'
GOOD = Capabilities(
    conditional_create=True, conditional_replace=True, verifies_checksums=True, keeps_sha256=True
)


@pytest.fixture
def repository(faulty: S3Store, proxy: FaultProxy) -> S3Store:
    faulty.put(KEY, BODY, sha256=sha(BODY), role=Role.METADATA, condition=Create.ONLY_NEW)
    proxy.seen.clear()
    return faulty


@given(st.builds(Capabilities, st.booleans(), st.booleans(), st.booleans(), st.booleans()))
def test_the_cached_form_comes_back_as_it_was(found: Capabilities) -> None:
    assert decode(encode(found)) == found


@given(st.binary(max_size=80))
def test_anything_else_is_not_believed(data: bytes) -> None:
    assert decode(data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"[]",
        b'{"conditional_create": true}',
        encode(GOOD).replace(b"true", b"1"),
        encode(GOOD).replace(b"keeps", b"loses"),
    ],
)
def test_a_cache_of_another_shape_is_detected_again(data: bytes) -> None:
    assert decode(data) is None


def test_nothing_is_assumed_before_detection(faulty: S3Store) -> None:
    assert faulty.capabilities is None


@pytest.mark.parametrize("code", ["BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch"])
def test_a_refused_wrong_part_means_checksums_are_verified(
    repository: S3Store, proxy: FaultProxy, code: str
) -> None:
    proxy.fail("partNumber", lambda exchange: exchange.error(400, code))
    assert repository.detect(KEY, BODY, sha(BODY)).verifies_checksums
    assert proxy.count("partNumber") == 1
    assert proxy.count("DELETE") == 1


def test_the_probing_upload_is_aborted_even_when_the_probe_fails(
    repository: S3Store, proxy: FaultProxy
) -> None:
    proxy.fail("partNumber", lambda exchange: exchange.error(403, "AccessDenied"))
    with pytest.raises(AccessDeniedError):
        repository.detect(KEY, BODY, sha(BODY))
    assert list(repository.list_uploads("")) == []


def test_a_role_that_may_not_abort_is_no_obstacle(repository: S3Store, proxy: FaultProxy) -> None:
    proxy.fail("DELETE", lambda exchange: exchange.error(403, "AccessDenied"))
    assert repository.detect(KEY, BODY, sha(BODY)).conditional_create


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (400, "InvalidArgument")])
def test_a_refused_header_means_no_conditional_writes(
    repository: S3Store, proxy: FaultProxy, status: int, code: str
) -> None:
    proxy.fail("PUT", lambda exchange: exchange.error(status, code), times=2)
    found = repository.detect(KEY, BODY, sha(BODY))
    assert not found.conditional_create
    assert not found.conditional_replace
    repository.put("k", b"x", sha256=sha(b"x"), role=Role.METADATA, condition=Create.ONLY_NEW)
    assert proxy.seen[-1].headers.get("If-None-Match") is None


def test_only_the_right_object_is_probed(repository: S3Store, proxy: FaultProxy) -> None:
    with pytest.raises(RepositoryError, match="not the object it should be"):
        repository.detect(KEY, b"other", sha(b"other"))
    with pytest.raises(RepositoryError):
        repository.detect("absent", BODY, sha(BODY))
    assert proxy.count("PUT") == 0


def test_writing_is_proven_without_changing_anything(
    repository: S3Store, proxy: FaultProxy
) -> None:
    before = repository.head(KEY)
    repository.check_writable(KEY, BODY, sha(BODY))
    assert repository.head(KEY) == before
    assert proxy.count("PUT") == 1


def test_a_role_that_may_not_write_is_told_before_anything_is_sent(
    repository: S3Store, proxy: FaultProxy
) -> None:
    proxy.fail("PUT", lambda exchange: exchange.error(403, "AccessDenied"))
    with pytest.raises(AccessDeniedError):
        repository.check_writable(KEY, BODY, sha(BODY))


def test_a_role_without_the_right_to_list_may_still_have_access(
    repository: S3Store, proxy: FaultProxy
) -> None:
    proxy.fail("list-type", lambda exchange: exchange.error(403, "AccessDenied"), times=2)
    repository.check_access(KEY)
    proxy.fail("HEAD", lambda exchange: exchange.error(403, ""), times=2)
    with pytest.raises(AccessDeniedError):
        repository.check_access(KEY)


def test_a_wrong_secret_is_not_mistaken_for_a_missing_right_to_list(
    repository: S3Store, proxy: FaultProxy
) -> None:
    proxy.fail("list-type", lambda exchange: exchange.error(403, "SignatureDoesNotMatch"))
    with pytest.raises(AccessDeniedError, match="secret key"):
        repository.check_access(KEY)
    assert len(proxy.seen) == 1
