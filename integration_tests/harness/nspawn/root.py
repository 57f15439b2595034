"""The Debian root that machines are booted from: made once, made anew when its recipe changes.

It holds what a person would have installed before the program: systemd, Python, btrfs-progs, and a
virtual environment with the program's dependencies. Debian's packages come through debootstrap(8)
and Python's through this machine's pip, so through whatever registries both are set up for; nothing
inside ever has a network.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from integration_tests.harness.machine import group
from integration_tests.harness.machine.state import Kind, StateFile, remove_tree
from integration_tests.harness.services.paths import REPOSITORY, run_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SUITE: Final = "bookworm"
PYTHON: Final = "3.11"
"""The suite's Python: the wheels are chosen for it, whichever Python this is."""
PACKAGES: Final = ("systemd", "dbus", "python3", "python3-venv", "btrfs-progs", "util-linux")
ENVIRONMENT: Final = Path("/opt/btrfs-to-s3")
PROGRAM: Final = Path("/usr/local/bin/btrfs-to-s3")
EXTRAS: Final = ("encryption",)
_WHEELS: Final = Path("/srv/wheels")
_COMPLETE: Final = "complete"
_NEEDED: Final = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}


class RootError(RuntimeError):
    """The root cannot be made; the message holds what the failed command said."""


def why_unavailable() -> str | None:
    """Return why no machine can be booted here, or None when one can."""
    if os.geteuid() != 0:
        return "booting a machine needs root"
    missing = sorted({package for tool, package in _NEEDED.items() if shutil.which(tool) is None})
    if missing:
        return f"booting a machine needs the Debian packages {', '.join(missing)}"
    return None


@dataclass(frozen=True, slots=True)
class Root:
    """A root directory, `tree`, that is never written to: machines put an overlay on it.

    `python` are options of pip that find the program's dependencies inside.
    """

    tree: Path

    @classmethod
    def make(cls, state: StateFile | None = None) -> Root:
        """The root of the present recipe, made if it is not there yet; RootError if that fails.

        A minute or two, or nothing. Safe against other processes that want the same one.
        """
        home = run_directory() / "machines"
        home.mkdir(parents=True, exist_ok=True)
        place = home / f"root-{_recipe()}"
        with _locked(home / "root.lock"):
            if not (place / _COMPLETE).exists():
                _remove_unused(home)
                _make(place, state or StateFile())
        return cls(place / "tree")


def build_wheel(into: Path) -> Path:
    """Build the program's wheel from this checkout, as `pip install` would."""
    into.mkdir(parents=True, exist_ok=True)
    _run(*_pip("wheel"), "--no-deps", "--wheel-dir", str(into), str(REPOSITORY))
    (wheel,) = into.glob("btrfs_to_s3-*.whl")
    return wheel


def install_program(tree: Path, wheel: Path, state: StateFile | None = None) -> None:
    """Put the program into the virtual environment of a root, its command onto the PATH."""
    shutil.copy(wheel, tree / _WHEELS.relative_to("/"))
    # The name alone would be content with the file of the same version that was there before.
    run_inside(
        tree,
        f"{ENVIRONMENT}/bin/pip", "install", "--quiet", "--no-index", "--no-deps",
        "--force-reinstall", str(_WHEELS / wheel.name),
        state=state,
    )  # fmt: skip
    link = tree / PROGRAM.relative_to("/")
    link.unlink(missing_ok=True)
    link.symlink_to(ENVIRONMENT / "bin" / "btrfs-to-s3")


def run_inside(tree: Path, *command: str, state: StateFile | None = None) -> None:
    """Run a command in a root that is not booted, without any network; RootError if it fails."""
    with _grouped(state or StateFile()) as enter:
        options = ["--quiet", "--register=no", "--keep-unit", "--private-network", "--settings=no"]
        options += ["--resolv-conf=off", "--timezone=off", "--pipe", "-D", str(tree), "--"]
        _run(*enter, "systemd-nspawn", *options, *command)


def _recipe() -> str:
    """A digest of all that decides what is in the root, this file included."""
    parts = [SUITE, PYTHON, PACKAGES, _dependencies(), Path(__file__).read_text(encoding="utf-8")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _dependencies() -> list[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project.get("optional-dependencies", {})
    chosen = [line for name in EXTRAS for line in extras.get(name, ())]
    return [*project["dependencies"], *chosen]


def _remove_unused(home: Path) -> None:
    """Remove roots of earlier recipes, but for those that a machine stands on."""
    mounted = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    for older in home.glob("root-*/"):
        if f"lowerdir={older}/" not in mounted:
            remove_tree(older)


def _make(place: Path, state: StateFile) -> None:
    """Make it; what an interrupted run leaves is swept, and lacks the mark of completeness."""
    unfinished = state.add((Kind.TREE, place, ""))
    tree = place / "tree"
    place.mkdir()
    with _grouped(state) as enter:
        # In a mount namespace of its own: what it mounts for its scripts goes with it.
        private = [*enter, "unshare", "--mount", "--propagation", "private"]
        chosen = ["--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(tree)]
        _run(*private, "debootstrap", *chosen)
    wheels = tree / _WHEELS.relative_to("/")
    wheels.mkdir(parents=True)
    fitting = ["--only-binary=:all:", f"--python-version={PYTHON}", "--dest", str(wheels)]
    _run(*_pip("download"), *fitting, *_dependencies())
    run_inside(tree, "python3", "-m", "venv", str(ENVIRONMENT), state=state)
    offline = ["install", "--quiet", "--no-index", f"--find-links={_WHEELS}"]
    run_inside(tree, f"{ENVIRONMENT}/bin/pip", *offline, *_dependencies(), state=state)
    (tree / "etc" / "hostname").write_text("machine\n", encoding="ascii")
    (tree / "etc" / "resolv.conf").unlink(missing_ok=True)
    (tree / "var" / "log" / "journal").mkdir(exist_ok=True)  # so that it outlives a halt
    (tree / "etc" / "machine-id").write_text("", encoding="ascii")  # each machine makes its own
    (place / _COMPLETE).touch()
    state.discard(*unfinished)


@contextlib.contextmanager
def _grouped(state: StateFile) -> Iterator[Sequence[str]]:
    """A command that has what follows it end with the block, and found by a sweep."""
    path = group.group_path(f"btrfs-to-s3-root-{secrets.token_hex(4)}")
    record = state.add((Kind.GROUP, path, ""))
    try:
        yield [*group.entering(path), "setpriv", "--pdeathsig", "KILL", "--"]
    finally:
        group.remove(path)
        state.discard(*record)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _pip(command: str) -> list[str]:
    options = ["--quiet", "--disable-pip-version-check", "--retries", "5"]
    return [sys.executable, "-m", "pip", command, *options]


def _run(*command: str) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        process_group=0,
    )
    if done.returncode:
        raise RootError(f"{' '.join(command)}: exit {done.returncode}: {done.stdout[-2000:]}")
