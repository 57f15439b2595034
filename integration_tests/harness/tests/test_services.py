"""Each service starts, keeps objects, ends without a trace; the faults do what they say."""

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
    ConnectionClosedError,
    FlexibleChecksumError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from integration_tests.harness.faultproxy import rules
from integration_tests.harness.faultproxy.operations import operation_of
from integration_tests.harness.faultproxy.proxy import FaultProxy, Request, fault_proxy
from integration_tests.harness.faultproxy.rules import Act, Rule, Script, Side
from integration_tests.harness.services import (
    Moto,
    Service,
    moto_server,
    rclone_server,
    swift_server,
    venvs,
)
from integration_tests.harness.services.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

SERVERS: dict[str, Callable[[], contextlib.AbstractContextManager[Service]]] = {
    "moto": moto_server,
    "rclone": rclone_server,
    "swift": swift_server,
}
PART = 5 * 1024**2
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


def put_in_parts(s3: S3Client, bucket: str, key: str, parts: list[bytes]) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    tags = [
        s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=part)
        for number, part in enumerate(parts, start=1)
    ]
    s3.complete_multipart_upload(
        Bucket=bucket,
        Key=key,
        UploadId=upload,
        MultipartUpload={
            "Parts": [{"PartNumber": n, "ETag": tag["ETag"]} for n, tag in enumerate(tags, start=1)]
        },
    )


def error_code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


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


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("GET", "/", "ListBuckets"),
        ("GET", "/b?list-type=2&prefix=p", "ListObjectsV2"),
        ("GET", "/b?uploads", "ListMultipartUploads"),
        ("POST", "/b?delete", "DeleteObjects"),
        ("HEAD", "/b", "HeadBucket"),
        ("GET", "/b/k/l", "GetObject"),
        ("PUT", "/b/k", "PutObject"),
        ("POST", "/b/k?uploads", "CreateMultipartUpload"),
        ("PUT", "/b/k?partNumber=3&uploadId=u", "UploadPart"),
        ("GET", "/b/k?uploadId=u", "ListParts"),
        ("POST", "/b/k?uploadId=u", "CompleteMultipartUpload"),
        ("DELETE", "/b/k?uploadId=u", "AbortMultipartUpload"),
        ("DELETE", "/b/k", "DeleteObject"),
        ("POST", "/b/k?restore", "RestoreObject"),
        ("PATCH", "/b/k", "Other"),
    ],
)
def test_a_request_is_known_by_its_operation(method: str, path: str, operation: str) -> None:
    assert operation_of(method, path) == operation


def test_a_rule_acts_from_its_first_to_its_last_match() -> None:
    script = Script([rules.slow_down(operation="PutObject", first=2, last=3)])
    acted = [script.rule_for("PutObject", "PUT", "/b/k") is not None for _ in range(5)]
    assert acted == [False, True, True, False, False]
    assert script.rule_for("GetObject", "GET", "/b/k") is None


def test_a_rule_counts_also_where_an_earlier_one_acts() -> None:
    earlier, later = rules.slow_down(last=1), rules.access_denied(path="k$", first=2)
    script = Script([earlier, later])
    assert [script.rule_for("PutObject", "PUT", "/b/k") for _ in range(2)] == [earlier, later]


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultProxy]:
    """Return a proxy before a moto of its own, with nothing wrong yet."""
    with moto_server() as service, fault_proxy(service) as running:
        yield running


@pytest.fixture
def through(proxy: FaultProxy) -> Iterator[S3Client]:
    """Return a client that goes through the proxy and gives up after a second of silence."""
    with contextlib.closing(proxy.service.client(read_timeout_s=1)) as client:
        yield client
    proxy.set_rules()


@pytest.fixture
def bucket(proxy: FaultProxy) -> str:
    """Return a bucket with one object, `k`, of one MiB."""
    proxy.set_rules()
    name = proxy.service.create_bucket()
    with contextlib.closing(proxy.service.client()) as client:
        client.put_object(Bucket=name, Key="k", Body=MEBIBYTE)
    return name


def ended(proxy: FaultProxy, operation: str) -> Request:
    """The last request of an operation, once the proxy has noted its end."""
    deadline = time.monotonic() + 10
    while (last := proxy.requests(operation)[-1]).seconds is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return last


def test_bodies_pass_through_unchanged(proxy: FaultProxy, through: S3Client, bucket: str) -> None:
    parts = [secrets.token_bytes(PART), secrets.token_bytes(PART)]
    put_in_parts(through, bucket, "joined", parts)
    assert through.get_object(Bucket=bucket, Key="joined")["Body"].read() == b"".join(parts)
    assert len(proxy.requests("UploadPart")) >= 2
    last = ended(proxy, "GetObject")
    assert (last.status, last.answer_bytes, last.rule, last.error) == (200, 2 * PART, None, None)


@pytest.mark.parametrize(
    ("rule", "status", "code"),
    [
        (rules.internal_error(), 500, "InternalError"),
        (rules.slow_down(), 503, "SlowDown"),
        (rules.access_denied(), 403, "AccessDenied"),
        (rules.expired_token(), 400, "ExpiredToken"),
        (rules.clock_skew(), 403, "RequestTimeTooSkewed"),
        (rules.answer(409, "OperationAborted"), 409, "OperationAborted"),
    ],
)
def test_a_scripted_error_answers_and_the_service_sees_nothing(
    proxy: FaultProxy, through: S3Client, bucket: str, rule: Rule, status: int, code: str
) -> None:
    proxy.set_rules(dataclasses.replace(rule, operation="PutObject", last=1))
    with pytest.raises(ClientError) as failed:
        through.put_object(Bucket=bucket, Key="new", Body=b"x")
    assert error_code(failed.value) == code
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert proxy.requests()[-1].status == status
    assert proxy.requests()[-1].rule == f"{code} on PutObject"
    with pytest.raises(ClientError, match="404"):
        through.head_object(Bucket=bucket, Key="new")
    through.put_object(Bucket=bucket, Key="new", Body=b"x")


@pytest.mark.parametrize(
    ("rule", "seen"),
    [
        (Rule(act=Act.LOSE_ANSWER, operation="PutObject"), ConnectionClosedError),
        (rules.internal_error(operation="PutObject", processed=True), ClientError),
    ],
)
def test_a_request_whose_answer_is_lost_was_processed(
    proxy: FaultProxy, through: S3Client, bucket: str, rule: Rule, seen: type[Exception]
) -> None:
    proxy.set_rules(rule)
    with pytest.raises(seen):
        through.put_object(Bucket=bucket, Key="new", Body=b"done all the same")
    assert through.get_object(Bucket=bucket, Key="new")["Body"].read() == b"done all the same"


@pytest.mark.parametrize("at_byte", [0, 300_000])
def test_an_upload_reset_within_its_body_leaves_no_object(
    proxy: FaultProxy, through: S3Client, bucket: str, at_byte: int
) -> None:
    proxy.set_rules(Rule(act=Act.RESET, side=Side.REQUEST, at_byte=at_byte, operation="PutObject"))
    with pytest.raises(ConnectionClosedError):
        through.put_object(Bucket=bucket, Key="new", Body=MEBIBYTE)
    with pytest.raises(ClientError, match="404"):
        through.head_object(Bucket=bucket, Key="new")


@pytest.mark.parametrize(
    ("act", "how"), [(Act.RESET, "ConnectionResetError"), (Act.TRUNCATE, "IncompleteRead")]
)
def test_a_download_breaks_within_its_body(
    proxy: FaultProxy, through: S3Client, bucket: str, act: Act, how: str
) -> None:
    proxy.set_rules(Rule(act=act, at_byte=500_000))
    with pytest.raises((ResponseStreamingError, ConnectionClosedError), match=how):
        through.get_object(Bucket=bucket, Key="k")["Body"].read()


def test_one_bit_of_a_download_is_turned_over(
    proxy: FaultProxy, through: S3Client, bucket: str
) -> None:
    proxy.set_rules(Rule(act=Act.CORRUPT, at_byte=700_000))
    with pytest.raises(FlexibleChecksumError):
        through.get_object(Bucket=bucket, Key="k")["Body"].read()
    damaged = through.get_object(Bucket=bucket, Key="k", Range="bytes=0-999999")["Body"].read()
    assert [n for n, byte in enumerate(damaged) if byte != MEBIBYTE[n]] == [700_000]


def test_one_bit_of_an_upload_is_turned_over(
    proxy: FaultProxy, through: S3Client, bucket: str
) -> None:
    proxy.set_rules(Rule(act=Act.CORRUPT, side=Side.REQUEST, at_byte=5, operation="PutObject"))
    through.put_object(Bucket=bucket, Key="damaged", Body=b"0000000000")
    stored = through.get_object(Bucket=bucket, Key="damaged", Range="bytes=0-8")["Body"].read()
    assert stored == b"000001000"


@pytest.mark.parametrize("at_byte", [0, 500_000])
def test_a_stall_outlasts_an_impatient_client(
    proxy: FaultProxy, through: S3Client, bucket: str, at_byte: int
) -> None:
    proxy.set_rules(Rule(act=Act.STALL, seconds=2, at_byte=at_byte, last=1))
    with pytest.raises(ReadTimeoutError):
        through.get_object(Bucket=bucket, Key="k")["Body"].read()
    assert through.get_object(Bucket=bucket, Key="k")["Body"].read() == MEBIBYTE


@pytest.mark.parametrize("act", [Act.STALL, Act.DELAY])
def test_a_short_silence_harms_nothing(
    proxy: FaultProxy, through: S3Client, bucket: str, act: Act
) -> None:
    proxy.set_rules(Rule(act=act, seconds=0.5, at_byte=500_000))
    began = time.monotonic()
    assert through.get_object(Bucket=bucket, Key="k")["Body"].read() == MEBIBYTE
    assert time.monotonic() - began >= 0.5


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
