"""A moto server for the session, and a bucket of one test's own."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.s3 import Limits, S3Settings, S3Store
from btrfs_to_s3.s3.gate import GateSettings
from btrfs_to_s3.s3.retry import RetryPolicy
from integration_tests.harness.services import Moto, moto_server
from tests.operations.repositories import SyntheticRepository

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

QUICK = Limits(
    retry=RetryPolicy(attempts=3, transit_attempts=2, base_s=0.001, cap_s=0.002),
    gate=GateSettings(
        threshold=4, probe_base_s=0.002, probe_cap_s=0.004, patience_s=0.15, first_patience_s=0.15
    ),
)
"""Limits that never make a test wait."""


@dataclass(frozen=True)
class Bucket:
    """A bucket on moto: what this program sees of it, and what an administrator can do to it."""

    service: Moto
    name: str
    client: S3Client
    prefix: str = "pre"

    def store(self, **settings: object) -> S3Store:
        """A new store in this bucket, for the caller to close."""
        chosen: dict[str, object] = {
            "bucket": self.name,
            "prefix": self.prefix,
            "endpoint_url": self.service.endpoint_url,
            "region": self.service.region,
            "addressing": "path",
        } | settings
        return S3Store.open(S3Settings(**chosen), QUICK)  # type: ignore[arg-type]  # by name, from a dictionary

    def listing(self) -> list[str]:
        """The keys there are, without the prefix."""
        start = f"{self.prefix}/"
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=start
        )
        return [
            entry["Key"].removeprefix(start) for page in pages for entry in page.get("Contents", ())
        ]

    def versions(self) -> list[str]:
        """The keys of all versions and delete markers."""
        found: list[str] = []
        for page in self.client.get_paginator("list_object_versions").paginate(Bucket=self.name):
            found += [version["Key"] for version in page.get("Versions", ())]
            found += [marker["Key"] for marker in page.get("DeleteMarkers", ())]
        return [key.removeprefix(f"{self.prefix}/") for key in found]

    def read(self, key: str) -> bytes:
        """An object's bytes."""
        answer = self.client.get_object(Bucket=self.name, Key=f"{self.prefix}/{key}")
        return answer["Body"].read()

    def write(self, key: str, data: bytes, storage_class: str = "STANDARD") -> None:
        """Overwrite an object."""
        self.client.put_object(
            Bucket=self.name,
            Key=f"{self.prefix}/{key}",
            Body=data,
            StorageClass=storage_class,  # type: ignore[arg-type]  # a literal type, given as text
        )

    def remove(self, key: str) -> None:
        """Delete an object (on a versioned bucket: hide it)."""
        self.client.delete_object(Bucket=self.name, Key=f"{self.prefix}/{key}")

    def keep_versions(self) -> None:
        """Turn versioning on."""
        self.client.put_bucket_versioning(
            Bucket=self.name, VersioningConfiguration={"Status": "Enabled"}
        )


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    """One server for all tests here."""
    with moto_server() as running:
        yield running


@pytest.fixture(scope="session")
def client(moto: Moto) -> Iterator[S3Client]:
    """An administrator's connection."""
    with contextlib.closing(moto.client()) as opened:
        yield opened


@pytest.fixture
def bucket(moto: Moto, client: S3Client, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket, and credentials for it in the environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in moto.environment().items():
        if value:
            monkeypatch.setenv(name, value)
    name = f"test-{secrets.token_hex(6)}"
    client.create_bucket(Bucket=name)
    return Bucket(moto, name, client)


@pytest.fixture
def state_directory(tmp_path: Path) -> Iterator[Path]:
    """A place for local state, in memory where there is one: journals sync every line."""
    if not os.access("/dev/shm", os.W_OK):  # noqa: S108 - a private directory is made in it
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="btrfs-to-s3-test-") as made:
        yield Path(made)


@pytest.fixture
def repository(bucket: Bucket, state_directory: Path) -> Iterator[SyntheticRepository]:
    """An empty repository in the bucket, and one source of it on this host."""
    with bucket.store() as store:
        yield SyntheticRepository(store, state_directory)
