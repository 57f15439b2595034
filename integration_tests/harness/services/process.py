"""Server processes that end with the program that started them, and free ports for them.

A server runs in a process group of its own and asks the kernel for SIGKILL when its parent dies
(prctl(2), PR_SET_PDEATHSIG, through setpriv(1)), so a killed test run leaves no server behind.
The kernel means the *thread* that started it: start servers from a thread that outlives them.
"""

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

POLL_INTERVAL_S = 0.02
STOP_PATIENCE_S = 5.0
PORTS = range(10_000, 32_000)  # below Linux's ephemeral ports, which clients take at any time
LOG_TAIL_BYTES = 3000

PROBE = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=2)
connection.request("GET", sys.argv[3])
connection.getresponse()
"""


class ServiceStartError(RuntimeError):
    """A server ended, or did not answer in time; the message holds the end of its log."""


class ServerProcess:
    """One server: its command, environment and log; it can be started again after an end.

    `wrapper` goes before everything else, e.g. nsenter(1) to enter a network namespace. It must
    replace itself by the command (exec), not fork. A `detached` server outlives its starter; the
    state file must know it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log_path: Path,
        environment: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
        detached: bool = False,
    ) -> None:
        tied = [] if detached else ["setpriv", "--pdeathsig", "KILL"]
        self.command = [*wrapper, *tied, *command]
        self.log_path = log_path
        self._environment = dict(environment) if environment is not None else None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id, also of a server that has ended."""
        if self._process is None:
            raise RuntimeError(f"{self.command[-1]} was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server; its output is appended to the log."""
        if self.running:
            raise RuntimeError(f"already running as process {self.pid}")
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server's process group, if it is alive."""
        if self.running:
            os.killpg(self.pid, number)

    def stop(self, patience_s: float = STOP_PATIENCE_S) -> None:
        """Ask the server to end, insist after `patience_s`, and reap it."""
        if not self.running or self._process is None:
            return
        os.killpg(self.pid, signal.SIGTERM)
        os.killpg(self.pid, signal.SIGCONT)  # a stopped process would not see the other one
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and not self._has_ended():
            time.sleep(POLL_INTERVAL_S)
        # Unreaped, the leader still owns the group's number: no stranger can be hit.
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def kill(self) -> None:
        """End the server at once, as a power cut would, and reap it."""
        if self.running and self._process is not None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def _has_ended(self) -> bool:
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, options) is not None

    def log_tail(self) -> str:
        """The end of the log."""
        with contextlib.suppress(FileNotFoundError):
            return self.log_path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        return ""


def reserve_port(stack: contextlib.ExitStack) -> int:
    """A TCP port that nothing listens on, held against other test workers until `stack` closes.

    The reservation is an abstract unix socket: the kernel drops it with its process.
    """
    for port in random.sample(PORTS, k=500):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0btrfs-to-s3-harness-port-{port}")
        except OSError:
            claim.close()
            continue
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("", port))
            except OSError:
                claim.close()
                continue
        stack.callback(claim.close)
        return port
    raise ServiceStartError(f"no free port found in {PORTS.start}-{PORTS.stop - 1}")


def wait_until_ready(
    address: tuple[str, int],
    path: str,
    processes: Iterable[ServerProcess],
    *,
    wrapper: Sequence[str] = (),
    timeout_s: float = 60.0,
) -> None:
    """Return once an HTTP GET of `path` gets an answer that is not a server error.

    Raises ServiceStartError if a process ends or time runs out.
    """
    watched = list(processes)
    deadline = time.monotonic() + timeout_s
    while True:
        ready = _answers(address, path, wrapper)
        for process in watched:
            if not process.running:
                raise ServiceStartError(f"{process.command} ended:\n{process.log_tail()}")
        if ready:
            return
        if time.monotonic() > deadline:
            logs = "\n".join(process.log_tail() for process in watched)
            raise ServiceStartError(f"no answer from {address} within {timeout_s} s:\n{logs}")
        time.sleep(POLL_INTERVAL_S)


def _answers(address: tuple[str, int], path: str, wrapper: Sequence[str]) -> bool:
    host, port = address
    if wrapper:
        probe = [*wrapper, sys.executable, "-c", PROBE, host, str(port), path]
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < http.HTTPStatus.INTERNAL_SERVER_ERROR
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
