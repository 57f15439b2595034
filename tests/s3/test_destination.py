"""The first machine on the way of requests, as botocore makes them."""

from __future__ import annotations

import pytest
from botocore.exceptions import NoCredentialsError

from btrfs_to_s3.errors import ConfigError
from btrfs_to_s3.s3.client import RequestCounter, S3Settings, make_client
from btrfs_to_s3.s3.destination import destination

REGION = "eu-central-1"


def of(bucket: str = "my-bucket", **settings: object) -> str:
    client = make_client(
        S3Settings(bucket, region=REGION, **settings),  # type: ignore[arg-type]  # by name
        RequestCounter(),
    )
    try:
        return destination(client, bucket)
    finally:
        client.close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_amazons_host_has_region_and_bucket_in_its_name_where_the_bucket_allows_it() -> None:
    assert of() == "my-bucket.s3.eu-central-1.amazonaws.com"
    assert of("my.bucket") == "s3.eu-central-1.amazonaws.com"
    assert of(addressing="path") == "s3.eu-central-1.amazonaws.com"


def test_another_services_host_is_that_of_its_endpoint() -> None:
    assert of(endpoint_url="http://192.0.2.7:9000") == "192.0.2.7"
    assert of(endpoint_url="http://[2001:db8::7]:9000") == "2001:db8::7"
    named = "https://s3.example.com"
    assert of(endpoint_url=named, addressing="path") == "s3.example.com"
    assert of(endpoint_url=named, addressing="virtual") == "my-bucket.s3.example.com"


def test_behind_a_proxy_it_is_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.lan:3128")
    assert of() == "proxy.lan"
    assert of(endpoint_url="http://192.0.2.7:9000") == "192.0.2.7"
    monkeypatch.setenv("HTTPS_PROXY", "proxy.lan:3128")
    assert of() == "proxy.lan"
    monkeypatch.setenv("NO_PROXY", ".amazonaws.com")
    assert of() == "my-bucket.s3.eu-central-1.amazonaws.com"


def test_asking_sends_nothing_needs_no_credentials_and_leaves_the_client_as_it_was() -> None:
    counter = RequestCounter()
    client = make_client(S3Settings("b-x", endpoint_url="http://127.0.0.1:9"), counter)
    try:
        assert [destination(client, "b-x") for _ in range(2)] == ["127.0.0.1"] * 2
        assert set(counter.snapshot().values()) == {0}
        with pytest.raises(NoCredentialsError):
            client.head_bucket(Bucket="b-x")
    finally:
        client.close()


def test_a_bucket_that_cannot_be_named_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ConfigError):
        of("no bucket")
