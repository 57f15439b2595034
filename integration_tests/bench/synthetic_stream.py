"""Write a send stream of about so many bytes to stdout: `python synthetic_stream.py BYTES`.

Right in form and identity (linux/fs/btrfs/send.h), made of a few blocks that come round again:
every WRITE command is 64 KiB long, every other one compresses 4:1, the rest not at all. So chunks
but the first and the last are equal, and a store may keep them once. The standard library only.
"""

from __future__ import annotations

import os
import random
import struct
import sys
from typing import Final
from uuid import UUID

IDENTITY: Final = UUID("5e7d0000-0000-4000-8000-00000000b10c")
TRANSID: Final = 7
NAME: Final = "synthetic"
ROUND_BYTES: Final = 16 * 1024 * 1024
_COMMAND_BYTES: Final = 64 * 1024
_SUBVOL, _WRITE, _END = 1, 15, 21
_UUID, _CTRANSID, _PATH, _OFFSET, _DATA = 1, 2, 15, 18, 19


def beginning() -> bytes:
    """The stream's header and first command, and one WRITE that fills up 64 KiB with them."""
    first = _command(
        _SUBVOL,
        (_PATH, NAME.encode()),
        (_UUID, IDENTITY.bytes),
        (_CTRANSID, struct.pack("<Q", TRANSID)),
    )
    header = b"btrfs-stream\0" + struct.pack("<I", 1) + first
    return header + _write(bytes(_COMMAND_BYTES), len(header))


def one_round() -> bytes:
    """16 MiB of WRITE commands."""
    rng = random.Random(1)  # noqa: S311 - reproducible, not secret
    commands = []
    for number in range(ROUND_BYTES // _COMMAND_BYTES):
        if number % 2:
            data = b"".join(rng.randbytes(1024) * 4 for _ in range(16))
        else:
            data = rng.randbytes(_COMMAND_BYTES)
        commands.append(_write(data, 0))
    return b"".join(commands)


def end() -> bytes:
    """The END command."""
    return _command(_END)


def _write(data: bytes, used: int) -> bytes:
    """A WRITE command that is 64 KiB long together with `used` bytes before it."""
    attributes = [(_PATH, b"file"), (_OFFSET, bytes(8))]
    size = _COMMAND_BYTES - used - len(_command(_WRITE, *attributes, (_DATA, b"")))
    return _command(_WRITE, *attributes, (_DATA, data[:size]))


def _command(kind: int, *attributes: tuple[int, bytes]) -> bytes:
    body = b"".join(struct.pack("<HH", each, len(value)) + value for each, value in attributes)
    return struct.pack("<IHI", len(body), kind, 0) + body


def main() -> None:
    """Write whole rounds until there are at least as many bytes as asked for."""
    wanted = int(sys.argv[1])
    _write_all(beginning())
    data = one_round()
    for _ in range(-(-wanted // ROUND_BYTES)):
        _write_all(data)
    _write_all(end())


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]


if __name__ == "__main__":
    main()
