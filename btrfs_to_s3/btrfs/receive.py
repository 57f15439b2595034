"""``btrfs receive`` as a sink of bytes."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, NoReturn

from btrfs_to_s3.btrfs.process import Child, describe_exit, means_no_space
from btrfs_to_s3.errors import LocalSpaceError, ReceiveError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self


class BtrfsReceive:
    """Implements ``ReceiveSink``.

    Without the END command btrfs receive fails at the end of file, on a command boundary too, and
    leaves the subvolume under its final name, writable and without received_uuid (progs 6.2).
    With it, it finalises at once: what was fed to its END counts as received even if ``finish``
    was never reached, so the caller's journal decides, not the subvolume's flags.
    """

    def __init__(self, command: Sequence[str], what: str) -> None:
        self._what = what
        self._child = Child(command, feeds=True)
        self._writing = threading.Lock()

    def write(self, data: bytes | memoryview) -> None:
        """Feed bytes that were already verified; ``ReceiveError`` with stderr if it died.

        ``LocalSpaceError`` when it died because the filesystem or its quota is full.
        """
        rest = memoryview(data).cast("B")
        with self._writing:
            try:
                while rest:
                    rest = rest[os.write(self._child.pipe.fileno(), rest) :]
            except (BrokenPipeError, ValueError):  # it died; ValueError: killed and closed by us
                self._fail(*self._child.wait())

    def finish(self) -> None:
        """Close stdin and wait; ``ReceiveError`` with its stderr unless it exited 0.

        Exit 0 is not durable: the caller syncs, then looks at the subvolume.
        """
        with self._writing:
            self._child.pipe.close()
        code, said = self._child.wait()
        if code != 0:
            self._fail(code, said)

    def _fail(self, code: int, said: str) -> NoReturn:
        if means_no_space(said):
            raise LocalSpaceError(
                f"no space left while receiving into {self._what}: {said}",
                hint="free space (or raise the quota) on the target filesystem, then run again",
            )
        raise ReceiveError(
            f"btrfs receive into {self._what} failed: {describe_exit(code, said)}", exit_code=code
        )

    def kill(self) -> None:
        """Kill the process, then close its stdin; idempotent."""
        self._child.kill()
        with self._writing:
            self._child.pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
