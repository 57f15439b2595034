"""One machine: a root of its own on top of the shared one, booted, halted, cut off, booted again.

systemd-nspawn(1) gives its systemd what a real one has and this needs: every capability, bpf(2) so
that device policies hold, the whole of sysfs, and the pure cgroup v2 hierarchy whatever the host
mounts. Its network is the loopback of a namespace in which the harness runs the services.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from integration_tests.harness.machine import devices, group, namespaces
from integration_tests.harness.machine.state import Kind, Resource, StateFile, remove_tree
from integration_tests.harness.machine.waiting import wait_until
from integration_tests.harness.services.paths import run_directory
from integration_tests.harness.services.process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration_tests.harness.nspawn.root import Root

_UP_WITHIN_S: Final = 120.0
_DOWN_WITHIN_S: Final = 180.0
_COMMAND_TIMEOUT_S: Final = 300.0
_FEW_CAPABILITIES: Final = 6
_ENTERED: Final = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class MachineError(RuntimeError):
    """The machine, or a command in it, did not do what was asked; the message holds its output."""


class Machine:
    """A context manager; whatever was written to `tree` outlives a halt, and ends with the block.

    `block_devices` are seen inside under the names they have here; `namespace` is a network
    namespace whose loopback is up. Everything is recorded before it is made.
    """

    def __init__(
        self,
        root: Root,
        *,
        namespace: str,
        logs: Path,
        block_devices: Sequence[Path] = (),
        state: StateFile | None = None,
    ) -> None:
        token = secrets.token_hex(4)
        self.name = f"b3-{token}"
        self.tree = run_directory().absolute() / "machines" / f"machine-{token}" / "tree"
        self.namespace = namespace
        self.logs = logs
        self.boots = 0
        self._root = root
        self._devices = tuple(block_devices)
        self._state = state or StateFile()
        self._group = group.group_path(f"btrfs-to-s3-{self.name}")
        self._payload = self._group / "payload"  # systemd-nspawn itself is in "supervisor"
        self._process: ServerProcess | None = None
        self._records: tuple[Resource, ...] = ()

    def __enter__(self) -> Self:
        try:
            self._create()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cut it off and remove all of it; may be repeated. Ctrl-C takes effect afterwards."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with contextlib.ExitStack() as steps:
                steps.callback(self._forget)
                steps.callback(remove_tree, self.tree.parent)
                steps.callback(self._unmount)
                steps.callback(self.cut_off)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def is_running(self) -> bool:
        """Whether it is on."""
        return self._process is not None and self._process.running

    def boot(self) -> None:
        """Switch it on and wait until systemd has started everything; MachineError if it does not.

        A unit that fails while it boots is no error here: `systemctl` knows.
        """
        group.remove(self._group)
        self.boots += 1
        self._process = ServerProcess(
            [*group.entering(self._group), *self._nspawn()],
            log_path=self.logs / f"{self.name}-console-{self.boots}.log",
            environment={**os.environ, "UNIFIED_CGROUP_HIERARCHY": "1"},
        )
        self._process.start()
        try:
            wait_until(self._is_up, _UP_WITHIN_S, poll_s=0.2)
        except TimeoutError as error:
            raise MachineError(
                f"{self.name} is not up after {_UP_WITHIN_S} s: {self._process.log_tail()}"
            ) from error

    def halt(self) -> None:
        """Shut it down as a person would; MachineError if it does not end."""
        if self._process is None:
            raise MachineError(f"{self.name} was never booted")
        process = self._process
        self.run("systemctl", "poweroff", "--no-block")
        try:
            wait_until(lambda: not process.running, _DOWN_WITHIN_S, poll_s=0.1)
        except TimeoutError as error:
            raise MachineError(f"{self.name} does not halt: {process.log_tail()}") from error
        group.remove(self._group)

    def cut_off(self) -> None:
        """End it at once, as a power cut would; nothing to end is no error."""
        if self._process is not None:
            self._process.kill()
        group.remove(self._group)

    def run(self, *command: str, variables: dict[str, str] | None = None) -> str:
        """Run a command in the booted machine; its stdout. MachineError if it fails."""
        done = self.tried(*command, variables=variables)
        if done.returncode:
            raise MachineError(
                f"{' '.join(command)}: exit {done.returncode}: {done.stderr}{done.stdout}"
            )
        return done.stdout

    def tried(
        self, *command: str, variables: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the booted machine, whatever becomes of it."""
        return subprocess.run(
            [*self._entering(), *command],
            env={"PATH": _PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", **(variables or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_COMMAND_TIMEOUT_S,
            cwd="/",
        )

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit, as `systemctl show` prints them."""
        chosen = [f"--property={name}" for name in properties]
        lines = self.run("systemctl", "show", unit, *chosen).splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def journal(self, unit: str, *options: str) -> list[dict[str, Any]]:
        """The journal's entries of a unit, oldest first, with all their fields."""
        # --all: without it a field that holds control characters is no string (journalctl(1)).
        printed = self.run("journalctl", "--unit", unit, "--output=json", "--all", *options)
        return [json.loads(line) for line in printed.splitlines()]

    def write(self, path: str, text: str, *, mode: int = 0o644) -> Path:
        """Write a file of the machine, running or not; where it is seen from here."""
        here = self.tree / path.lstrip("/")
        here.parent.mkdir(parents=True, exist_ok=True)
        here.write_text(text, encoding="utf-8")
        here.chmod(mode)
        return here

    def processes(self, command: str) -> list[int]:
        """The pids, as this machine counts them, of what runs in it under a command's name."""
        found = []
        for pid in group.processes(self._payload):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == command:
                    found.append(pid)
        return found

    def is_confined(self, pid: int) -> bool:
        """Whether one of `processes` runs under a filter, without new and with few capabilities."""
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        facts = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        few = int(facts["CapBnd"], 16).bit_count() <= _FEW_CAPABILITIES
        filters = int(facts["Seccomp_filters"].strip()) > self._own_filters()
        return facts["NoNewPrivs"].strip() == "1" and filters and few

    def _own_filters(self) -> int:
        """How many system call filters systemd-nspawn gave everything in the machine."""
        text = Path(f"/proc/{self._leader()}/status").read_text(encoding="utf-8")
        return int(text.partition("Seccomp_filters:")[2].split()[0])

    def mounts_of(self, device: Path) -> set[Path]:
        """Where anything in it, in any mount namespace, has a block device mounted."""
        found: set[Path] = set()
        for pid in group.processes(self._payload):
            with contextlib.suppress(OSError):
                seen = devices.mounts_seen_by(str(pid))
                found |= {mount.point for mount in seen if mount.source == str(device)}
        return found

    def _create(self) -> None:
        place = self.tree.parent
        self._records = self._state.add(
            (Kind.TREE, place, ""),
            (Kind.MOUNT, self.tree, self.name),
            (Kind.GROUP, self._group, ""),
        )
        for name in ("tree", "upper", "work"):
            (place / name).mkdir(parents=True)
        layers = f"lowerdir={self._root.tree},upperdir={place}/upper,workdir={place}/work"
        devices.run("mount", "-t", "overlay", self.name, "-o", layers, self.tree)

    def _unmount(self) -> None:
        if any(mount.point == self.tree for mount in devices.mounts()):
            devices.unmount(self.tree)

    def _forget(self) -> None:
        if not self.tree.parent.exists() and not self._group.exists():
            self._state.discard(*self._records)
            self._records = ()

    def _nspawn(self) -> list[str]:
        return [
            "systemd-nspawn",
            "--quiet",
            "--boot",
            f"--directory={self.tree}",
            f"--machine={self.name}",
            "--register=no",
            "--keep-unit",
            "--settings=no",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
            "--console=pipe",
            "--capability=all",
            "--system-call-filter=bpf @keyring",
            f"--network-namespace-path={namespaces.path_of(self.namespace)}",
            *(f"--bind={device}" for device in self._devices),
        ]

    def _leader(self) -> int | None:
        """The machine's first process, as it is numbered here; None while there is none."""
        for pid in group.processes(self._payload):
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
                numbers = status.partition("NSpid:")[2].split("\n", 1)[0].split()
                if numbers[1:] == ["1"]:
                    return pid
        return None

    def _entering(self) -> list[str]:
        leader = self._leader()
        if leader is None:
            raise MachineError(f"{self.name} is not running")
        return ["nsenter", f"--target={leader}", *_ENTERED, "--"]

    def _is_up(self) -> bool:
        if self._process is not None and not self._process.running:
            raise MachineError(f"{self.name} ended: {self._process.log_tail()}")
        if self._leader() is None:
            return False
        with contextlib.suppress(MachineError):
            state = self.tried("systemctl", "is-system-running").stdout.strip()
            return state in {"running", "degraded"}
        return False
