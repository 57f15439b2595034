"""The ground on which faults are tried: two namespaces, a service behind a proxy, filesystems.

A `Case` is one source and one repository on it. Everything the program does goes through the proxy
and over the wire; what the harness itself looks at comes from the service directly.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from integration_tests.harness.faultproxy.proxy import FaultProxy, Request, fault_proxy
from integration_tests.harness.machine import devices, namespaces
from integration_tests.harness.machine.loopback import LoopbackBtrfs
from integration_tests.harness.machine.network import NetworkPair
from integration_tests.harness.machine.waiting import PATIENCE_S, wait_until
from integration_tests.harness.repository import StoredRepository
from integration_tests.harness.scripting.program import Program, Run
from integration_tests.harness.services.moto import Moto, moto_server
from integration_tests.harness.trees.compare import compare_fully

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from integration_tests.harness.faultproxy.rules import Rule
    from integration_tests.harness.scripting.tally import Check
    from integration_tests.harness.services.service import Service

MIB: Final = 1024**2
SNAPSHOTS: Final = ".btrfs-to-s3"
SETTINGS: Final = {
    "chunk_size": "1MiB",
    "part_size": "5MiB",
    "concurrency": "2",
    "compression_threads": "1",
    "outage_patience": "60s",
    "connect_timeout": "1s",
    "read_timeout": "20s",
}
_SHOWN: Final = 3
_TAIL: Final = 1200


class Traffic:
    """The requests that arrived at the proxy since this was made."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self._before = len(proxy.requests())

    def requests(self, operation: str | None = None) -> list[Request]:
        """All of them, or those of one operation."""
        found = self._proxy.requests()[self._before :]
        return [request for request in found if operation in {None, request.operation}]

    def hit(self) -> list[Request]:
        """Those on which a rule acted."""
        return [request for request in self.requests() if request.rule]

    def wait_for_hits(self, count: int = 1, *, patience_s: float = PATIENCE_S) -> list[Request]:
        """Return the hits once there are so many."""
        wait_until(lambda: len(self.hit()) >= count, patience_s)
        return self.hit()


@dataclass(slots=True)
class Ground:
    """Everything that cases share. `secrets` are what no output may ever hold."""

    network: NetworkPair
    service: Moto
    proxy: FaultProxy
    source: LoopbackBtrfs
    target: LoopbackBtrfs
    command: Sequence[str]
    logs: Path
    check: Check
    bucket: str
    secrets: tuple[str, str]
    finished: list[Run] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The TCP port that the program talks to."""
        return self.proxy.service.address[1]

    def case(
        self, name: str, *, size_bytes: int = 4 * MIB, endpoint: Service | None = None
    ) -> Case:
        """A new source with so many bytes that do not compress, and a new, empty repository.

        With an `endpoint` the program talks to that service, without the proxy.
        """
        token = f"{name}-{secrets.token_hex(3)}"
        data = self.source.subvolume(token)
        if endpoint is None:
            case = Case(self, token, data, self.proxy.service, self.service, self.bucket, token)
        else:
            case = Case(self, token, data, endpoint, endpoint, endpoint.create_bucket(), token)
        case.grow(size_bytes)
        return case

    @contextlib.contextmanager
    def scripted(self, *rules: Rule) -> Iterator[Traffic]:
        """Have the proxy follow rules for the block; the traffic from its begin on."""
        self.proxy.set_rules(*rules)
        try:
            yield Traffic(self.proxy)
        finally:
            self.proxy.set_rules()

    def traffic(self) -> Traffic:
        """The traffic from now on."""
        return Traffic(self.proxy)

    def processes(self) -> list[int]:
        """What runs in the program's namespace: the program and all its children."""
        return namespaces.processes(self.network.client)

    def private_holders(self) -> list[int]:
        """Processes that hold the filesystems in a mount namespace of their own."""
        return devices.private_holders({self.source.mount_point, self.target.mount_point})


@dataclass(slots=True)
class Case:
    """One source and one repository. `service` is used by the program, `direct` by the harness."""

    ground: Ground
    name: str
    data: Path
    service: Service
    direct: Service
    bucket: str
    prefix: str

    @property
    def state_dir(self) -> Path:
        """The program's journals and caches."""
        return self.ground.logs / f"{self.prefix}-state"

    @property
    def arguments(self) -> tuple[str, ...]:
        """A backup of the source, telling every retry."""
        return ("backup", "-v", str(self.data))

    def program(self, **settings: str) -> Program:
        """The program under test, in the client's namespace."""
        key, token = self.ground.secrets
        environment = self.service.environment() | {
            "BTRFS_TO_S3_URL": f"s3://{self.bucket}/{self.prefix}",
            "BTRFS_TO_S3_STATE_DIR": str(self.state_dir),
        }
        if isinstance(self.direct, Moto):
            environment |= {"AWS_SECRET_ACCESS_KEY": key, "AWS_SESSION_TOKEN": token}
        command = [*self.ground.network.enter_client, *self.ground.command]
        number = len(self.ground.finished)
        program = Program(command, environment, self.ground.logs / self.name, number)
        return program.with_settings(**{**SETTINGS, **settings})

    def run(self, *arguments: str, **settings: str) -> Run:
        """Run the program to its end."""
        with self.started(*arguments, **settings) as started:
            return started.finish()

    def backup(self, *options: str, **settings: str) -> Run:
        """Back up."""
        return self.run(*self.arguments, *options, **settings)

    @contextlib.contextmanager
    def started(self, *arguments: str, **settings: str) -> Iterator[Started]:
        """The running program; what still runs at the end of the block is killed."""
        program = self.program(**settings)
        started = Started(self.ground, program, program.start(*arguments), arguments)
        try:
            yield started
        finally:
            started.end()

    def with_new_repository(self) -> Case:
        """The same source with a repository of its own."""
        return replace(self, prefix=f"{self.name}-{secrets.token_hex(3)}")

    def grow(self, size_bytes: int) -> None:
        """Add a file that does not compress."""
        with (self.data / f"random-{secrets.token_hex(4)}").open("wb") as file:
            for at in range(0, size_bytes, MIB):
                file.write(os.urandom(min(MIB, size_bytes - at)))

    @contextlib.contextmanager
    def stored(self) -> Iterator[StoredRepository]:
        """The repository as it is now, read without the program."""
        with contextlib.closing(self.direct.client(attempts=3)) as client:
            yield StoredRepository(client, self.bucket, self.prefix)

    def visible(self) -> list[str]:
        """The ids of the live backups."""
        with self.stored() as repository:
            return [backup["id"] for head in repository.heads for backup in head["backups"]]

    def uploads(self) -> list[str]:
        """Multipart uploads that are neither completed nor aborted."""
        with self.stored() as repository:
            return repository.uploads()

    def check_visible(self, count: int, when: str) -> bool:
        """So many backups are live, and every byte of them is there and right."""
        with self.stored() as repository:
            ids = [backup["id"] for head in repository.heads for backup in head["backups"]]
            problems = [f"{len(ids)} are live"] if len(ids) != count else []
            if ids:
                problems += [*repository.linked(), *repository.damaged()]
        what = f"{count} visible backups are whole" if count else "nothing is committed"
        return self.ground.check(not problems, f"{when}: {what}", problems[:_SHOWN])

    def check_done(self, run: Run, text: str) -> bool:
        """The run ended well."""
        return self.check_exit(run, 0, text)

    def check_exit(self, run: Run, code: int, text: str) -> bool:
        """The run ended with this exit status and, if that is an error, with a message."""
        told = code <= 0 or bool(run.document.get("error", {}).get("message"))
        passed = run.exit_code == code and told
        return self.ground.check(
            passed, f"{text}: exit {code}", f"{run.exit_code}: {run.err[-_TAIL:]}"
        )

    def check_restores(self, when: str, **settings: str) -> bool:
        """The newest backup is restored exactly; what was restored is removed again."""
        directory = self.new_target()
        run = self.run("restore", self.name, "--target", str(directory), **settings)
        try:
            if not self.check_done(run, f"{when}: restore"):
                return False
            return self.check_same(directory, when)
        finally:
            self.clear(directory)

    def check_same(self, directory: Path, when: str) -> bool:
        """What was restored into `directory` is the newest snapshot of the source, exactly."""
        restored = max(directory.iterdir(), default=None)
        if restored is None:
            return self.ground.check(passed=False, text=f"{when}: something is restored")
        snapshot = self.ground.source.mount_point / SNAPSHOTS / restored.name
        found = compare_fully(snapshot, restored)
        passed = not found.differences and any(restored.iterdir())
        text = f"{when}: what is restored is what was backed up"
        return self.ground.check(passed, text, found.differences[:_SHOWN])

    def new_target(self, filesystem: LoopbackBtrfs | None = None) -> Path:
        """An empty directory to restore into."""
        root = (filesystem or self.ground.target).mount_point
        directory = root / f"{self.name}-{secrets.token_hex(3)}"
        directory.mkdir()
        return directory

    def clear(self, directory: Path) -> None:
        """Remove a target directory and the subvolumes in it."""
        for entry in directory.iterdir():
            devices.run("btrfs", "subvolume", "delete", entry)
        directory.rmdir()


@dataclass(slots=True)
class Started:
    """The program at work."""

    ground: Ground
    program: Program
    process: subprocess.Popen[str]
    arguments: Sequence[str]
    begun: float = field(default_factory=time.monotonic)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def finish(self, timeout_s: float = 2 * PATIENCE_S) -> Run:
        """Wait for its end; subprocess.TimeoutExpired when there is none."""
        out, err = self.process.communicate(timeout=timeout_s)
        seconds = time.monotonic() - self.begun
        run = self.program.finished(self.process, self.arguments, out, err, seconds)
        self.ground.finished.append(run)
        return run

    def kill(self) -> Run:
        """SIGKILL, as the kernel does when memory is short."""
        self.process.kill()
        return self.finish()

    def end(self) -> None:
        """Leave nothing running."""
        if self.running:
            self.process.kill()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        self.process.wait()


@contextlib.contextmanager
def new_ground(
    command: Sequence[str], logs: Path, check: Check, *, run_dir: Path | None = None
) -> Iterator[Ground]:
    """Make everything for the block; nothing of it is left but the logs."""
    logs.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(NetworkPair())
        service = stack.enter_context(moto_server(placement=network.placement))
        proxy = stack.enter_context(fault_proxy(service, placement=network.placement))
        source, target = (stack.enter_context(LoopbackBtrfs(run_dir)) for _ in range(2))
        yield Ground(
            network=network,
            service=service,
            proxy=proxy,
            source=source,
            target=target,
            command=command,
            logs=logs,
            check=check,
            bucket=service.create_bucket(),
            secrets=(f"secret-{secrets.token_hex(12)}", f"token-{secrets.token_hex(12)}"),
        )
