"""A repository's URL is normalised, or refused with the reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from btrfs_to_s3.config.repository import RepositoryUrl
from btrfs_to_s3.errors import UsageError


@pytest.mark.parametrize(
    ("text", "bucket", "prefix"),
    [
        ("s3://my-bucket", "my-bucket", ""),
        ("s3://my-bucket/", "my-bucket", ""),
        ("s3://my.bucket/a/b", "my.bucket", "a/b"),
        ("s3://bucket//hosts/web1//", "bucket", "hosts/web1"),
        ("s3://bucket/Données du lundi", "bucket", "Données du lundi"),
    ],
)
def test_a_repository_url_is_read_and_normalised(text: str, bucket: str, prefix: str) -> None:
    assert RepositoryUrl.parse(text) == RepositoryUrl(bucket, prefix)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bucket/prefix",
        "s3://",
        "s3:///prefix",
        "s3://ab",
        "s3://" + "a" * 64,
        "s3://My-Bucket",
        "s3://my_bucket",
        "s3://-bucket",
        "s3://bucket-",
        "s3://a..b",
        "s3://192.168.0.1",
        "s3://bucket/a//b",
        "s3://bucket/a/../b",
        "s3://bucket/./b",
        "s3://bucket/a\nb",
        "s3://bucket/a\\b",
        "s3://bucket/" + "é" * 400,
    ],
)
def test_what_is_no_repository_url_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        RepositoryUrl.parse(text)


def test_the_url_of_a_service_is_refused_with_the_setting_it_belongs_to() -> None:
    with pytest.raises(UsageError) as caught:
        RepositoryUrl.parse("https://s3.example.org/bucket")
    assert "endpoint_url" in str(caught.value.hint)


@given(st.text(alphabet="ab-._ é'+/", max_size=30))
def test_a_normalised_url_reads_as_itself(prefix: str) -> None:
    try:
        url = RepositoryUrl.parse(f"s3://bucket/{prefix}")
    except UsageError:
        return
    assert RepositoryUrl.parse(str(url)) == url
