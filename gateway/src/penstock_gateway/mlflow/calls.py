"""One request of a client of MLflow: what it says, and the way to the services that answer it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from penstock_gateway.backends import Backend
from penstock_gateway.errors import RpcFailed, backend_status
from penstock_gateway.mlflow.fields import Field, Values, read
from penstock_gateway.tracing import carried
from penstock_kit.traces import Tracer

__all__ = ["Call", "Services"]

UNARY_TIMEOUT_S: Final = 60.0
STREAM_TIMEOUT_S: Final = 120.0
OFFLOAD_BYTES: Final = 65_536
"""Larger messages are written and read in a thread: a megabyte would hold the event loop, and every stream on it."""


class Services:
    """Typed calls to the services behind the gateway.

    Args:
        backends: The services to call.
        tracer: Where spans go; None means that there are none.
    """

    def __init__(self, backends: Mapping[str, Backend], tracer: Tracer | None) -> None:
        self._tracer = tracer
        self._methods = {
            method.name: (backend, GetMessageClass(method.output_type))
            for backend in backends.values()
            for method in backend.service.methods
        }

    async def unary(self, name: str, request: Message, metadata: list[tuple[str, str]]) -> Any:
        """Calls a method. Raises `RpcFailed`."""
        backend, answer_class = self._methods[name]
        path = f"{backend.service.full_name}/{name}"
        large = request.ByteSize() > OFFLOAD_BYTES
        packed = await asyncio.to_thread(request.SerializeToString) if large else request.SerializeToString()
        with carried(self._tracer, path, metadata) as (outgoing, end):
            try:
                answer = await backend.channel.unary_unary(f"/{path}")(
                    packed, metadata=outgoing, timeout=UNARY_TIMEOUT_S
                )
            except grpc.aio.AioRpcError as error:
                end(error.code())
                raise RpcFailed(backend_status(error, backend.name)) from error
            end(grpc.StatusCode.OK)
        if len(answer) > OFFLOAD_BYTES:
            return await asyncio.to_thread(answer_class.FromString, answer)
        return answer_class.FromString(answer)

    async def stream(
        self, name: str, request: Message, metadata: list[tuple[str, str]], timeout_s: float
    ) -> AsyncGenerator[Any]:
        """Calls a method that answers with a stream. Raises `RpcFailed`."""
        backend, answer_class = self._methods[name]
        path = f"{backend.service.full_name}/{name}"
        with carried(self._tracer, path, metadata) as (outgoing, end):
            call = backend.channel.unary_stream(f"/{path}")(
                request.SerializeToString(), metadata=outgoing, timeout=timeout_s
            )
            try:
                async for piece in call:
                    yield answer_class.FromString(piece)
            except grpc.aio.AioRpcError as error:
                end(error.code())
                raise RpcFailed(backend_status(error, backend.name)) from error
            finally:
                call.cancel()
            end(grpc.StatusCode.OK)

    async def send(
        self, name: str, requests: AsyncIterator[Message], metadata: list[tuple[str, str]], timeout_s: float
    ) -> Any:
        """Calls a method that lets a stream in after its first message, and answers at its end.

        Raises `RpcFailed`, and what `requests` raises.
        """
        backend, answer_class = self._methods[name]
        path = f"{backend.service.full_name}/{name}"
        with carried(self._tracer, path, metadata) as (outgoing, end):
            call = backend.channel.stream_stream(f"/{path}")(metadata=outgoing, timeout=timeout_s)
            try:
                await call.write((await anext(requests)).SerializeToString())
                await call.read()
                # The service may end the call before all is sent: reading tells how.
                with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    async for request in requests:
                        await call.write(request.SerializeToString())
                    await call.done_writing()
                answer = await call.read()
            except grpc.aio.AioRpcError as error:
                end(error.code())
                raise RpcFailed(backend_status(error, backend.name)) from error
            finally:
                call.cancel()
            end(grpc.StatusCode.OK)
        return answer_class.FromString(answer)


@dataclass(frozen=True, slots=True)
class Call:
    """A request.

    Attributes:
        project: The project whose tracking URI it came to.
        body: The JSON of its body, or its query: by name a text, of a name that comes several times a list.
        path: The parts of the path that vary, by name.
        services: The services.
        metadata: With which it goes on to them.
    """

    project: str
    body: Any
    path: Mapping[str, str]
    services: Services
    metadata: list[tuple[str, str]]

    @property
    def parent(self) -> str:
        """The project's resource name."""
        return f"projects/{self.project}"

    def read(self, *fields: Field) -> Values:
        """The fields of the request, by name. Raises `MlflowError`."""
        return read(self.body, fields)

    async def rpc(self, name: str, request: Message) -> Any:
        """Calls a method of a service. Raises `RpcFailed`."""
        return await self.services.unary(name, request, self.metadata)

    def stream(self, name: str, request: Message, timeout_s: float = STREAM_TIMEOUT_S) -> AsyncGenerator[Any]:
        """Calls a method that answers with a stream. Raises `RpcFailed`."""
        return self.services.stream(name, request, self.metadata, timeout_s)

    async def send(self, name: str, requests: AsyncIterator[Message], timeout_s: float) -> Any:
        """Calls a method that lets a stream in after its first message, and answers at its end.

        Raises `RpcFailed`, and what `requests` raises.
        """
        return await self.services.send(name, requests, self.metadata, timeout_s)
