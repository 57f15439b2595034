"""What the harness made and has not removed yet, so that a later run can remove a crashed run's.

Everything is recorded *before* it is made, under a lock that parallel pytest workers share; the
file is replaced atomically. Each record names its owner by pid, start time and boot, so a pid that
was reused is not mistaken for a living owner. `sweep` removes what dead owners left and nothing
else: a record whose thing is not there any more is simply dropped.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from integration_tests.harness.machine import devices, group, namespaces
from integration_tests.harness.services.paths import run_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STATE_VARIABLE = "HARNESS_STATE"
_KILL_TIMEOUT_MS = 10_000
_INIT_PID = 1
"""The owner of what no process owns: it lives exactly until the next boot."""


class StateError(RuntimeError):
    """The state file cannot be understood."""


class Kind(Enum):
    """What was made, in the order in which a sweep removes it."""

    PROCESS = "process"
    GROUP = "group"
    NAMESPACE = "namespace"
    MOUNT = "mount"
    LOOP = "loop"
    FILE = "file"
    TREE = "tree"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process that no later one can be taken for: pid, start time in clock ticks, boot id."""

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Identify a running process; ProcessLookupError if there is none."""
        found = _start_ticks(pid)
        if found is None:
            raise ProcessLookupError(f"no process {pid}")
        return cls(pid, found, _boot_id())

    def is_alive(self) -> bool:
        """Tell whether this very process still runs; a zombie does not."""
        return self.boot_id == _boot_id() and _start_ticks(self.pid) == self.start_ticks


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing the harness makes.

    | kind | `name` | `detail` |
    | --- | --- | --- |
    | PROCESS | pid | start time in clock ticks |
    | GROUP | control group, removed with its processes | empty |
    | NAMESPACE | network namespace (its processes, links and rules go with it) | empty |
    | MOUNT | mount point | image behind it, or the source as mountinfo shows it |
    | LOOP | image file | empty |
    | FILE, DIRECTORY | path (a directory is removed only when empty) | empty |
    | TREE | directory, removed with all that is in it unless something is mounted there | empty |
    """

    kind: Kind
    name: str
    detail: str
    owner: ProcessIdentity


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep removed, what it could not remove and why, and how many records are in use."""

    removed: tuple[Resource, ...]
    failed: tuple[tuple[Resource, str], ...]
    in_use: int


class StateFile:
    """The record of what the harness made; safe for parallel processes.

    `path` defaults to the environment's HARNESS_STATE, else to `state.json` in the
    run directory (see `services.paths`). What is recorded with `keeps` belongs to no process: it is
    there until `sweep(kept=True)`, or a reboot.
    """

    def __init__(self, path: Path | None = None, *, keeps: bool = False) -> None:
        chosen = path or os.environ.get(STATE_VARIABLE) or run_directory() / "state.json"
        self.path = Path(chosen).absolute()
        self._owner_pid = _INIT_PID if keeps else None

    def add(self, *things: tuple[Kind, str | Path, str | Path]) -> tuple[Resource, ...]:
        """Record (kind, name, detail) of what this process is about to make."""
        owner = ProcessIdentity.of(self._owner_pid or os.getpid())
        added = tuple(
            Resource(kind, str(name), str(detail), owner) for kind, name, detail in things
        )
        with self._locked():
            self._write([*self._read(), *added])
        return added

    def add_process(self, pid: int) -> Resource:
        """Record a child process, so that a sweep kills it should this process die first."""
        child = ProcessIdentity.of(pid)
        return self.add((Kind.PROCESS, str(pid), str(child.start_ticks)))[0]

    def discard(self, *resources: Resource) -> None:
        """Forget what was removed; unknown records are ignored."""
        gone = set(resources)
        with self._locked():
            self._write([resource for resource in self._read() if resource not in gone])

    def resources(self) -> tuple[Resource, ...]:
        """Return what is recorded, oldest first."""
        with self._locked():
            return tuple(self._read())

    def sweep(self, *, kept: bool = False) -> SweepReport:
        """Remove everything recorded by processes that no longer run, and with `kept` the kept.

        What cannot be removed stays recorded and is reported with the reason. The lock is held
        throughout: a second sweep waits and finds nothing left to do.
        """
        removed: list[Resource] = []
        failed: list[tuple[Resource, str]] = []
        with self._locked():
            recorded = self._read()
            abandoned = [
                resource
                for resource in recorded
                if not resource.owner.is_alive() or (kept and resource.owner.pid == _INIT_PID)
            ]
            try:
                for kind in Kind:
                    # Newest first: a directory goes after what was made inside it.
                    for resource in reversed([entry for entry in abandoned if entry.kind is kind]):
                        try:
                            _REMOVERS[kind](resource)
                        except (OSError, devices.DeviceError) as error:
                            failed.append((resource, str(error)))
                        else:
                            removed.append(resource)
            finally:
                gone = set(removed)
                self._write([resource for resource in recorded if resource not in gone])
        return SweepReport(tuple(removed), tuple(failed), len(recorded) - len(abandoned))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A file of its own: the state file is replaced, and a lock would stay with the old inode.
        with self.path.with_name(f"{self.path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> list[Resource]:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        try:
            return [
                Resource(
                    Kind(entry["kind"]),
                    entry["name"],
                    entry["detail"],
                    ProcessIdentity(**entry["owner"]),
                )
                for entry in json.loads(text)["resources"]
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(f"{self.path} is not a harness state file: {error}") from error

    def _write(self, resources: list[Resource]) -> None:
        entries = [{**asdict(resource), "kind": resource.kind.value} for resource in resources]
        replacement = self.path.with_name(f"{self.path.name}.new")
        replacement.write_text(json.dumps({"resources": entries}, indent=1), encoding="utf-8")
        replacement.replace(self.path)


def sweep(path: Path | None = None) -> SweepReport:
    """Remove what crashed runs left, as recorded in `path` (see StateFile for the default)."""
    return StateFile(path).sweep()


def _remove_process(resource: Resource) -> None:
    child = ProcessIdentity(int(resource.name), int(resource.detail), resource.owner.boot_id)
    try:
        # The descriptor pins the process, so the identity checked is the identity killed.
        descriptor = os.pidfd_open(child.pid)
    except ProcessLookupError:
        return
    try:
        if not child.is_alive():
            return
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        if not poller.poll(_KILL_TIMEOUT_MS):
            raise TimeoutError(f"process {child.pid} outlives SIGKILL")
    finally:
        os.close(descriptor)


def _remove_group(resource: Resource) -> None:
    group.remove(Path(resource.name))


def _remove_namespace(resource: Resource) -> None:
    namespaces.remove(resource.name)


def _remove_mount(resource: Resource) -> None:
    point = Path(resource.name)
    image = Path(resource.detail)
    devices.unmount_image(image)
    for mount in reversed([mount for mount in devices.mounts() if mount.point == point]):
        if mount.source != resource.detail:
            raise devices.DeviceError(f"{point} now holds a mount of {mount.source}: left alone")
        devices.unmount(point)


def _remove_loop(resource: Resource) -> None:
    devices.detach_all(Path(resource.name))


def _remove_file(resource: Resource) -> None:
    Path(resource.name).unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Remove a directory with all that is in it; DeviceError while something is mounted there."""
    for mount in devices.mounts():
        if mount.point.is_relative_to(path):
            raise devices.DeviceError(f"{mount.point} is mounted: {path} is left alone")
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def _remove_tree(resource: Resource) -> None:
    remove_tree(Path(resource.name))


def _remove_directory(resource: Resource) -> None:
    with contextlib.suppress(FileNotFoundError):
        Path(resource.name).rmdir()


_REMOVERS: dict[Kind, Callable[[Resource], None]] = {
    Kind.PROCESS: _remove_process,
    Kind.GROUP: _remove_group,
    Kind.NAMESPACE: _remove_namespace,
    Kind.MOUNT: _remove_mount,
    Kind.LOOP: _remove_loop,
    Kind.FILE: _remove_file,
    Kind.TREE: _remove_tree,
    Kind.DIRECTORY: _remove_directory,
}


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _start_ticks(pid: int) -> int | None:
    """Return field 22 of proc_pid_stat(5), None for a process that is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name, in parentheses, may itself hold spaces and parentheses.
    state, *fields = stat[stat.rindex(b")") + 2 :].split()
    return None if state in {b"Z", b"X"} else int(fields[18])
