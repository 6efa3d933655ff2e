"""A TCP proxy that fails on demand: between a sender and the service it loses, delays and cuts what the network would."""

import asyncio
import contextlib
from typing import Self

__all__ = ["Proxy"]

PIECE_BYTES = 65_536


class Proxy:
    """Passes bytes on between those who connect to it and one address. An async context manager.

    Args:
        target: `host:port`.

    Attributes:
        address: Where it listens, `host:port`.
        delay_s: How long each piece is held back, in both directions.
        replies_lost: Whether what the target says is thrown away. What it is told still arrives, so it acts and nobody hears.
    """

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._writers: set[asyncio.StreamWriter] = set()
        self.address = ""
        self.delay_s = 0.0
        self.replies_lost = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        while self._writers:  # noqa: ASYNC110 - each removes itself
            await asyncio.sleep(0.01)

    def cut(self) -> None:
        """Ends every connection, with what is on its way."""
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError):
                target_reader, target_writer = await asyncio.open_connection(self._host, self._port)
                writers.append(target_writer)
                self._writers.add(target_writer)
                await asyncio.gather(
                    self._pass_on(reader, target_writer, replies=False),
                    self._pass_on(target_reader, writer, replies=True),
                )
        finally:
            for ended in writers:
                ended.transport.abort()
                self._writers.discard(ended)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool) -> None:
        while piece := await reader.read(PIECE_BYTES):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if not (replies and self.replies_lost):
                writer.write(piece)
                await writer.drain()
        raise ConnectionResetError
