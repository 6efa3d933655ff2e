"""The gRPC proxy: forwards calls to the service that owns them, as bytes, without decoding a message.

What passes through unchanged: messages, the deadline, cancellation from either side, the status with its details, and the
metadata but for what belongs to one connection only. A slow reader holds its writer back: a message is taken from one
side only when the other side has taken the one before.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import status_pb2

from penstock_gateway.backends import Backend, Backends
from penstock_gateway.errors import STATUS_DETAILS_KEY, Stopping, TooManyCalls, backend_status, code_of, status_of
from penstock_gateway.metrics import RPCS, RPCS_IN_FLIGHT
from penstock_gateway.tracing import Metadata, carried
from penstock_kit.ids import random_id
from penstock_kit.traces import Tracer

__all__ = ["CALLS_MAX", "GrpcProxy"]

CALLS_MAX = 10_000
"""Calls in progress at one time; further ones are refused with RESOURCE_EXHAUSTED (TOO_MANY_CALLS)."""

_CONNECTION_KEYS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)

_REQUEST_ID_KEY = "x-request-id"

# The stubs of grpc.aio know neither calls of bytes nor EOF.
Context = Any
Call = Any
RpcError = Any
EOF: Any = grpc.aio.EOF  # pyrefly: ignore[missing-attribute] - the stubs lack it


def forwarded(metadata: Iterable[tuple[str, str | bytes]] | None) -> Metadata:
    """The metadata that goes on to the other side: all but what describes one connection. gRPC writes its own keys anew,
    except for the details of a status.
    """
    return tuple(
        (key, value)
        for key, value in metadata or ()
        if key == STATUS_DETAILS_KEY or not (key in _CONNECTION_KEYS or key.startswith((":", "grpc-")))
    )


class GrpcProxy(grpc.GenericRpcHandler):
    """Routes every method of the platform's services; others are left to the server, which answers UNIMPLEMENTED.

    Args:
        backends: Where to forward to.
        tracer: Where spans go; None means that there are none.
    """

    def __init__(self, backends: Backends, tracer: Tracer | None = None) -> None:
        self._tracer = tracer
        self._calls = 0
        self._streams: set[Call] = set()
        self._stopping = False
        self._handlers = {path: self._handler(path, backend, method) for path, (backend, method) in backends.methods()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self._handlers.get(handler_call_details.method)

    def _handler(self, path: str, backend: Backend, method: MethodDescriptor) -> grpc.RpcMethodHandler:
        if method.client_streaming or method.server_streaming:
            # A call with one message on one side is a stream with one message: the two are the same on the wire.
            return grpc.stream_stream_rpc_method_handler(_Stream(self, backend, path).forward)
        return grpc.unary_unary_rpc_method_handler(_Unary(self, backend, path).forward)

    @contextlib.asynccontextmanager
    async def admitted(self, context: Context, path: str) -> AsyncGenerator[Metadata]:
        """Counts a call in and out, and traces it. Aborts it when `CALLS_MAX` are in progress.

        Yields the metadata for the service.
        """
        if self._calls >= CALLS_MAX:
            await _abort(context, status_of(TooManyCalls(f"More than {CALLS_MAX} calls at a time.")), ())
        self._calls += 1
        method = path.removeprefix("/")
        RPCS_IN_FLIGHT.labels(method).inc()
        code = grpc.StatusCode.CANCELLED
        with carried(self._tracer, method, _outgoing(context)) as (metadata, end):
            try:
                yield metadata
                code = grpc.StatusCode.OK
            except grpc.aio.AbortError:
                code = context.code()
                raise
            finally:
                self._calls -= 1
                RPCS_IN_FLIGHT.labels(method).dec()
                RPCS.labels(method, code.name).inc()
                end(code)

    @contextlib.contextmanager
    def carried(self, call: Call) -> Generator[None]:
        """Keeps a stream among those that `end_streams` ends, and ends it in any case."""
        self._streams.add(call)
        try:
            yield
        finally:
            self._streams.discard(call)
            call.cancel()

    @property
    def stopping(self) -> bool:
        """Whether streams were ended because the gateway stops."""
        return self._stopping

    def end_streams(self) -> None:
        """Ends every stream with UNAVAILABLE (STOPPING): they have no end of their own, and are made to be resumed."""
        self._stopping = True
        for call in list(self._streams):
            call.cancel()


async def _abort(context: Context, status: status_pb2.Status, trailing: Metadata) -> None:
    """Ends a call with a status and its details."""
    kept = tuple(pair for pair in trailing if pair[0] != STATUS_DETAILS_KEY)
    details = ((STATUS_DETAILS_KEY, status.SerializeToString()),) if status.details else ()
    await context.abort(code_of(status), status.message, (*kept, *details))


def _outgoing(context: Context) -> Metadata:
    """The metadata of the call to the service. A call without a request id gets one here, so that one id spans both hops."""
    metadata = forwarded(context.invocation_metadata())
    if not any(key == _REQUEST_ID_KEY for key, _ in metadata):
        metadata = (*metadata, (_REQUEST_ID_KEY, random_id()))
    return metadata


class _Unary:
    """Forwards a call of one request and one response."""

    def __init__(self, proxy: GrpcProxy, backend: Backend, path: str) -> None:
        self._proxy = proxy
        self._backend = backend
        self._path = path
        self._call = backend.channel.unary_unary(path)

    async def forward(self, request: bytes, context: Context) -> bytes:
        async with self._proxy.admitted(context, self._path) as metadata:
            # Cancelling this handler, when the client goes away or its deadline passes, cancels the awaited call too.
            call = self._call(request, metadata=metadata, timeout=context.time_remaining())
            try:
                response = await call
            except grpc.aio.AioRpcError as error:
                await _fail(context, self._backend, error)
                raise AssertionError("abort raises") from error
            await context.send_initial_metadata(forwarded(await call.initial_metadata()))
            context.set_trailing_metadata(forwarded(await call.trailing_metadata()))
            return response


class _Stream:
    """Forwards a call with any number of messages on either side."""

    def __init__(self, proxy: GrpcProxy, backend: Backend, path: str) -> None:
        self._proxy = proxy
        self._backend = backend
        self._path = path
        self._call = backend.channel.stream_stream(path)

    async def forward(self, requests: AsyncIterator[bytes], context: Context) -> None:
        async with self._proxy.admitted(context, self._path) as metadata:
            call = self._call(metadata=metadata, timeout=context.time_remaining())
            sending = asyncio.create_task(_send(requests, call))
            try:
                # However this handler ends, also by the client going away, the call to the service ends with it.
                with self._proxy.carried(call):
                    await context.send_initial_metadata(forwarded(await call.initial_metadata()))
                    while (response := await call.read()) is not EOF:
                        await context.write(response)
                    context.set_trailing_metadata(forwarded(await call.trailing_metadata()))
            except grpc.aio.AioRpcError as error:
                await _fail(context, self._backend, error)
            except asyncio.CancelledError:
                if not (self._proxy.stopping and call.cancelled()):
                    raise
                await _abort(context, status_of(Stopping("The gateway is stopping. Connect again.")), ())
            finally:
                sending.cancel()


async def _send(requests: AsyncIterator[bytes], call: Call) -> None:
    """Passes requests on until there are no more. The service may end the call before: the reader reports how."""
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        async for request in requests:
            await call.write(request)
        await call.done_writing()


async def _fail(context: Context, backend: Backend, error: RpcError) -> None:
    """Ends a call as the service ended it."""
    await _abort(context, backend_status(error, backend.name), forwarded(error.trailing_metadata()))
