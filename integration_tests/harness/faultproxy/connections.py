"""What mitmproxy has no call for: resetting or holding a client's connection within a body."""
# ruff: noqa: ANN401 - mitmproxy's types are not installed where this is checked

import asyncio
import socket
import struct
from typing import Any

from mitmproxy import ctx  # type: ignore[import-not-found,unused-ignore]

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with zero seconds, socket(7)


def client_connection(flow: Any) -> Any:
    """Mitmproxy's reader and writer of the client's connection, None once it is gone."""
    handlers = ctx.master.addons.get("proxyserver").connections.values()
    for handler in handlers:
        if handler.client is flow.client_conn:
            return handler.transports.get(handler.client)
    return None


def cut(flow: Any, *, reset: bool) -> None:
    """Close the client's connection: at once with RST, or after what was written with FIN."""
    if (connection := client_connection(flow)) is None:
        return
    if reset:
        option = (socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        connection.writer.get_extra_info("socket").setsockopt(*option)
        connection.writer.transport.abort()
    else:
        connection.writer.close()


def hold(flow: Any, seconds: float) -> None:
    """Keep back what is written to the client from now on, for a while."""
    if (connection := client_connection(flow)) is None:
        return
    held = HeldWriter(connection.writer)
    original, connection.writer = connection.writer, held

    def release() -> None:
        connection.writer = original
        held.release()

    asyncio.get_running_loop().call_later(seconds, release)


class HeldWriter:
    """Stands in for a StreamWriter: keeps what it is given, and also the wish to close.

    mitmproxy drains all writers of a connection before it reads on, so no more than one read of
    the service's answer piles up here.
    """

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._kept = bytearray()
        self._closes = False
        self._released = asyncio.Event()

    def write(self, data: bytes) -> None:
        """Keep the data."""
        self._kept += data

    def close(self) -> None:
        """Remember to close."""
        self._closes = True

    async def drain(self) -> None:
        """Wait until the data may go."""
        await self._released.wait()
        await self._writer.drain()

    def release(self) -> None:
        """Do what was held back."""
        if not self._writer.is_closing():
            self._writer.write(bytes(self._kept))
            if self._closes:
                self._writer.close()
        self._released.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)
