"""rclone's S3: small and quick, files in a directory; and the provider that promises little.

It ignores If-None-Match, checksums and storage classes, so it shows whether we notice.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from integration_tests.harness.services.paths import working_directory
from integration_tests.harness.services.process import ServerProcess, reserve_port
from integration_tests.harness.services.service import Placement, Service
from integration_tests.harness.services.venvs import environment_for

ACCESS_KEY = "rclone-access-key"
SECRET_KEY = "rclone-secret-key"  # noqa: S105 - of a service that lives for one test


@contextlib.contextmanager
def rclone_server(
    *,
    directory: Path | None = None,
    data: Path | None = None,
    placement: Placement | None = None,
) -> Iterator[Service]:
    """Run `rclone serve s3` over `data` (a bucket is a folder in it), by default in `directory`."""
    where = placement or Placement()
    program = environment_for("rclone") / "bin" / "rclone"
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(working_directory("rclone", directory))
        objects = data or work / "data"
        objects.mkdir(parents=True, exist_ok=True)
        port = reserve_port(stack)
        command = [str(program), "serve", "s3", "--config", os.devnull]
        command += ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
        command += ["--addr", f"{where.host}:{port}", str(objects)]
        server = ServerProcess(command, log_path=work / "rclone.log", wrapper=where.wrapper)
        service = Service(
            name="rclone",
            endpoint_url=f"http://{where.host}:{port}",
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            directory=work,
            processes=(server,),
            placement=where,
        )
        stack.enter_context(service.running())
        yield service
