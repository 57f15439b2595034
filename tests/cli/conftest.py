"""A service and a filesystem per worker; a bucket, a state directory and sources per test."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration_tests.conftest import privileged
from integration_tests.harness.machine.loopback import LoopbackBtrfs
from integration_tests.harness.services.moto import Moto, moto_server
from tests.cli.program import Program
from tests.s3.fault_proxy import FaultProxy
from tests.stand_ins.programs import executable, found_first

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["privileged"]

_SIZE_BYTES = 512 * 1024**2


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the tester's own configuration, credentials or systemd unit is seen."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "BTRFS_TO_S3_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def alone(tmp_path: Path) -> Program:
    """The program without any repository, with an empty configuration file."""
    file = tmp_path / "empty.toml"
    file.write_text("")
    return Program({"BTRFS_TO_S3_STATE_DIR": str(tmp_path / "state")}, file)


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    """The everyday service."""
    with moto_server() as service:
        yield service


@pytest.fixture(scope="session")
def fast_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory in memory where there is one: a sync to a disk takes most of a test's time."""
    if not os.access("/dev/shm", os.W_OK):  # noqa: S108 - a private directory is made in it
        yield tmp_path_factory.mktemp("fast")
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="btrfs-to-s3-test-") as made:
        yield Path(made)


@pytest.fixture(scope="session")
def filesystem(fast_directory: Path, privileged: None) -> Iterator[LoopbackBtrfs]:  # noqa: ARG001
    """The filesystem of this worker's sources."""
    with LoopbackBtrfs(fast_directory, size_bytes=_SIZE_BYTES) as made:
        yield made


@pytest.fixture(scope="session")
def other_filesystem(fast_directory: Path, privileged: None) -> Iterator[LoopbackBtrfs]:  # noqa: ARG001
    """A filesystem to restore to."""
    with LoopbackBtrfs(fast_directory, size_bytes=_SIZE_BYTES) as made:
        yield made


@pytest.fixture
def program(
    moto: Moto, fast_directory: Path, alone: Program, monkeypatch: pytest.MonkeyPatch
) -> Program:
    """The program with an empty bucket and a state directory of its own; chunks are small."""
    environ = {name: value for name, value in moto.environment().items() if value}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    own = {
        "BTRFS_TO_S3_URL": f"s3://{moto.create_bucket()}/pre",
        "BTRFS_TO_S3_STATE_DIR": str(fast_directory / f"state-{secrets.token_hex(4)}"),
        "BTRFS_TO_S3_CHUNK_SIZE": "1MiB",
        "BTRFS_TO_S3_HOST": "nas",
        "BTRFS_TO_S3_RETRY_ATTEMPTS": "2",
        "BTRFS_TO_S3_OUTAGE_PATIENCE": "1s",
    }
    return Program({**environ, **own}, alone.file)


@pytest.fixture
def data(filesystem: LoopbackBtrfs) -> Path:
    """A source of a name of its own, with three files in it.

    What is sent first takes no space when compressed: however slow the line, the first chunk is
    stored at once.
    """
    path = filesystem.subvolume(f"data-{secrets.token_hex(3)}")
    (path / "zeros").write_bytes(bytes(1_500_000))
    (path / "random").write_bytes(os.urandom(2_000_000))
    (path / "note").write_text("first\n")
    return path


@pytest.fixture
def target(other_filesystem: LoopbackBtrfs) -> Path:
    """An empty directory to restore into."""
    path = other_filesystem.mount_point / secrets.token_hex(4)
    path.mkdir()
    return path


@pytest.fixture
def sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for every ``btrfs send`` that was started."""
    log, real = tmp_path / "sends", shutil.which("btrfs")
    noting = f'#!/bin/sh\n[ "$1" = send ] && echo "$@" >> {log}\nexec {real} "$@"\n'
    found_first(monkeypatch, executable(tmp_path / "bin" / "btrfs", noting))
    log.touch()
    return log


@pytest.fixture
def proxy(moto: Moto) -> Iterator[FaultProxy]:
    """The way to the second repository, which can be made to fail."""
    with FaultProxy(moto.address) as running:
        yield running


@pytest.fixture
def two(program: Program, moto: Moto, proxy: FaultProxy, data: Path) -> Program:
    """The program with the data in two repositories, the second behind the proxy."""
    return program.configured(
        "[[repositories]]\n"
        'name = "offsite"\n'
        f'repository = "s3://{moto.create_bucket()}/off"\n'
        f'endpoint_url = "{proxy.url}"\n'
        'addressing = "path"\n'
        "compression_level = 3\n"
        f'[[sources]]\npath = "{data}"\nrepositories = ["default", "offsite"]\n'
    )
