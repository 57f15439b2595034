"""A machine under test: its state directory, its service, and the program as operations see it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from btrfs_to_s3.config.load import load
from btrfs_to_s3.config.setting import ENVIRONMENT_PREFIX
from btrfs_to_s3.config.sources import select_sources
from btrfs_to_s3.operations.backup.run import BackupOptions, plan_sources, run_sources
from btrfs_to_s3.operations.repository.listing import Listing, read_heads
from btrfs_to_s3.operations.repository.prepare import (
    prepare_to_look,
    prepare_to_read,
    prepare_to_write,
)
from btrfs_to_s3.operations.restore.compare import Thoroughness
from btrfs_to_s3.operations.restore.restore import Restore, RestoreJob
from btrfs_to_s3.operations.thaw.thaw import ThawJob
from btrfs_to_s3.plan.address import parse_address, resolve_source, select
from btrfs_to_s3.stream.cancel import LinkedCancellation
from btrfs_to_s3.wiring.application import Application
from btrfs_to_s3.wiring.jobs import source_job
from integration_tests.harness.repository import StoredRepository

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

    from btrfs_to_s3.model.backup import Head
    from btrfs_to_s3.operations.backup.backup import BackupResult
    from btrfs_to_s3.operations.backup.run import SourceOutcome
    from btrfs_to_s3.operations.restore.restore import RestoreResult
    from integration_tests.harness.services.service import Service

REPOSITORY_ROOT = Path(__file__).parents[2]


def _inherited() -> dict[str, str]:
    """The environment of this process without settings of the program."""
    ours = ENVIRONMENT_PREFIX
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


@dataclass(slots=True)
class Told:
    """A reporter that remembers what it was told."""

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    raw_bytes: int = 0

    def begin(self, subject: str, activity: str, expected_bytes: int | None) -> None:
        """A piece of work starts."""

    def advance(self, raw_bytes: int, stored_bytes: int, chunks: int) -> None:  # noqa: ARG002
        """So much more is done."""
        self.raw_bytes += raw_bytes

    def activity(self, text: str) -> None:
        """What is happening now."""

    def note(self, text: str) -> None:
        """Something a person may want to know."""
        self.notes.append(text)

    def warn(self, text: str) -> None:
        """Something a person should act on."""
        self.warnings.append(text)

    def end(self) -> None:
        """The piece of work is over."""


@dataclass(slots=True)
class Machine:
    """One host, one repository. ``wrap`` may put something around the store of later runs.

    ``enter`` stands before the program's command line, to start it in another namespace.
    """

    service: Service
    bucket: str
    state: Path
    settings: dict[str, str] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    cancel: LinkedCancellation = field(default_factory=LinkedCancellation)
    wrap: Callable[[Application], None] | None = None
    enter: tuple[str, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """The variables the program is run with."""
        return {
            **self.service.environment(),
            "BTRFS_TO_S3_URL": f"s3://{self.bucket}/prefix",
            "BTRFS_TO_S3_STATE_DIR": str(self.state),
            **{f"BTRFS_TO_S3_{name.upper()}": value for name, value in self.settings.items()},
        }

    def with_settings(self, **settings: str) -> Machine:
        """The same machine, configured otherwise."""
        return replace(self, settings={**self.settings, **settings}, told=Told())

    def elsewhere(self, state: Path, **settings: str) -> Machine:
        """Another host that uses the same repository."""
        return replace(
            self.with_settings(**settings), state=state, cancel=LinkedCancellation(), wrap=None
        )

    def application(self) -> Application:
        """The program's parts, joined afresh from what is on disk."""
        # boto3 looks here for credentials; settings must not stay behind for other tests.
        os.environ.update(self.service.environment())
        nowhere = self.state / "no-such-file"
        config = load(None, environ=self.environment, command_line={}, default_file=nowhere)
        application = Application(config, self.environment, self.cancel, self.told)
        if self.wrap is not None:
            self.wrap(application)
        return application

    def backup_all(self, *paths: Path, **options: object) -> list[SourceOutcome]:
        """Run a backup of these sources; errors stay in the outcomes."""
        with self.application() as application, application.lock():
            services = application.services()
            chosen = select_sources(application.config, [str(path) for path in paths], Path("/"))
            jobs = [source_job(application, source) for source in chosen]
            wishes = BackupOptions(**options)  # type: ignore[arg-type]
            return run_sources(
                jobs, wishes, lambda: read_heads(services), lambda: prepare_to_write(services)
            )

    def backup(self, path: Path, **options: object) -> BackupResult:
        """Back up one source; what it raised is raised, and so is a skip."""
        outcome = self.outcome(path, **options)
        if outcome.result is None:
            raise AssertionError(f"nothing was sent: {outcome}")
        return outcome.result

    def outcome(self, path: Path, **options: object) -> SourceOutcome:
        """Back up one source; what it raised is raised."""
        [outcome] = self.backup_all(path, **options)
        if outcome.error is not None:
            raise outcome.error
        return outcome

    def plan(self, path: Path, **options: object) -> SourceOutcome:
        """What a backup would do."""
        with self.application() as application:
            there = prepare_to_look(application.services())
            [source] = select_sources(application.config, [str(path)], Path("/"))
            [outcome] = plan_sources(
                [source_job(application, source)],
                BackupOptions(**options),  # type: ignore[arg-type]
                lambda: read_heads(application.services()) if there else Listing((), ()),
            )
            return outcome

    def restore(
        self,
        address: str,
        directory: Path,
        *,
        writable: str | None = None,
        keep: bool = False,
        verify: Thoroughness = Thoroughness.NONE,
        wait: bool = False,
    ) -> RestoreResult:
        """Restore one backup."""
        with self.application() as application:
            services = application.services()
            prepare_to_read(services)
            wanted = parse_address(address)
            head = resolve_source(application.access.heads(), wanted, application.host.host_name)
            entry = select(head, wanted.when)
            thaw = ThawJob(poll=application.config.thaw_poll)
            job = RestoreJob(directory, writable, keep, application.concurrency, verify, thaw, wait)
            with services.btrfs.open(directory, writable=True) as volume:
                return Restore(services, volume, job, head, entry).run()

    def head(self) -> Head:
        """The only source's head."""
        with self.application() as application:
            prepare_to_read(application.services())
            [head] = application.access.heads()
            return head

    def keys(self, prefix: str = "") -> list[str]:
        """Keys of the repository, relative to its prefix."""
        client = self.client()
        try:
            objects = StoredRepository(client, self.bucket, "prefix").objects
            return [key for key in objects if key.startswith(prefix)]
        finally:
            client.close()

    def client(self) -> S3Client:
        """A plain S3 client, to be closed by the caller."""
        return self.service.client()

    def command(self, *arguments: str) -> list[str]:
        """The program's command line."""
        return [*self.enter, sys.executable, "-m", "btrfs_to_s3", *arguments]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the program as a process of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            env={**_inherited(), **self.environment, "PYTHONPATH": str(REPOSITORY_ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the program to its end."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)
