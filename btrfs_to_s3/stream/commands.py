"""The send stream's command headers: who it is, and whether it is whole.

Source: linux/fs/btrfs/send.h (``btrfs_stream_header``, ``btrfs_cmd_header``, ``btrfs_tlv_header``).
A stream is a 17-byte header, then commands of a 10-byte header (length, command, CRC-32C) and
``length`` bytes of attributes. The first command is SUBVOL or SNAPSHOT, the last one END.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from btrfs_to_s3.model.backup import StreamIdentity

if TYPE_CHECKING:
    from btrfs_to_s3.errors import BtrfsToS3Error

_MAGIC = b"btrfs-stream\0"
_STREAM_HEADER = struct.Struct("<13sI")
_COMMAND_HEADER = struct.Struct("<IHI")
_ATTRIBUTE_HEADER = struct.Struct("<HH")
_SUBVOL, _SNAPSHOT, _END = 1, 2, 21
_UUID, _CTRANSID, _PATH, _CLONE_UUID, _CLONE_CTRANSID = 1, 2, 15, 20, 21
_FIRST_COMMAND_LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What the headers told. ``name`` is the subvolume name that receive will create."""

    protocol: int
    identity: StreamIdentity
    name: str
    commands: int
    size_bytes: int


class StreamInspector:
    """Walks a stream's command headers as its bytes go by; attributes are skipped, not held.

    ``failure`` is the error class to raise: ``SendError`` beside a send, ``IntegrityError`` on the
    way back. ``update`` raises at once on what is no stream; ``finish`` on one that does not end
    with END. Memory: one header, and the first command of at most 64 KiB.
    """

    def __init__(self, failure: type[BtrfsToS3Error]) -> None:
        self._failure = failure
        self._start: bytearray | None = bytearray()
        self._carry = b""
        self._skip = 0
        self._ended = False
        self._commands = 0
        self._size = 0
        self._facts: tuple[int, StreamIdentity, str] | None = None

    @property
    def identity(self) -> StreamIdentity | None:
        """Whose stream it is, once its first command has gone by."""
        return None if self._facts is None else self._facts[1]

    def update(self, data: bytes | memoryview) -> None:
        """Look at the next bytes."""
        self._size += len(data)
        if self._start is not None:
            self._start += data
            if not self._read_start():
                return
            data, self._start = bytes(self._start), None
            self._walk(data, _STREAM_HEADER.size)
            return
        if self._carry:
            data = self._carry + bytes(data)
            self._carry = b""
        self._walk(data, self._skip)

    def finish(self) -> None:
        """Reject a stream that is not whole."""
        if self._facts is None:
            raise self._failure("the stream ends before its first command")
        if not self._ended or self._skip or self._carry:
            raise self._failure(
                "the stream ends without its END command: it is not complete",
            )

    def result(self) -> StreamFacts:
        """What the stream says of itself; only after its first command."""
        if self._facts is None:
            raise self._failure("the stream ends before its first command")
        protocol, identity, name = self._facts
        return StreamFacts(protocol, identity, name, self._commands, self._size)

    def _walk(self, data: bytes | memoryview, position: int) -> None:
        size = len(data)
        unpack = _COMMAND_HEADER.unpack_from
        last_header = size - _COMMAND_HEADER.size
        commands = 0
        while position <= last_header:
            if self._ended:
                raise self._failure("the stream goes on after its END command")
            length, command, _ = unpack(data, position)
            position += _COMMAND_HEADER.size + length
            commands += 1
            if command == _END:
                self._ended = True
        self._commands += commands
        if position < size:
            if self._ended:
                raise self._failure("the stream goes on after its END command")
            self._carry, self._skip = bytes(data[position:]), 0
        else:
            self._skip = position - size

    def _read_start(self) -> bool:
        start = self._start
        if start is None or len(start) < _STREAM_HEADER.size + _COMMAND_HEADER.size:
            return False
        magic, protocol = _STREAM_HEADER.unpack_from(start)
        if magic != _MAGIC:
            raise self._failure("this is not a btrfs send stream")
        length, command, _ = _COMMAND_HEADER.unpack_from(start, _STREAM_HEADER.size)
        if command not in {_SUBVOL, _SNAPSHOT} or length > _FIRST_COMMAND_LIMIT_BYTES:
            raise self._failure("the stream does not begin with a subvolume or snapshot command")
        begin = _STREAM_HEADER.size + _COMMAND_HEADER.size
        if len(start) < begin + length:
            return False
        attributes = self._attributes(bytes(start[begin : begin + length]))
        try:
            identity = StreamIdentity(
                UUID(bytes=attributes[_UUID]),
                int.from_bytes(attributes[_CTRANSID], "little"),
                UUID(bytes=attributes[_CLONE_UUID]) if command == _SNAPSHOT else None,
                int.from_bytes(attributes[_CLONE_CTRANSID], "little")
                if command == _SNAPSHOT
                else None,
            )
            name = attributes[_PATH].decode()
        except (KeyError, ValueError) as error:
            raise self._failure("the stream's first command lacks its identity") from error
        self._facts = (protocol, identity, name)
        return True

    def _attributes(self, payload: bytes) -> dict[int, bytes]:
        attributes: dict[int, bytes] = {}
        position = 0
        while position + _ATTRIBUTE_HEADER.size <= len(payload):
            kind, length = _ATTRIBUTE_HEADER.unpack_from(payload, position)
            position += _ATTRIBUTE_HEADER.size
            attributes[kind] = payload[position : position + length]
            position += length
        return attributes
