"""Services, stores and a faulty network for the S3 tests."""

from __future__ import annotations

import functools
import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING

import pytest
from botocore.loaders import JSONFileLoader

from btrfs_to_s3.s3 import Limits, S3Settings, S3Store, World
from btrfs_to_s3.s3.gate import GateSettings
from btrfs_to_s3.s3.retry import RetryPolicy
from integration_tests.harness.services import (
    Service,
    moto_server,
    rclone_server,
    swift_server,
)
from tests.s3.fault_proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from btrfs_to_s3.model.objects import Capabilities
    from btrfs_to_s3.ports import Way

STARTERS: dict[str, Callable[[], AbstractContextManager[Service]]] = {
    "moto": moto_server,
    "rclone": rclone_server,
    "swift": swift_server,
}
QUICK = Limits(
    retry=RetryPolicy(attempts=6, transit_attempts=3, base_s=0.001, cap_s=0.002),
    gate=GateSettings(
        threshold=4, probe_base_s=0.002, probe_cap_s=0.004, patience_s=0.15, first_patience_s=0.15
    ),
)
"""Limits that never make a test wait."""


@dataclass(frozen=True)
class Place:
    """A running service and a prefix of one test's own, in a bucket that tests share."""

    service: Service
    bucket: str
    prefix: str

    @contextmanager
    def store(
        self,
        limits: Limits = QUICK,
        *,
        capabilities: Capabilities | None = None,
        world: World | None = None,
        way: Way | None = None,
        **settings: object,
    ) -> Iterator[S3Store]:
        """A store in this place unless told otherwise."""
        chosen: dict[str, object] = {
            "bucket": self.bucket,
            "prefix": self.prefix,
            "endpoint_url": self.service.endpoint_url,
            "region": self.service.region,
            "addressing": "path",
            "read_timeout_s": 20.0,
        } | settings
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.service.environment().items():
                patch.setenv(name, value)
            patch.delenv("AWS_SESSION_TOKEN")
            opened = S3Store.open(
                S3Settings(**chosen),  # type: ignore[arg-type]  # by name, from a dictionary
                limits,
                capabilities=capabilities,
                world=world,
                way=way,
            )
        with opened as store:
            yield store


@pytest.fixture(scope="session")
def place_at() -> Iterator[Callable[[str], Place]]:
    """A new place at a service by name; each service is started at its first use."""
    buckets: dict[str, tuple[Service, str]] = {}
    with ExitStack() as stack:

        def get(name: str) -> Place:
            if name not in buckets:
                service: Service = stack.enter_context(STARTERS[name]())
                buckets[name] = (service, service.create_bucket())
            return Place(*buckets[name], prefix=f"test/{token_hex(6)}")

        yield get


@pytest.fixture
def moto(place_at: Callable[[str], Place]) -> Place:
    return place_at("moto")


@pytest.fixture(params=sorted(STARTERS))
def place(place_at: Callable[[str], Place], request: pytest.FixtureRequest) -> Place:
    """Every service in turn."""
    return place_at(request.param)


@pytest.fixture
def store(place: Place) -> Iterator[S3Store]:
    with place.store() as opened:
        yield opened


@pytest.fixture
def proxy(moto: Place) -> Iterator[FaultProxy]:
    with FaultProxy(moto.service.address) as running:
        yield running


@pytest.fixture
def faulty(moto: Place, proxy: FaultProxy) -> Iterator[S3Store]:
    """A store on moto that speaks through the fault proxy."""
    with moto.store(endpoint_url=proxy.url) as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_credentials_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may use, or wait for, the credentials of the machine it runs on."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session", autouse=True)
def service_models_read_once() -> Iterator[None]:
    """Botocore parses megabytes of JSON for every new session: two thirds of these tests' time."""
    with pytest.MonkeyPatch.context() as patch:
        load = functools.cache(JSONFileLoader().load_file)
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: load(path))
        yield
