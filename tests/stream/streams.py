"""Send streams made by hand, as linux/fs/btrfs/send.h describes them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Sequence

UUID_OF_STREAM = UUID("11111111-2222-4333-8444-555555555555")
UUID_OF_PARENT = UUID("99999999-2222-4333-8444-555555555555")
SUBVOL, SNAPSHOT, WRITE, END = 1, 2, 15, 21


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute with its header."""
    return struct.pack("<HH", kind, len(value)) + value


def command(kind: int, payload: bytes = b"") -> bytes:
    """One command with its header; the CRC is not looked at by the inspector."""
    return struct.pack("<IHI", len(payload), kind, 0) + payload


def first_command(name: str = "snap", *, parent: bool = False) -> bytes:
    """The command that says whose stream it is."""
    payload = (
        attribute(15, name.encode())
        + attribute(1, UUID_OF_STREAM.bytes)
        + attribute(2, (7).to_bytes(8, "little"))
    )
    if parent:
        payload += attribute(20, UUID_OF_PARENT.bytes) + attribute(21, (5).to_bytes(8, "little"))
    return command(SNAPSHOT if parent else SUBVOL, payload)


def stream(
    writes: Sequence[bytes] = (), *, parent: bool = False, protocol: int = 1, end: bool = True
) -> bytes:
    """A whole stream with a WRITE command for each payload."""
    body = b"".join(command(WRITE, payload) for payload in writes)
    tail = command(END) if end else b""
    header = b"btrfs-stream\0" + protocol.to_bytes(4, "little")
    return header + first_command(parent=parent) + body + tail
