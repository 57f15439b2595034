"""Child processes: how they are started, how their last words are kept, how they end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import threading
from functools import cache
from typing import IO, TYPE_CHECKING, Final

from btrfs_to_s3.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

PIPE_SIZE_BYTES: Final = 1024 * 1024
"""fs.pipe-max-size's default: fewer switches between btrfs and this program."""
_KEPT_STDERR_BYTES: Final = 16 * 1024
_NO_SPACE: Final = ("No space left on device", "Disk quota exceeded")
_CHATTER: Final = ("At subvol ", "At snapshot ", "Chroot to ")


def environment() -> dict[str, str]:
    """What children see: a search path with the sbin directories, untranslated messages.

    Nothing else is passed on, least of all the storage credentials.
    """
    return {"PATH": _search_path(), "LC_ALL": "C"}


def _search_path() -> str:
    return os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"


def search(name: str) -> list[str]:
    """A program's absolute path, in a list that is empty when it is not there.

    Links are kept: busybox goes by the name it is called.
    """
    found = shutil.which(name, path=_search_path())
    return [] if found is None else [os.path.abspath(found)]  # noqa: PTH100 - resolve() follows


def find_program(name: str, package: str) -> str:
    """A program's absolute path; ``SourceError`` naming the Debian package when it is missing."""
    found = search(name)
    if not found:
        raise SourceError(
            f"the program {name} was not found", hint=f"apt install {package}", program=name
        )
    return found[0]


@cache
def _dies_with_parent() -> tuple[str, ...]:
    """A prefix that makes a command die when the thread that started it does (prctl(2)).

    PR_SET_PDEATHSIG through util-linux: a preexec_fn is not safe beside threads. Empty where
    setpriv is missing or is one without the option; SIGPIPE and end of file must do then.
    """
    setpriv = shutil.which("setpriv", path=_search_path())
    if setpriv is None:
        return ()
    text = subprocess.run([setpriv, "--help"], capture_output=True, check=False).stdout
    return (setpriv, "--pdeathsig", "KILL", "--") if b"--pdeathsig" in text else ()


class ErrorTail:
    """Drains a child's stderr in a thread and keeps its last 16 KiB."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._drain, name="btrfs-stderr", daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        while data := os.read(self._stream.fileno(), 4096):
            self._kept += data
            del self._kept[:-_KEPT_STDERR_BYTES]

    def finish(self) -> str:
        """What was said, without btrfs-progs' progress lines; call it when the child has ended."""
        self._thread.join()
        self._stream.close()
        lines = self._kept.decode(errors="replace").splitlines()
        return "\n".join(line for line in lines if line and not line.startswith(_CHATTER)).strip()


class Child:
    """A btrfs process with one pipe to this program, out of the terminal's reach.

    It runs in a session of its own, so Ctrl-C ends this program first, which then ends it. Where
    setpriv can arrange it, it also dies with the thread that started it: start it in a thread that
    outlives it. ``kill`` and ``wait`` may be called from any thread and more than once.
    """

    def __init__(self, command: Sequence[str], *, feeds: bool) -> None:
        self._process = subprocess.Popen(
            [*_dies_with_parent(), *command],
            stdin=subprocess.PIPE if feeds else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if feeds else subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env=environment(),
            start_new_session=True,
        )
        pipe = self._process.stdin if feeds else self._process.stdout
        if pipe is None or self._process.stderr is None:  # pragma: no cover - asked for above
            raise AssertionError
        self.pipe = pipe
        try:
            self._errors = ErrorTail(self._process.stderr)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        self._lock = threading.Lock()
        self._said: str | None = None
        with contextlib.suppress(OSError):  # beyond the user's pipe limits: slower, not wrong
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_SIZE_BYTES)

    def wait(self) -> tuple[int, str]:
        """Reap the process; its exit code (negative: the signal) and what it complained of."""
        code = self._process.wait()
        with self._lock:
            if self._said is None:
                self._said = self._errors.finish()
            return code, self._said

    def kill(self) -> None:
        """SIGKILL, then reap."""
        self._process.kill()
        self.wait()


def describe_exit(code: int, said: str) -> str:
    """``<what it said>`` with how it ended, for an error message."""
    ending = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return f"{said or 'no message'} ({ending})"


def means_no_space(said: str) -> bool:
    """Whether a program's complaint is that the filesystem or its quota is full."""
    return any(text in said for text in _NO_SPACE)
