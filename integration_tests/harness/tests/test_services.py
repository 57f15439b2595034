"""Each service starts, keeps objects, ends without a trace."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import subprocess
import sys
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psutil
import pytest
from botocore.exceptions import (
    ClientError,
)

from integration_tests.harness.faultproxy.proxy import fault_proxy
from integration_tests.harness.faultproxy.rules import Act, Rule, Side
from integration_tests.harness.services import (
    Moto,
    Service,
    moto_server,
    rclone_server,
    swift_server,
    venvs,
)
from integration_tests.harness.services.paths import REPOSITORY
from integration_tests.harness.tests.uploads import PART, error_code, put_in_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

SERVERS: dict[str, Callable[[], contextlib.AbstractContextManager[Service]]] = {
    "moto": moto_server,
    "rclone": rclone_server,
    "swift": swift_server,
}
MEBIBYTE = secrets.token_bytes(1024**2)


@pytest.fixture(scope="module")
def shared() -> Iterator[Callable[[str], Service]]:
    """Return a function that starts each service once, when it is first wanted."""
    started: dict[str, Service] = {}
    with contextlib.ExitStack() as stack:

        def get(name: str) -> Service:
            if name not in started:
                started[name] = stack.enter_context(SERVERS[name]())
            return started[name]

        yield get


@pytest.fixture(params=SERVERS)
def service(request: pytest.FixtureRequest, shared: Callable[[str], Service]) -> Service:
    """Return each service in turn."""
    return shared(request.param)


@pytest.fixture
def swift(shared: Callable[[str], Service]) -> Service:
    """Return Swift."""
    return shared("swift")


@pytest.fixture
def moto(shared: Callable[[str], Service]) -> Iterator[Moto]:
    """Return an empty moto."""
    running = shared("moto")
    assert isinstance(running, Moto)
    running.reset()
    yield running
    running.reset()


@pytest.fixture
def s3(service: Service) -> Iterator[S3Client]:
    """Return a client of the service."""
    with contextlib.closing(service.client()) as client:
        yield client


def test_an_object_comes_back_as_it_was_put(service: Service, s3: S3Client) -> None:
    bucket = service.create_bucket()
    body = secrets.token_bytes(100_000)
    s3.put_object(Bucket=bucket, Key="a/b", Body=body)
    assert s3.get_object(Bucket=bucket, Key="a/b")["Body"].read() == body
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["a/b"]


def test_a_multipart_upload_comes_back_joined(service: Service, s3: S3Client) -> None:
    bucket = service.create_bucket()
    parts = [secrets.token_bytes(PART), secrets.token_bytes(PART), b"the end"]
    put_in_parts(s3, bucket, "joined", parts)
    assert s3.get_object(Bucket=bucket, Key="joined")["Body"].read() == b"".join(parts)


def test_the_environment_alone_sends_a_client_there(service: Service) -> None:
    bucket = service.create_bucket()
    program = (
        "import boto3; print([b['Name'] for b in boto3.client('s3').list_buckets()['Buckets']])"
    )
    listing = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | service.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert bucket in listing.stdout


@pytest.mark.parametrize("name", SERVERS)
def test_two_at_once_are_strangers_and_nothing_stays(name: str, tmp_path: Path) -> None:
    with SERVERS[name]() as one, SERVERS[name]() as other:
        assert one.endpoint_url != other.endpoint_url
        bucket = one.create_bucket()
        with contextlib.closing(other.client()) as s3, pytest.raises(ClientError):
            s3.head_bucket(Bucket=bucket)
        pids = [*one.pids, *other.pids]
        assert all(psutil.pid_exists(pid) for pid in pids)
        directories = [one.directory, other.directory]
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert not [directory for directory in directories if directory.exists()]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["rclone", "swift"])
def test_a_service_on_disk_keeps_its_objects_through_a_kill(name: str) -> None:
    with SERVERS[name]() as service, contextlib.closing(service.client()) as s3:
        bucket = service.create_bucket()
        s3.put_object(Bucket=bucket, Key="kept", Body=b"still here")
        service.kill()
        service.start()
        assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"still here"


@pytest.mark.parametrize("name", SERVERS)
def test_a_killed_run_leaves_no_server(name: str, tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        f"from integration_tests.harness.services import {name}_server as server\n"
        "with server(directory=Path(sys.argv[1])) as service:\n"
        "    print(*service.pids, flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as run:
        assert run.stdout is not None
        pids = [int(pid) for pid in run.stdout.readline().split()]
        run.kill()
    assert pids
    gone = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], 5)
    assert not gone[1]


def test_a_frozen_service_answers_only_after_the_thaw(moto: Moto) -> None:
    bucket = moto.create_bucket()
    answered = threading.Event()

    def ask() -> None:
        with contextlib.closing(moto.client()) as s3:
            s3.head_bucket(Bucket=bucket)
        answered.set()

    with ThreadPoolExecutor(1) as pool:
        with moto.frozen():
            asked = pool.submit(ask)
            assert not answered.wait(0.5)
        asked.result(10)


def test_swift_refuses_a_wrong_checksum(swift: Service) -> None:
    bucket = swift.create_bucket()
    with contextlib.closing(swift.client()) as s3, pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=b"body", ChecksumSHA256="A" * 43 + "=")
    assert error_code(refused.value) == "BadDigest"


def test_swift_refuses_a_wrong_secret(swift: Service) -> None:
    stranger = dataclasses.replace(swift, secret_key="wrong")
    with contextlib.closing(stranger.client()) as s3, pytest.raises(ClientError) as refused:
        s3.list_buckets()
    assert error_code(refused.value) == "SignatureDoesNotMatch"


def test_moto_thaws_an_archived_object_after_the_time_set(moto: Moto) -> None:
    bucket = moto.create_bucket()
    moto.thaw_after(seconds=1)
    with contextlib.closing(moto.client()) as s3:
        s3.put_object(Bucket=bucket, Key="cold", Body=b"x", StorageClass="DEEP_ARCHIVE")
        with pytest.raises(ClientError) as archived:
            s3.get_object(Bucket=bucket, Key="cold")
        assert error_code(archived.value) == "InvalidObjectState"
        time.sleep(1.1)
        s3.restore_object(Bucket=bucket, Key="cold", RestoreRequest={"Days": 1})
        assert s3.head_object(Bucket=bucket, Key="cold")["Restore"] == 'ongoing-request="true"'
        time.sleep(1.1)
        assert s3.get_object(Bucket=bucket, Key="cold")["Body"].read() == b"x"


def test_moto_enforces_policies_once_credentials_are_required(moto: Moto) -> None:
    bucket = moto.create_bucket()
    reading = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
    reader = moto.require_credentials({"Version": "2012-10-17", "Statement": [reading]})
    writer = moto.require_credentials()
    with contextlib.closing(writer.client()) as s3:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with contextlib.closing(reader.client()) as s3:
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
        with pytest.raises(ClientError) as denied:
            s3.put_object(Bucket=bucket, Key="k", Body=b"y")
        assert error_code(denied.value) == "AccessDenied"
    with contextlib.closing(moto.client()) as s3, pytest.raises(ClientError):
        s3.list_objects_v2(Bucket=bucket)


def test_an_environment_cut_short_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_RUN_DIR", str(tmp_path))
    (tmp_path / "requirements-nothing.txt").touch()
    made = venvs.environment_for("nothing", tmp_path)
    (made / venvs.COMPLETE).unlink()
    (made / "bin" / "python").unlink()
    with ThreadPoolExecutor(2) as pool:
        again = list(pool.map(venvs.environment_for, ["nothing"] * 2, [tmp_path] * 2))
    assert again == [made, made]
    assert (made / "bin" / "python").exists()


def test_a_service_that_checks_signatures_accepts_what_was_signed_for_the_proxy(
    swift: Service,
) -> None:
    with fault_proxy(swift) as proxy, contextlib.closing(proxy.service.client()) as s3:
        bucket = proxy.service.create_bucket()
        s3.put_object(Bucket=bucket, Key="k", Body=MEBIBYTE)
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == MEBIBYTE
        proxy.set_rules(Rule(act=Act.CORRUPT, side=Side.REQUEST, operation="PutObject"))
        with pytest.raises(ClientError, match="does not match"):
            s3.put_object(Bucket=bucket, Key="k", Body=MEBIBYTE)


def test_the_requirements_name_what_the_project_needs() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = {*project["dependencies"], *project["optional-dependencies"]["test"]}
    listed = (REPOSITORY / "integration_tests" / "requirements.txt").read_text().splitlines()
    assert wanted <= {line.strip() for line in listed}
