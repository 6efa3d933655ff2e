"""An HTTP server that takes webhooks in a test, and answers as the test says."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field


@dataclass
class Received:
    """A request: its path, its headers by lower-case names, its body."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A running receiver.

    Attributes:
        port: Of 127.0.0.1.
        answers: Raw status and header lines of the next answers, such as `503 Busy\\r\\nRetry-After: 7`; then 204.
        received: What came, in order.
        hold: While it is clear, nothing is answered.
    """

    port: int = 0
    answers: list[str] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: int = 0
    at_once_max: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.received.append(Received(head[0].split(" ")[1], headers, body))
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        await self.hold.wait()
        self.at_once -= 1
        answer = self.answers.pop(0) if self.answers else "204 No Content"
        writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def receiving(answers: Sequence[str] = ()) -> AsyncIterator[Receiver]:
    """Runs a receiver."""
    receiver = Receiver(answers=list(answers))
    receiver.hold.set()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        receiver.hold.set()
        server.close()


@contextmanager
def receiving_beside() -> Iterator[Receiver]:
    """Runs a receiver in a thread, for a test that is no coroutine."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    receiving_there = receiving()
    try:
        yield asyncio.run_coroutine_threadsafe(receiving_there.__aenter__(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(receiving_there.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
