"""One RPC on its way through the stages."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, Self

import grpc

from penstock_kit.access import AccessRule
from penstock_kit.errors import InvalidInput, PenstockError
from penstock_kit.metrics import RpcMetrics

__all__ = [
    "FIRST_MESSAGE_WAIT_S_MAX",
    "Call",
    "FirstMessageMissing",
    "Method",
    "MethodKind",
    "Proceed",
    "RequestMalformed",
    "Requests",
    "Stage",
    "read_request",
]

FIRST_MESSAGE_WAIT_S_MAX = 10.0
"""How long a client stream may stay silent before its first message, which decides whether the caller may open it."""


_aio: Any = grpc.aio  # the type stubs do not know EOF
_EOF = _aio.EOF


class RequestMalformed(InvalidInput):
    """The bytes of a request are not a message of its type."""

    reason = "REQUEST_MALFORMED"


class FirstMessageMissing(InvalidInput):
    """A client stream ended, or stayed silent, before its first message."""

    reason = "FIRST_MESSAGE_MISSING"


class MethodKind(Enum):
    """The three kinds of methods, which are limited apart."""

    UNARY = "unary"
    SERVER_STREAM = "server stream"
    CLIENT_STREAM = "client stream"


@dataclass(frozen=True, slots=True)
class Method:
    """What is known of a method before any call.

    Attributes:
        full_name: `package.Service/Method`.
        kind: Which way it streams.
        rule: Who may call it.
        handler: The servicer's method.
        decode: Makes a request message of bytes. Raises `PenstockError` for a request that is wrong in itself.
        encode: Makes bytes of a response message.
        metrics: Its figures.
    """

    full_name: str
    kind: MethodKind
    rule: AccessRule
    handler: Callable[[Any, Any], Any]
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    metrics: RpcMetrics


def read_request(decode: Callable[[bytes], Any], raw: bytes) -> Any:
    """Decodes a request. Raises `RequestMalformed`, and what `decode` says of a request that reads but is wrong."""
    try:
        return decode(raw)
    except PenstockError:
        raise
    except Exception as error:
        raise RequestMalformed(
            "The request cannot be read: its bytes are not a message of the method's type."
        ) from error


class Requests:
    """The messages of a client stream, the first of which was read before. Nothing is done per message but to read it.

    The transport's own iterator is an async generator that nobody closes; its reads are used directly.
    """

    __slots__ = ("_first", "_read")

    def __init__(self, first: Any, context: Any) -> None:
        self._first = first
        self._read = context.read

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        message = await self._read()
        if message is _EOF:
            raise StopAsyncIteration
        return message


class Call:
    """One RPC.

    Attributes:
        method: What is called.
        context: The transport's context of the call.
        request_id: Names the call in logs and answers.
        bearer: The access token that came with it; empty in a method for anybody.
        code: How it ended; None while it goes on.
        request: The request, of a client stream the first one, once `receive` returned.
        response: The encoded response of a unary call, once it was handled.
    """

    __slots__ = ("_raw", "bearer", "code", "context", "method", "request", "request_id", "response")

    def __init__(self, method: Method, context: Any, *, raw: bytes = b"") -> None:
        self.method = method
        self.context = context
        self.request_id = ""
        self.bearer = ""
        self.code: grpc.StatusCode | None = None
        self.request: Any = None
        self.response: bytes = b""
        self._raw = raw

    @property
    def metadata(self) -> tuple[tuple[str, Any], ...]:
        """What came with the call, in order."""
        return self.context.invocation_metadata() or ()

    def header(self, name: str) -> str | None:
        """Returns the text of a metadata entry, None if it is absent or there is more than one."""
        found = [value for key, value in self.metadata if key == name]
        return found[0] if len(found) == 1 and isinstance(found[0], str) else None

    async def receive(self) -> None:
        """Reads the request, of a client stream the first one. Raises `RequestMalformed`, `FirstMessageMissing`."""
        if self.method.kind is not MethodKind.CLIENT_STREAM:
            self.request = read_request(self.method.decode, self._raw)
            return
        try:
            async with asyncio.timeout(FIRST_MESSAGE_WAIT_S_MAX):
                first = await self.context.read()
        except TimeoutError:
            raise FirstMessageMissing(f"No first message came within {FIRST_MESSAGE_WAIT_S_MAX:g} s.") from None
        if first is _EOF:
            raise FirstMessageMissing("The stream ended before its first message.")
        self.request = first

    def requests(self) -> Requests:
        """Returns all messages of a client stream, the received one first."""
        return Requests(self.request, self.context)


Proceed = Callable[[Call], Awaitable[None]]
"""The stages after this one, and the handler."""


class Stage(Protocol):
    """Does its part of a call and lets it proceed, or raises."""

    async def __call__(self, call: Call, proceed: Proceed) -> None: ...
