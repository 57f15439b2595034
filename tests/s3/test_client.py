"""How requests leave: signed over our digest, conditional, with class and encryption."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import AccessDeniedError, ConfigError
from btrfs_to_s3.model.objects import Capabilities, Create, Replace, Role
from btrfs_to_s3.s3 import S3Settings, S3Store
from btrfs_to_s3.s3.client import RequestCounter, make_client
from tests.s3.conftest import QUICK
from tests.s3.fakes import sha

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.s3.conftest import Place
    from tests.s3.fault_proxy import FaultProxy

GOOD = Capabilities(
    conditional_create=True, conditional_replace=True, verifies_checksums=True, keeps_sha256=True
)


def header_of(proxy: FaultProxy, text: str) -> Mapping[str, str | None]:
    request = next(request for request in proxy.seen if text in request.line)
    return {name.lower(): value for name, value in request.headers.items()}


def test_a_put_carries_our_digest_twice_and_nothing_is_hashed_again(
    moto: Place, proxy: FaultProxy
) -> None:
    # The digest is deliberately another one: whoever hashed the body would find out.
    pretended = sha(b"something else")
    with moto.store(endpoint_url=proxy.url, capabilities=GOOD) as store:
        store.put("k", b"body", sha256=pretended, role=Role.DATA, condition=Create.ONLY_NEW)
        upload_id = store.create_upload("m", Role.DATA)
        store.upload_part("m", upload_id, 1, b"body", pretended)
    for text in ("PUT", "partNumber=1"):
        headers = header_of(proxy, text)
        assert headers["x-amz-content-sha256"] == pretended.hex()
        assert headers["x-amz-checksum-sha256"] == base64.b64encode(pretended).decode()
        assert headers["x-amz-sdk-checksum-algorithm"] == "SHA256"
        assert "content-encoding" not in headers
        assert "content-md5" not in headers


def test_conditions_stand_in_headers(moto: Place, proxy: FaultProxy) -> None:
    with moto.store(endpoint_url=proxy.url, capabilities=GOOD) as store:
        first = store.put("k", b"1", sha256=sha(b"1"), role=Role.DATA, condition=Create.ONLY_NEW)
        store.put("k", b"2", sha256=sha(b"2"), role=Role.DATA, condition=Replace(first.etag))
        upload_id = store.create_upload("m", Role.DATA)
        part = store.upload_part("m", upload_id, 1, b"x", sha(b"x"))
        store.complete_upload("m", upload_id, [part], 1)
    puts = [request.headers for request in proxy.seen if request.method == "PUT"]
    assert puts[0]["If-None-Match"] == "*"
    assert puts[1]["If-Match"] == f'"{first.etag}"'
    complete = header_of(proxy, "POST /" + f"{moto.bucket}/{moto.prefix}/m?uploadId")
    assert complete["if-none-match"] == "*"
    assert complete["x-amz-mp-object-size"] == "1"
    assert proxy.count("HEAD") == 0  # a trusted service is not asked beforehand


@pytest.mark.parametrize("role", list(Role))
def test_class_and_encryption_are_sent_for_their_role(
    moto: Place, proxy: FaultProxy, role: Role
) -> None:
    with moto.store(
        endpoint_url=proxy.url,
        capabilities=GOOD,
        data_class="DEEP_ARCHIVE",
        metadata_class="STANDARD",
        sse="aws:kms",
        sse_kms_key_id="key-1",
    ) as store:
        assert store.storage_class(role) == ("DEEP_ARCHIVE" if role is Role.DATA else "STANDARD")
        store.put("k", b"1", sha256=sha(b"1"), role=role, condition=Create.ONLY_NEW)
        store.create_upload("m", role)
        state = store.head("k")
    assert state is not None
    assert state.storage_class == store.storage_class(role)
    for text in ("PUT", "?uploads"):
        headers = header_of(proxy, text)
        wanted = "DEEP_ARCHIVE" if role is Role.DATA else None
        assert headers.get("x-amz-storage-class") == wanted
        assert headers["x-amz-server-side-encryption"] == "aws:kms"
        assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"


def test_chunks_of_one_backup_can_go_to_another_class(moto: Place) -> None:
    with moto.store(data_class="STANDARD", metadata_class="STANDARD_IA") as store:
        archive = store.for_data_class("DEEP_ARCHIVE")
        assert (archive.storage_class(Role.DATA), store.storage_class(Role.DATA)) == (
            "DEEP_ARCHIVE",
            "STANDARD",
        )
        assert archive.storage_class(Role.METADATA) == "STANDARD_IA"
        archive.put("k", b"1", sha256=sha(b"1"), role=Role.DATA, condition=Create.ONLY_NEW)
        state = store.head("k")
        assert state is not None
        assert state.storage_class == "DEEP_ARCHIVE"


def test_no_credentials_are_said_so_without_a_request(proxy: FaultProxy) -> None:
    settings = S3Settings("b", endpoint_url=proxy.url, region="us-east-1", addressing="path")
    with (
        S3Store.open(settings, QUICK) as store,
        pytest.raises(AccessDeniedError, match="no usable credentials"),
    ):
        store.check_access("repository.json")
    assert proxy.seen == []


def test_an_unknown_profile_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="no-such-profile"):
        S3Store.open(S3Settings("b", profile="no-such-profile", region="us-east-1"))


def test_an_impossible_endpoint_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError):
        S3Store.open(S3Settings("b", endpoint_url="not a url", region="us-east-1"))


def test_settings_show_no_secret_because_they_hold_none() -> None:
    assert not any("secret" in name or "access_key" in name for name in S3Settings.__slots__)


def test_a_named_profile_is_never_mixed_with_credentials_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(
        "[away]\naws_access_key_id = away-key\naws_secret_access_key = away-secret\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "home-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "home-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "home-token")
    found = {}
    for profile in (None, "away"):
        settings = S3Settings("bucket", region="eu-central-1", profile=profile)
        client = make_client(settings, RequestCounter())
        # botocore keeps a client's credentials in its signer only.
        given = client._request_signer._credentials  # type: ignore[attr-defined]  # noqa: SLF001
        found[profile] = (given.access_key, given.secret_key, given.token)
        client.close()
    assert found == {
        None: ("home-key", "home-secret", "home-token"),
        "away": ("away-key", "away-secret", None),
    }
