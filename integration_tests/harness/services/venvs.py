"""Virtual environments of their own for tools whose requirements clash with the project's.

`python -m integration_tests.harness.services NAME...` makes them ahead of time.
"""

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from integration_tests.harness.services.paths import INTEGRATION_TESTS, run_directory

COMPLETE = "complete"


def environment_for(name: str, folder: Path = INTEGRATION_TESTS) -> Path:
    """The environment with `requirements-<name>.txt` of `folder` installed, made if need be.

    Safe against other processes that want the same one: the first makes it, the others wait. One
    that was cut short lacks the mark and is made again. Raises CalledProcessError if pip fails.
    """
    requirements = folder / f"requirements-{name}.txt"
    recipe = requirements.read_bytes() + sys.version.encode()
    home = run_directory() / "venvs"
    environment = home / f"{name}-{hashlib.sha256(recipe).hexdigest()[:12]}"
    if (environment / COMPLETE).exists():
        return environment
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home / f"{name}.lock"):
        if not (environment / COMPLETE).exists():
            shutil.rmtree(environment, ignore_errors=True)
            _install(environment, requirements)
            (environment / COMPLETE).touch()
    return environment


def _install(environment: Path, requirements: Path) -> None:
    # Our own pip installs into it: a pip of its own would cost some seconds and serve nobody.
    python = [sys.executable, "-m"]
    subprocess.run([*python, "venv", "--without-pip", str(environment)], check=True)
    install = [*python, "pip", "--python", str(environment / "bin" / "python"), "install"]
    options = ["--quiet", "--disable-pip-version-check", "--retries", "5"]
    subprocess.run([*install, *options, "--requirement", str(requirements)], check=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
