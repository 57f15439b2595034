"""Reading, cutting and forging send streams (linux/btrfs ``send.h``)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from btrfs_to_s3.model.subvolume import SendOptions, Subvolume

if TYPE_CHECKING:
    from pathlib import Path

    from btrfs_to_s3.ports import SendStream, Volume

PROTOCOL_1 = SendOptions(protocol=1, compressed_data=False)
PROTOCOL_2 = SendOptions(protocol=2, compressed_data=True)

_MAGIC = b"btrfs-stream\0"
_HEADER = struct.Struct("<IHI")
_ATTRIBUTE = struct.Struct("<HH")
_SUBVOL, _MKFILE, _SYMLINK, _END = 1, 3, 8, 21
_UUID, _TRANSID, _INO, _PATH, _LINK = 1, 2, 3, 15, 17


def read_all(stream: SendStream) -> bytes:
    """Everything a send has to say, from its start to its successful end."""
    data = bytearray()
    buffer = memoryview(bytearray(256 * 1024))
    with stream:
        while count := stream.readinto(buffer):
            data += buffer[:count]
        stream.finish()
    return bytes(data)


def sent(volume: Volume, snapshot: Subvolume, parent: Subvolume | None = None) -> bytes:
    """A snapshot's stream, protocol 1."""
    return read_all(volume.send(snapshot, parent, PROTOCOL_1))


def receive(volume: Volume, data: bytes, directory: Path, name: str) -> Subvolume:
    """Receive a stream, sync, and return the subvolume of that name."""
    with volume.receive(directory) as sink:
        sink.write(data)
        sink.finish()
    volume.sync()
    found = volume.received_in(directory, name)
    assert found is not None
    return found


@dataclass(frozen=True)
class FirstCommand:
    """The uuid and transid a stream begins with."""

    uuid: UUID
    transid: int


def first_command(data: bytes) -> FirstCommand:
    """What a stream's SUBVOL or SNAPSHOT command says."""
    at = len(_MAGIC) + 4
    end = at + _HEADER.size + _HEADER.unpack_from(data, at)[0]
    at += _HEADER.size
    attributes: dict[int, bytes] = {}
    while at < end:
        kind, size = _ATTRIBUTE.unpack_from(data, at)
        at += _ATTRIBUTE.size
        attributes[kind] = data[at : at + size]
        at += size
    return FirstCommand(
        UUID(bytes=attributes[_UUID]), int.from_bytes(attributes[_TRANSID], "little")
    )


def command_ends(data: bytes) -> list[int]:
    """The offsets at which the commands of a stream end."""
    ends = [len(_MAGIC) + 4]
    while ends[-1] < len(data):
        ends.append(ends[-1] + _HEADER.size + _HEADER.unpack_from(data, ends[-1])[0])
    return ends[1:]


def hostile(name: str, outside: str) -> bytes:
    """A stream that makes a link to a directory outside and then a file through that link."""
    return b"".join(
        (
            _MAGIC + struct.pack("<I", 1),
            _command(_SUBVOL, (_PATH, name.encode()), (_UUID, b"u" * 16), (_TRANSID, _u64(7))),
            _command(_SYMLINK, (_PATH, b"door"), (_INO, _u64(257)), (_LINK, outside.encode())),
            _command(_MKFILE, (_PATH, b"door/escaped"), (_INO, _u64(258))),
            _command(_END),
        )
    )


def _u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def _command(kind: int, *attributes: tuple[int, bytes]) -> bytes:
    body = b"".join(_ATTRIBUTE.pack(each, len(value)) + value for each, value in attributes)
    blank = _HEADER.pack(len(body), kind, 0) + body
    return _HEADER.pack(len(body), kind, _crc32c(blank)) + body


def _crc32c(data: bytes) -> int:
    """crc32c seeded with 0 and not inverted at the end, as send streams want it."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc
