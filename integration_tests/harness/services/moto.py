"""moto's S3: the everyday service. Storage classes, thaw with a clock, locks, users and policies.

It keeps everything in memory and checks no checksums (facts in `docs/testing.md`).
"""

import contextlib
import dataclasses
import http.client
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3

from integration_tests.harness.services.paths import REPOSITORY, working_directory
from integration_tests.harness.services.process import ServerProcess, reserve_port
from integration_tests.harness.services.service import Placement, Service

NEVER = "inf"
AT_ONCE = "0"
THAW_MODEL = "s3::keyrestore"
RECORDED = Path(__file__).with_name("recorded.py")


@dataclass(frozen=True, slots=True)
class Moto(Service):
    """A moto server and the switches that real AWS does not have."""

    def reset(self) -> None:
        """Forget every bucket, user and transition, and accept any credentials again."""
        self._post("/moto-api/reset-auth", NEVER)
        self._post("/moto-api/reset")
        self._transition("unset", {})

    def thaw_after(self, seconds: float) -> None:
        """Let a restore of an archived object take `seconds`, counted from the request.

        moto also needs the object itself to be older than that.
        """
        self._transition("set", {"transition": {"progression": "time", "seconds": seconds}})

    def require_credentials(self, policy: Mapping[str, object] | None = None) -> "Moto":
        """Enforce signatures and policies from now on; the result speaks as a user with `policy`.

        Without a policy the user may do everything in S3. Ask again for further users.
        """
        allow_all = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        document = policy or {"Version": "2012-10-17", "Statement": [allow_all]}
        self._post("/moto-api/reset-auth", NEVER)
        session = boto3.session.Session("admin", "admin", region_name=self.region)
        with contextlib.closing(session.client("iam", endpoint_url=self.endpoint_url)) as iam:
            name = f"user-{len(iam.list_users()['Users'])}"
            iam.create_user(UserName=name)
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))
            key = iam.create_access_key(UserName=name)["AccessKey"]
        self._post("/moto-api/reset-auth", AT_ONCE)
        return dataclasses.replace(
            self, access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"]
        )

    def accept_any_credentials(self) -> None:
        """Undo `require_credentials`."""
        self._post("/moto-api/reset-auth", NEVER)

    def _transition(self, verb: str, details: Mapping[str, object]) -> None:
        body = json.dumps({"model_name": THAW_MODEL, **details})
        self._post(f"/moto-api/state-manager/{verb}-transition", body)

    def _post(self, path: str, body: str = "") -> None:
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        with contextlib.closing(connection):
            connection.request("POST", path, body=body.encode())
            response = connection.getresponse()
            if response.status >= http.HTTPStatus.MULTIPLE_CHOICES:
                raise RuntimeError(f"moto: POST {path}: {response.status} {response.read()!r}")


@contextlib.contextmanager
def moto_server(
    *, directory: Path | None = None, placement: Placement | None = None
) -> Iterator[Moto]:
    """Run moto's server from this interpreter's environment; its log lies in `directory`."""
    where = placement or Placement()
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(working_directory("moto", directory))
        service = _moto(work, reserve_port(stack), where)
        stack.enter_context(service.running())
        yield service


def moto_daemon(directory: Path, state: Path) -> Moto:
    """Start moto's server so that it outlives this program; the state file records it."""
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        service = _moto(directory, reserve_port(stack), Placement(), recorded_in=state)
        service.start()
        return service


def _moto(work: Path, port: int, where: Placement, *, recorded_in: Path | None = None) -> Moto:
    command = [sys.executable, "-m", "moto.server", "-H", where.host, "-p", str(port)]
    if recorded_in is not None:
        command = [sys.executable, str(RECORDED), str(recorded_in), *command]
    server = ServerProcess(
        command,
        log_path=work / "moto.log",
        environment={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(REPOSITORY))},
        wrapper=where.wrapper,
        detached=recorded_in is not None,
    )
    return Moto(
        name="moto",
        endpoint_url=f"http://{where.host}:{port}",
        access_key="testing",
        secret_key="testing",  # noqa: S106 - any will do until credentials are required
        directory=work,
        processes=(server,),
        probe_path="/moto-api/",
        placement=where,
    )
