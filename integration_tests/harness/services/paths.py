"""Where the harness may write: everything it generates lies under one folder."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HARNESS = Path(__file__).resolve().parents[1]
INTEGRATION_TESTS = HARNESS.parent
REPOSITORY = INTEGRATION_TESTS.parent
IN_USE = ".in-use"  # locked while the service lives
KEEP_LOGS_S = 3600


def run_directory() -> Path:
    """The folder for everything generated: `integration_tests/run`, or HARNESS_RUN_DIR."""
    chosen = os.environ.get("HARNESS_RUN_DIR")
    return Path(chosen).absolute() if chosen else INTEGRATION_TESTS / "run"


@contextlib.contextmanager
def working_directory(name: str, chosen: Path | None) -> Iterator[Path]:
    """A directory for one service.

    A chosen one is made if need be and stays; otherwise a fresh one under `run/services/` is
    removed at the end, unless the block raised: then its logs are wanted for a while.
    """
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen.absolute()
        return
    parent = run_directory() / "services"
    parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(parent)
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    with (directory / IN_USE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory
    shutil.rmtree(directory, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    """Remove what runs that crashed or failed left: locked by nobody and old."""
    for lock_path in parent.glob(f"*/{IN_USE}"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError, PermissionError):
            if time.time() - lock_path.stat().st_mtime < KEEP_LOGS_S:
                continue
            with lock_path.open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock_path.parent, ignore_errors=True)
