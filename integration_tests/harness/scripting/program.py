"""The program under test, run as a user runs it: a command line, an environment, an exit status."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from integration_tests.harness.machine.state import STATE_VARIABLE
from integration_tests.harness.scripting.settings import COMMAND_VARIABLE
from integration_tests.harness.services.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DEFAULT_TIMEOUT_S: Final = 1800.0


@dataclass(frozen=True, slots=True)
class Run:
    """One finished run. `document` is what `--json` printed, empty if that was nothing."""

    arguments: tuple[str, ...]
    exit_code: int
    document: Mapping[str, Any]
    out: str
    err: str
    seconds: float

    @property
    def first(self) -> Mapping[str, Any]:
        """The first (often only) source's part of the document."""
        sources = self.document.get("sources", ())
        return sources[0] if sources else {}


@dataclass(slots=True)
class Program:
    """Runs the command with `environment`; output goes to numbered files in `logs`."""

    command: Sequence[str]
    environment: Mapping[str, str]
    logs: Path
    _count: int = field(default=0)

    def with_settings(self, **settings: str) -> Program:
        """The same program with further settings of its own: `chunk_size="5MiB"`."""
        added = {f"BTRFS_TO_S3_{name.upper()}": value for name, value in settings.items()}
        return Program(self.command, {**self.environment, **added}, self.logs, self._count)

    def run(
        self, *arguments: str, as_json: bool = True, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> Run:
        """Run it to its end; subprocess.TimeoutExpired after `timeout_s`."""
        started = time.monotonic()
        process = self.start(*arguments, as_json=as_json)
        try:
            out, err = process.communicate(timeout=timeout_s)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        return self.finished(process, arguments, out, err, time.monotonic() - started)

    def start(self, *arguments: str, as_json: bool = True) -> subprocess.Popen[str]:
        """Start it, to be finished by the caller; `finished` turns its end into a Run."""
        return subprocess.Popen(
            [*self.command, *(["--json"] if as_json else []), *arguments],
            env={**_inherited(), **self.environment, "PYTHONPATH": _python_path()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def finished(
        self,
        process: subprocess.Popen[str],
        arguments: Sequence[str],
        out: str,
        err: str,
        seconds: float,
    ) -> Run:
        """What became of a started program, also written to the logs."""
        self._count += 1
        words = "-".join(word.lstrip("-") for word in arguments[:2] if "/" not in word)
        log = self.logs / f"{self._count:03}-{words or 'program'}.log"
        self.logs.mkdir(parents=True, exist_ok=True)
        log.write_text(
            f"$ btrfs-to-s3 {' '.join(arguments)}\n{err}{out}"
            f"exit {process.returncode} after {seconds:.1f} s\n",
            encoding="utf-8",
        )
        return Run(tuple(arguments), process.returncode, _document(out), out, err, seconds)


def _document(out: str) -> Mapping[str, Any]:
    try:
        document = json.loads(out)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _inherited() -> dict[str, str]:
    """Our environment without what is the harness's own business."""
    ours = {COMMAND_VARIABLE, STATE_VARIABLE}
    return {name: value for name, value in os.environ.items() if name not in ours}


def _python_path() -> str:
    return os.environ.get("PYTHONPATH") or str(REPOSITORY)
