"""The program, run in this process or as one of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from btrfs_to_s3.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]


T = TypeVar("T")


def until(seen: Callable[[], T], timeout_s: float = 60.0) -> T:
    """What is seen as soon as it is true, looked for ten times a second."""
    deadline = time.monotonic() + timeout_s
    while not (found := seen()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


@dataclass(frozen=True)
class Ran:
    """What a run left: its exit code and what it said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Standard output as the one JSON document it must be."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    @property
    def lines(self) -> list[str]:
        """Standard error, line by line, without the times that stand before notes."""
        return [line[21:] if line[:3] == "202" else line for line in self.err.splitlines()]


@dataclass(frozen=True)
class Program:
    """How the program is called: with which environment and configuration file."""

    environ: Mapping[str, str]
    file: Path
    extra: tuple[str, ...] = field(default=())

    def configured(self, text: str) -> Program:
        """The same program with this configuration file."""
        file = self.file.with_name("config.toml")
        file.write_text(text)
        return replace(self, file=file)

    def with_environment(self, **environ: str) -> Program:
        """The same program with more variables, or others."""
        return replace(self, environ={**self.environ, **environ})

    def run(self, *arguments: str | Path) -> Ran:
        """Run in this process; its environment must be this process's where boto3 reads it."""
        out, err = io.StringIO(), io.StringIO()
        code = run(self._arguments(*arguments), self.environ, out, err)
        return Ran(code, out.getvalue(), err.getvalue())

    def start(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401 - Popen's
        """Start a process of its own, its streams piped unless told otherwise."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [sys.executable, "-m", "btrfs_to_s3", *self._arguments(*arguments)],
            env={
                "PATH": os.environ["PATH"],
                **self.environ,
                "PYTHONPATH": str(ROOT),
            },
            text=True,
            **{**pipes, **options},
        )

    def spawn(self, *arguments: str | Path) -> Ran:
        """Run a process of its own to its end."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=60)
        return Ran(process.returncode, out, err)

    def _arguments(self, *arguments: str | Path) -> list[str]:
        return ["-c", str(self.file), *map(str, arguments)]
