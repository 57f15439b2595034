"""What every S3 service of the harness offers, whichever program stands behind it."""

import contextlib
import os
import secrets
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from integration_tests.harness.services.process import ServerProcess, wait_until_ready

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a service runs: on which address, and inside which network namespace if any.

    The harness itself must be able to reach `host` to use `Service.client()`.
    """

    host: str = "127.0.0.1"
    namespace: str | None = None

    @property
    def wrapper(self) -> list[str]:
        """The command that enters the namespace, to be put before another one."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}", "--"] if self.namespace else []


@dataclass(frozen=True, slots=True)
class Service:
    """A running S3 service: where it is, how to speak to it, and its processes."""

    name: str
    endpoint_url: str
    access_key: str
    secret_key: str
    directory: Path
    processes: Sequence[ServerProcess] = ()
    region: str = REGION
    probe_path: str = "/"
    placement: Placement = field(default_factory=Placement)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the endpoint."""
        parts = urlsplit(self.endpoint_url)
        return parts.hostname or "", parts.port or 0

    @property
    def pids(self) -> list[int]:
        """The process ids of the servers behind the endpoint."""
        return [process.pid for process in self.processes]

    def environment(self) -> dict[str, str]:
        """The variables that send an AWS client here, whatever the user's configuration says."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": "",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, *, attempts: int = 1, read_timeout_s: float = 60) -> "S3Client":
        """A boto3 client for this service, to be closed by the caller; it does not retry."""
        session = boto3.session.Session(
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
        )
        config = Config(
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": attempts, "mode": "standard"},
            connect_timeout=5,
            read_timeout=read_timeout_s,
        )
        return session.client("s3", endpoint_url=self.endpoint_url, config=config)

    def create_bucket(self, name: str | None = None, *, object_lock: bool = False) -> str:
        """Make a bucket, by default with a name nobody else has, and return its name."""
        bucket = name or f"test-{secrets.token_hex(6)}"
        with contextlib.closing(self.client()) as s3:
            if object_lock:
                s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
            else:
                s3.create_bucket(Bucket=bucket)
        return bucket

    def start(self) -> None:
        """Start all servers and wait until they answer. Raises ServiceStartError."""
        for process in self.processes:
            process.start()
        wait_until_ready(
            self.address, self.probe_path, self.processes, wrapper=self.placement.wrapper
        )

    def stop(self) -> None:
        """Stop all servers in order; `start` brings them back with what they kept on disk."""
        for process in reversed(self.processes):
            process.stop()

    def kill(self) -> None:
        """End all servers at once (SIGKILL), as a power cut would."""
        for process in self.processes:
            process.kill()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Hold all servers (SIGSTOP) for the block: connections stand, nobody answers."""
        for process in self.processes:
            process.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in self.processes:
                process.signal(signal.SIGCONT)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Start the service for the block; nothing of it is left afterwards."""
        try:
            self.start()
            yield
        finally:
            self.stop()
