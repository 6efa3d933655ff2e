"""Moves parts of files straight to and from an object store by signed URLs, several at once.

Everything here blocks: the clients call it in threads. URLs are secrets: no error repeats one.
"""

import http.client
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar
from urllib.parse import urlsplit

from penstock.config import is_loopback
from penstock.errors import InvalidInput, ServerUnavailable

__all__ = ["AT_ONCE_MAX", "Receiving", "Sending", "StoreFailed"]

AT_ONCE_MAX: Final = 4
"""So many parts are sent at once."""
RANGES_AT_ONCE_MAX: Final = 3
"""So many ranges are received at once. As many are held in memory, and one more."""
RANGE_BYTES_MIN: Final = 4 * 1024 * 1024
RANGE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Long ranges cost least; over a slow line short ones tell sooner how far it is, and less is lost when it breaks off."""
RANGE_QUICK_S: Final = 0.5
RANGE_SLOW_S: Final = 4.0
"""Ranges become longer while one takes less than this, shorter when one takes more."""
PIECE_BYTES: Final = 1024 * 1024
TIMEOUT_S: Final = 60.0
"""Without a byte to or from the store."""

_R = TypeVar("_R")


class StoreFailed(ServerUnavailable):
    """The object store cannot be reached from here, broke off, or refused: a URL has expired, or an upload has ended."""

    default_reason = "STORE_FAILED"


class Sending:
    """Sends parts of a file. Used by one thread at a time.

    Args:
        file: The file.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._pool = ThreadPoolExecutor(AT_ONCE_MAX, thread_name_prefix="penstock-parts")
        self._running: dict[Future[None], int] = {}

    @property
    def running(self) -> int:
        """How many parts are on their way."""
        return len(self._running)

    def add(self, url: str, offset: int, size: int) -> None:
        """Sends a part."""
        self._running[self._pool.submit(_put, url, self._file, offset, size)] = size

    def next(self) -> int:
        """Waits until a part is there. Returns its bytes.

        Raises:
            StoreFailed: The store did not take a part.
            InvalidInput: The file cannot be read, or became shorter.
        """
        done, _ = wait(self._running, return_when=FIRST_COMPLETED)
        future = done.pop()
        size = self._running.pop(future)
        future.result()
        return size

    def close(self) -> None:
        """Waits for what is on its way."""
        self._pool.shutdown(cancel_futures=True)


class Receiving:
    """Receives a file from an offset on, in order, while later ranges are on their way. Used by one thread at a time.

    Args:
        url: Where from.
        offset: The first byte that is wanted.
        size: The bytes of the whole file.
    """

    def __init__(self, url: str, offset: int, size: int) -> None:
        self._url = url
        self._offset = offset
        self._size = size
        self._pool = ThreadPoolExecutor(RANGES_AT_ONCE_MAX, thread_name_prefix="penstock-ranges")
        self._running: deque[tuple[Future[float], bytearray, int]] = deque()
        self._range_bytes = RANGE_BYTES_MIN
        # Used again and again: fresh memory costs more than what is done with it.
        self._free: list[bytearray] = []
        self._taken: bytearray | None = None

    def next(self) -> memoryview:
        """The next bytes, good until the next call; none at the end of the file. Raises `StoreFailed`."""
        if self._taken is not None:
            self._free.append(self._taken)
            self._taken = None
        while len(self._running) < RANGES_AT_ONCE_MAX and self._offset < self._size:
            length = min(self._range_bytes, self._size - self._offset)
            buffer = self._free.pop() if self._free else bytearray(RANGE_BYTES_MAX)
            into = memoryview(buffer)[:length]
            self._running.append((self._pool.submit(_get, self._url, self._offset, into), buffer, length))
            self._offset += length
        if not self._running:
            return memoryview(b"")
        future, self._taken, length = self._running.popleft()
        took_s = future.result()
        if took_s < RANGE_QUICK_S:
            self._range_bytes = min(self._range_bytes * 2, RANGE_BYTES_MAX)
        elif took_s > RANGE_SLOW_S:
            self._range_bytes = max(self._range_bytes // 2, RANGE_BYTES_MIN)
        return memoryview(self._taken)[:length]

    def close(self) -> None:
        """Waits for what is on its way."""
        self._pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _FilePart:
    """Bytes of a file as the body of a request, sent by the kernel where it can: read here, they would be copied twice."""

    file: Path
    opened: BinaryIO
    offset: int
    size: int

    def send(self, sock: socket.socket) -> None:
        """Sends them. Raises `InvalidInput` if the file has become shorter."""
        if not isinstance(sock, ssl.SSLSocket):
            if sock.sendfile(self.opened, self.offset, self.size) < self.size:
                raise self._shorter()
            return
        self.opened.seek(self.offset)
        left = self.size
        while left:
            piece = self.opened.read(min(PIECE_BYTES, left))
            if not piece:
                raise self._shorter()
            sock.sendall(piece)
            left -= len(piece)

    def _shorter(self) -> InvalidInput:
        # To end here would leave the store waiting for the rest.
        return _unreadable(self.file, "it became shorter")


class _Connection(http.client.HTTPConnection):
    """One whose bodies may be parts of files."""

    def send(self, data: Any) -> None:
        """See the library."""
        if isinstance(data, _FilePart):
            data.send(self.sock)
        else:
            super().send(data)


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    """The same over TLS."""


class _Handler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _SecureHandler(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._authorities = context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req, context=self._authorities)


def _put(url: str, file: Path, offset: int, size: int) -> None:
    try:
        opened = file.open("rb", buffering=0)
    except OSError as error:
        raise _unreadable(file, error.strerror) from error
    with opened:
        body: Any = [_FilePart(file, opened, offset, size)]  # which only `_Connection.send` sees
        request = urllib.request.Request(url, body, method="PUT")  # noqa: S310 - a server's, checked in `_ask`
        # Without a type the library names one that the store would keep.
        request.add_header("Content-Type", "application/octet-stream")
        request.add_header("Content-Length", str(size))
        _ask(request, lambda answer: answer.read())


def _get(url: str, start: int, into: memoryview) -> float:
    """Fills a buffer with the bytes of a file from `start` on. Returns how long it took, in seconds."""
    began_s = time.monotonic()
    end = start + len(into)
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-{end - 1}"})  # noqa: S310 - a server's, checked in `_ask`

    def read(answer: http.client.HTTPResponse) -> None:
        left = into
        while left and (count := answer.readinto(left)):
            left = left[count:]
        if answer.status != http.client.PARTIAL_CONTENT or left:
            raise StoreFailed("The object store sent other bytes than were asked for.")

    _ask(request, read)
    return time.monotonic() - began_s


def _ask(request: urllib.request.Request, read: Callable[[http.client.HTTPResponse], _R]) -> _R:
    parts = urlsplit(request.full_url)
    if parts.scheme not in ("http", "https"):
        raise StoreFailed("The server sends to something that is no object store.")
    address = f"{parts.scheme}://{parts.netloc}"
    try:
        with _opener(is_loopback(address), parts.scheme == "https").open(request, timeout=TIMEOUT_S) as answer:
            return read(answer)
    except urllib.error.HTTPError as error:
        status = error.code
        error.close()
        raise StoreFailed(f"The object store at {address} answered {status}.") from None
    except urllib.error.URLError as error:
        raise StoreFailed(f"The object store at {address} cannot be reached: {error.reason}.") from None
    except (OSError, http.client.HTTPException) as error:
        raise StoreFailed(f"The object store at {address} broke off: {error!r}.") from None


@cache
def _opener(loopback: bool, secure: bool) -> urllib.request.OpenerDirector:
    """What makes requests. It follows no redirect: a signed URL is good for one place."""
    handlers: list[urllib.request.BaseHandler] = [
        # A proxy cannot reach what listens on this machine alone.
        urllib.request.ProxyHandler({} if loopback else None),
        # Authorities are read from disk, which takes a while: once, and only where there are any.
        _SecureHandler(ssl.create_default_context()) if secure else _Handler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ]
    opener = urllib.request.OpenerDirector()
    for handler in handlers:
        opener.add_handler(handler)
    return opener


def _unreadable(file: Path, reason: str | None) -> InvalidInput:
    return InvalidInput(f"{file} cannot be read: {reason}.")
