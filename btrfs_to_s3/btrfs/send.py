"""``btrfs send`` as a stream of bytes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from btrfs_to_s3.btrfs.process import Child, describe_exit
from btrfs_to_s3.errors import SendError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from btrfs_to_s3.model.subvolume import SendOptions


def send_arguments(options: SendOptions) -> list[str]:
    """The options of ``btrfs send`` for a kind of stream (btrfs-send(8))."""
    arguments = [] if options.protocol == 1 else ["--proto", str(options.protocol)]
    return [*arguments, "--compressed-data"] if options.compressed_data else arguments


class BtrfsSend:
    """Implements ``SendStream``. End of file alone says nothing: only ``finish`` does."""

    def __init__(self, command: Sequence[str], what: str) -> None:
        self._what = what
        self._child = Child(command, feeds=False)
        self._ended = False

    def readinto(self, buffer: memoryview) -> int:
        """Fill from the stream, as many bytes as are there (at least one); 0 at its end."""
        count = os.readv(self._child.pipe.fileno(), [buffer])
        self._ended = count == 0
        return count

    def finish(self) -> None:
        """Wait for the process; ``SendError`` with its stderr unless it exited 0.

        Called before ``readinto`` returned 0 it kills the process and raises.
        """
        if not self._ended:
            self.kill()
            raise SendError(f"the stream of {self._what} was not read to its end")
        code, said = self._child.wait()
        if code != 0:
            raise SendError(
                f"btrfs send of {self._what} failed: {describe_exit(code, said)}",
                hint="the kernel log (dmesg) may say more",
                exit_code=code,
            )

    def kill(self) -> None:
        """End the process now; idempotent. A reader in another thread sees the stream's end."""
        self._child.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.kill()
        self._child.pipe.close()
