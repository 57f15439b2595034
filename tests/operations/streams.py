"""Send streams made of nothing: right in form and identity, arbitrary in content.

Layout: linux/fs/btrfs/send.h. The commands' CRC fields are zero: this program leaves checking
them to ``btrfs receive``, which never sees these streams.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from btrfs_to_s3.model.backup import StreamIdentity

_MAGIC = b"btrfs-stream\0"
_COMMAND = struct.Struct("<IHI")
_ATTRIBUTE = struct.Struct("<HH")
_SUBVOL, _SNAPSHOT, _WRITE, _END = 1, 2, 15, 21
_UUID, _CTRANSID, _PATH, _OFFSET, _DATA, _CLONE_UUID, _CLONE_CTRANSID = 1, 2, 15, 18, 19, 20, 21
_WRITE_BYTES = 48 * 1024
"""The most data that send puts into one protocol 1 command."""


def stream(identity: StreamIdentity, name: str, content: bytes, *, end: bool = True) -> bytes:
    """A stream that writes ``content`` to one file; cut before its END command without ``end``."""
    first = [
        (_PATH, name.encode()),
        (_UUID, identity.uuid.bytes),
        (_CTRANSID, _u64(identity.transid)),
    ]
    if identity.parent_uuid is not None and identity.parent_transid is not None:
        first.append((_CLONE_UUID, identity.parent_uuid.bytes))
        first.append((_CLONE_CTRANSID, _u64(identity.parent_transid)))
    kind = _SUBVOL if identity.parent_uuid is None else _SNAPSHOT
    commands = [_MAGIC, struct.pack("<I", 1), _command(kind, *first)]
    for offset in range(0, len(content), _WRITE_BYTES):
        data = content[offset : offset + _WRITE_BYTES]
        commands.append(_command(_WRITE, (_PATH, b"file"), (_OFFSET, _u64(offset)), (_DATA, data)))
    if end:
        commands.append(_command(_END))
    return b"".join(commands)


class BytesSend:
    """Implements ``ports.SendStream`` over bytes: a ``btrfs send`` that exited 0."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def readinto(self, buffer: memoryview) -> int:
        """The next bytes."""
        count = min(len(buffer), len(self._data))
        buffer[:count] = self._data[:count]
        self._data = self._data[count:]
        return count

    def finish(self) -> None:
        """It went well."""

    def kill(self) -> None:
        """Nothing runs."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


def _u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def _command(kind: int, *attributes: tuple[int, bytes]) -> bytes:
    body = b"".join(_ATTRIBUTE.pack(each, len(value)) + value for each, value in attributes)
    return _COMMAND.pack(len(body), kind, 0) + body
