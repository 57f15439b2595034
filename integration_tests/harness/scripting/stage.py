"""The stage: two filesystems and a bucket that outlive the script which set them up.

`stage.json` in the configuration's run directory says where they are; `state.json` beside it
records what tear-down, and only that, removes.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from integration_tests.harness.machine import devices
from integration_tests.harness.machine.loopback import LoopbackBtrfs, why_unavailable
from integration_tests.harness.machine.state import StateFile
from integration_tests.harness.repository import StoredRepository
from integration_tests.harness.scripting.privilege import give_one, require_root
from integration_tests.harness.services.moto import Moto, moto_daemon
from integration_tests.harness.services.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration_tests.harness.machine.state import SweepReport
    from integration_tests.harness.scripting.settings import Settings

_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")


class StageError(Exception):
    """There is no stage, or it cannot be set up; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is. `endpoint_url` empty means AWS; the keys then come from outside.

    `directory` is the stage's own folder; `source` and `target` are mount points.
    """

    directory: Path
    source: Path
    target: Path
    endpoint_url: str
    bucket: str
    prefix: str
    region: str
    access_key: str = ""
    secret_key: str = ""

    @property
    def data(self) -> Path:
        """The subvolume that is backed up."""
        return self.source / "data"

    @property
    def url(self) -> str:
        """The repository."""
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def moto(self) -> Moto:
        """The embedded service, with its switches."""
        return Moto("moto", self.endpoint_url, self.access_key, self.secret_key, self.directory)

    def environment(self, settings: Settings) -> dict[str, str]:
        """What the program under test is run with."""
        variables = {
            "BTRFS_TO_S3_URL": self.url,
            "BTRFS_TO_S3_STATE_DIR": str(self.directory / "program-state"),
            **{f"BTRFS_TO_S3_{name.upper()}": value for name, value in settings.backup.items()},
        }
        if settings.is_embedded:
            return {**self.moto.environment(), **variables}
        outside = {name: settings.variable(name) for name in _CREDENTIALS}
        variables |= {name: value for name, value in outside.items() if value}
        if self.endpoint_url:
            variables["AWS_ENDPOINT_URL"] = self.endpoint_url
        return {**variables, "AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}

    def service(self, settings: Settings) -> Service:
        """The service, for looking at what is stored."""
        return Service(
            name="stage",
            endpoint_url=self.endpoint_url,
            access_key=self.access_key or settings.variable("AWS_ACCESS_KEY_ID"),
            secret_key=self.secret_key or settings.variable("AWS_SECRET_ACCESS_KEY"),
            directory=self.directory,
            region=self.region,
        )

    def keys(self, settings: Settings) -> dict[str, int]:
        """Every object of the repository, relative to its prefix, with its size in bytes."""
        with contextlib.closing(self.service(settings).client()) as client:
            objects = StoredRepository(client, self.bucket, self.prefix).objects
            return {key: stored.size_bytes for key, stored in objects.items()}


def find(settings: Settings) -> Stage:
    """The stage that was set up; StageError when there is none, or a reboot took it away."""
    with contextlib.suppress(FileNotFoundError):
        document = json.loads(_file(settings).read_text(encoding="utf-8"))
        stage = Stage(**{**document, **{name: Path(document[name]) for name in _PATHS}})
        mounted = {mount.point for mount in devices.mounts()}
        if {stage.source, stage.target} <= mounted:
            return stage
    config = "" if settings.name == "test" else f" --config {settings.file}"
    raise StageError(
        f"nothing is set up: run sudo -E python3 integration_tests/scripts/setup_btrfs.py{config}"
    )


def set_up(settings: Settings) -> Stage:
    """Make the stage, after whatever is left of an earlier one was removed. Needs root."""
    require_root()
    reason = why_unavailable()
    if reason is not None:
        raise StageError(reason)
    tear_down(settings)
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    state = StateFile(settings.run_dir / "state.json", keeps=True)
    try:
        stage = _made(settings, state)
    except BaseException:
        tear_down(settings)
        raise
    document = {**asdict(stage), **{name: str(getattr(stage, name)) for name in _PATHS}}
    _file(settings).write_text(json.dumps(document, indent=1), encoding="utf-8")
    return stage


def tear_down(settings: Settings) -> SweepReport:
    """Remove the stage; to be repeated at will, and after a crash at any point. Needs root."""
    require_root()
    report = StateFile(settings.run_dir / "state.json", keeps=True).sweep(kept=True)
    if not report.failed:
        _file(settings).unlink(missing_ok=True)
        shutil.rmtree(settings.run_dir / "program-state", ignore_errors=True)
    return report


@contextlib.contextmanager
def own_stage(settings: Settings, suffix: str) -> Iterator[Stage]:
    """A stage for one script only, gone at its end."""
    own = replace(settings, name=f"{settings.name}-{suffix}")
    stage = set_up(own)
    try:
        yield stage
    finally:
        report = tear_down(own)
        for resource, why in report.failed:
            print(f"left behind: {resource.kind.value} {resource.name}: {why}", file=sys.stderr)


def _made(settings: Settings, state: StateFile) -> Stage:
    size, options = settings.filesystem.size.bytes, settings.filesystem.mount_options
    made = [
        LoopbackBtrfs(settings.run_dir, size_bytes=size, options=options, state=state)
        for _ in range(2)
    ]
    for filesystem in made:
        filesystem.create()
        give_one(filesystem.mount_point)
    source, target = (filesystem.mount_point for filesystem in made)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    given = Stage(
        directory=settings.run_dir,
        source=source,
        target=target,
        endpoint_url=settings.s3.endpoint,
        bucket=settings.s3.bucket,
        prefix=f"{settings.s3.prefix.strip('/')}/{settings.name}-{stamp}",
        region=settings.s3.region,
    )
    give_one(made[0].subvolume("data"))
    if not settings.is_embedded:
        if not settings.s3.bucket:
            raise StageError(f"{settings.file}: [s3] bucket must name an existing bucket")
        return given
    moto = moto_daemon(settings.run_dir / "moto", state.path)
    moto.thaw_after(settings.archive.thaw.seconds)
    return replace(
        given,
        endpoint_url=moto.endpoint_url,
        bucket=moto.create_bucket(),
        region=moto.region,
        access_key=moto.access_key,
        secret_key=moto.secret_key,
    )


def _file(settings: Settings) -> Path:
    return settings.run_dir / "stage.json"


_PATHS = ("directory", "source", "target")
