"""Which runs are under way on a repository, and how far they are.

::

    <state>/<repository key>/running/<pid>.json

Each run has a file of its own and removes it at its end. One that a killed run left names a process
that is not there any more, or is another one since (a pid is given again): it counts for nothing,
and the next run removes it. These files are never synced: after a crash no run is under way.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psutil

from btrfs_to_s3.host.durable import ensure_directory
from btrfs_to_s3.host.lock import Holder
from btrfs_to_s3.model.running import Progress, Running

if TYPE_CHECKING:
    from pathlib import Path

_DIRECTORY = "running"
_LIMIT_BYTES = 64 * 1024


class RunningRecord:
    """This process's record in one repository's state; where none can be written, there is none."""

    def __init__(self, directory: Path) -> None:
        process = psutil.Process()
        self._directory = directory / _DIRECTORY
        self._process = {"pid": process.pid, "started_s": process.create_time()}
        self._path = self._directory / f"{process.pid}.json"

    def begin(self) -> None:
        """Remove what killed runs left."""
        for path in _files(self._directory):
            holder, _ = _read(path)
            if holder is None or not holder.runs_here:
                with contextlib.suppress(OSError):
                    path.unlink()

    def write(self, running: Running) -> None:
        """Say how far the run is; a reader sees the old record or the new one."""
        temporary = self._path.with_suffix(".tmp")
        members = {**self._process, "run": asdict(running)}
        with contextlib.suppress(OSError):
            ensure_directory(self._directory)
            temporary.write_text(json.dumps(members, default=datetime.isoformat))
            temporary.replace(self._path)

    def remove(self) -> None:
        """The run is over."""
        for path in (self._path, self._path.with_suffix(".tmp")):
            with contextlib.suppress(OSError):
                path.unlink()


def running(directory: Path) -> tuple[Running, ...]:
    """The runs that are under way on a repository, the oldest first; its state ``directory``."""
    found = []
    for path in _files(directory / _DIRECTORY):
        holder, run = _read(path)
        if holder is not None and run is not None and holder.runs_here:
            found.append(run)
    return tuple(sorted(found, key=lambda run: run.started))


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == ".json")
    except OSError:
        return []


def _read(path: Path) -> tuple[Holder | None, Running | None]:
    """The process and the run that a file names; None for what cannot be made out."""
    holder: Holder | None = None
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_LIMIT_BYTES))
        holder = Holder(int(found["pid"]), float(found["started_s"]), "")
        return holder, _running(found["run"])
    except (OSError, ValueError, KeyError, TypeError):
        return holder, None


def _running(found: dict[str, Any]) -> Running:
    progress = found["progress"]
    if progress is not None:
        progress = Progress(**{**progress, "began": datetime.fromisoformat(progress["began"])})
    return Running(
        str(found["command"]),
        int(found["pid"]),
        datetime.fromisoformat(found["started"]),
        datetime.fromisoformat(found["updated"]),
        progress,
    )
