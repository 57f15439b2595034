"""Runs of the program under test: known while they run, timed, and judged when they end."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from integration_tests.harness.scripting.program import Program
from integration_tests.harness.soak.events import Event, EventKind
from integration_tests.harness.soak.judgement import Victim, explanation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from integration_tests.harness.scripting.program import Run
    from integration_tests.harness.soak.judgement import FaultHistory

_PATIENCE_S: Final = 300.0
_INSIST_AFTER_S: Final = 20.0
_KEPT_LOGS: Final = 40
_MESSAGE_CHARACTERS: Final = 600
_ENDED_WITH_THE_SOAK: Final = "the end of the soak"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run and what is to be noted about it."""

    run: Run
    event: Event


class Runner:
    """Starts runs, each in a session of its own, so that a terminal's Ctrl-C is not theirs.

    The kernel kills them should this process die (prctl(2), PR_SET_PDEATHSIG).
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        logs: Path,
        history: FaultHistory,
    ) -> None:
        self._command = ["setsid", "setpriv", "--pdeathsig", "KILL", *command]
        self._environment = environment
        self._logs = logs
        self._history = history
        self._lock = threading.Lock()
        self._running: dict[int, tuple[str, subprocess.Popen[str]]] = {}
        self._ending = False
        self._programs: dict[str, Program] = {}

    def running(self) -> list[tuple[str, subprocess.Popen[str]]]:
        """The runs of this moment, with their activities' names."""
        with self._lock:
            return list(self._running.values())

    def run(self, activity: str, *arguments: str) -> Outcome:
        """Run the program to its end and judge that."""
        program = self._program(activity)
        started_s = time.time()
        process = self._start(program, activity, arguments)
        overdue = ""
        try:
            try:
                out, err = process.communicate(timeout=_PATIENCE_S)
            except subprocess.TimeoutExpired:
                overdue = f"no end within {_PATIENCE_S:.0f} s"
                process.kill()
                out, err = process.communicate()
        finally:
            with self._lock:
                del self._running[process.pid]
        ended_s = time.time()
        run = program.finished(process, arguments, out, err, ended_s - started_s)
        self._forget_old_logs(program.logs)
        why = explanation(run.exit_code, process.pid, self._history.during(started_s, ended_s))
        return Outcome(run, _event(activity, run, (started_s, ended_s), overdue, why))

    def end(self) -> None:
        """Ask every run to end now, and insist after a while; none starts any more."""
        self._signal_all("SIGTERM")
        deadline = time.monotonic() + _INSIST_AFTER_S
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.05)
        self._signal_all("SIGKILL")

    def _start(
        self, program: Program, activity: str, arguments: Sequence[str]
    ) -> subprocess.Popen[str]:
        with self._lock:
            process = program.start(*arguments)
            self._running[process.pid] = (activity, process)
        if self._ending:
            self._signal_all("SIGTERM")
        return process

    def _signal_all(self, name: str) -> None:
        self._ending = True
        for _, process in self.running():
            victim = Victim.TERMINATED if name == "SIGTERM" else Victim.KILLED
            self._history.begin(_ENDED_WITH_THE_SOAK, victim, process.pid)
            if name == "SIGTERM":
                process.terminate()
            else:
                process.kill()

    def _program(self, activity: str) -> Program:
        with self._lock:
            return self._programs.setdefault(
                activity,
                Program(self._command, self._environment, self._logs / activity.replace(" ", "-")),
            )

    def _forget_old_logs(self, logs: Path) -> None:
        by_age = sorted(logs.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in by_age[:-_KEPT_LOGS]:
            path.unlink()


def _event(
    activity: str, run: Run, interval: tuple[float, float], overdue: str, why: str | None
) -> Event:
    said = overdue or _said(run) if overdue or why is None else why
    peak = run.document.get("peak_memory_bytes")
    backup = run.first.get("backup") or {}
    return Event(
        kind=EventKind.ACTIVITY,
        name=activity,
        started_s=interval[0],
        ended_s=interval[1],
        exit_code=run.exit_code,
        expected=why is not None and not overdue,
        message=said,
        peak_memory_bytes=peak if isinstance(peak, int) else None,
        resumed=bool(backup.get("resumed")),
    )


def _said(run: Run) -> str:
    error = run.document.get("error")
    said = json.dumps(error) if error else run.err.strip()
    return f"btrfs-to-s3 {' '.join(run.arguments)}: {said[-_MESSAGE_CHARACTERS:]}"
