"""The gRPC server: services of the contract, every method behind the same stages, health, and a graceful end.

The stages, in order: request id, trace, deadline, load shedding, authenticate, authorize, validate, handler; the error map
takes what any of them raises.
"""

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_health.v1 import health_pb2_grpc

from penstock_kit.access import AccessGuard, access_rule
from penstock_kit.clock import Clock
from penstock_kit.health import Health
from penstock_kit.interceptors.authenticate import Authenticate
from penstock_kit.interceptors.authorize import Authorize
from penstock_kit.interceptors.call import Call, Method, MethodKind, Proceed, Stage, read_request
from penstock_kit.interceptors.deadline import Deadline
from penstock_kit.interceptors.error_map import ErrorMap
from penstock_kit.interceptors.load_shedding import LoadShedding
from penstock_kit.interceptors.request_id import RequestId
from penstock_kit.interceptors.trace import Trace
from penstock_kit.interceptors.validate import RequestValidator, Validate
from penstock_kit.listening import ServerSettings, listen, transport_options
from penstock_kit.metrics import RpcMetrics
from penstock_kit.traces import Tracer

__all__ = ["Codec", "Mount", "Server", "ServerSettings", "ServicerIncomplete", "draining"]

_draining: ContextVar[asyncio.Event] = ContextVar("penstock_draining")


def draining() -> asyncio.Event:
    """Returns an event that is set once the server of the current call is told to stop: a long stream should end then."""
    return _draining.get()


class ServicerIncomplete(Exception):
    """A servicer lacks a method, or has it in the wrong shape. A server with such a servicer does not start."""


@dataclass(frozen=True, slots=True)
class Codec:
    """Reads and writes the messages of one method in place of the generated classes.

    Attributes:
        request_deserializer: bytes → request. Whatever it raises means malformed bytes; a `PenstockError` also says why.
        response_serializer: response → bytes.
    """

    request_deserializer: Callable[[bytes], Any]
    response_serializer: Callable[[Any], bytes]


@dataclass(frozen=True, slots=True)
class Mount:
    """A service of the contract and the object that serves it.

    Attributes:
        service: The descriptor, such as `auth_service_pb2.DESCRIPTOR.services_by_name["AuthService"]`.
        servicer: Has a method named like each RPC. Unary: `async def GetRun(self, request, context)` returns the response.
            Server stream: `async def WatchRun(self, request, context)` yields responses. Bidirectional:
            `async def StreamMetrics(self, requests, context)` iterates over requests and yields responses.
        codecs: Own codecs by method name.
    """

    service: ServiceDescriptor
    servicer: object
    codecs: Mapping[str, Codec] = field(default_factory=dict)


class Server:
    """Serves mounts on one address.

    Args:
        mounts: What is served.
        guard: Decides about each call.
        settings: Where it listens and what it takes.
        clock: For durations.
        tracer: Where spans go; None means that there are none.

    Raises:
        AccessRuleInvalid: A method has no working access rule.
        ServicerIncomplete: A servicer does not serve its contract.
    """

    def __init__(
        self,
        mounts: Sequence[Mount],
        guard: AccessGuard,
        settings: ServerSettings,
        clock: Clock,
        *,
        tracer: Tracer | None = None,
    ) -> None:
        self._settings = settings
        self._validator = RequestValidator()
        self._stages: tuple[Stage, ...] = (
            RequestId(),
            Trace(clock, tracer),
            ErrorMap(),
            Deadline(settings.unary_deadline_s),
            LoadShedding(
                {
                    MethodKind.UNARY: settings.unary_calls_max,
                    MethodKind.SERVER_STREAM: settings.server_streams_max,
                    MethodKind.CLIENT_STREAM: settings.client_streams_max,
                }
            ),
            Authenticate(guard),
            Authorize(guard, settings.stream_recheck_s),
            Validate(self._validator),
        )
        self._services = {mount.service.full_name: self._handlers(mount) for mount in mounts}
        self._draining = asyncio.Event()
        self._address = ""
        self._server: Any = None
        self._health = Health(self._services)

    @property
    def address(self) -> str:
        """`host:port` where it listens, once it is started."""
        assert self._address, "not started"
        return self._address

    @property
    def services(self) -> tuple[str, ...]:
        """The full names of its services."""
        return tuple(self._services)

    async def start(self) -> None:
        """Listens and takes calls. Health says NOT_SERVING until `set_ready`. Raises `SettingsError`, `CannotListen`."""
        server: Any = grpc.aio.server(options=transport_options(self._settings))
        server.add_generic_rpc_handlers(
            tuple(grpc.method_handlers_generic_handler(name, methods) for name, methods in self._services.items())
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        address = listen(server, self._settings)
        await server.start()
        self._server, self._address = server, address

    def set_ready(self, service: str, ready: bool) -> None:
        """Says by health whether a service, by its full name, does its work. The server as a whole is ready if all are."""
        self._health.set_ready(service, ready)

    async def stop(self) -> None:
        """Ends gracefully: health says NOT_SERVING, streams are told, no call is taken, those in flight get `drain_s`."""
        if self._server is None:
            return
        self._health.stop()
        self._draining.set()
        await self._server.stop(self._settings.drain_s)
        self._server = None

    def _handlers(self, mount: Mount) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
        unknown = set(mount.codecs) - set(mount.service.methods_by_name)
        if unknown:
            raise ServicerIncomplete(
                f"{mount.service.full_name} has no method {', '.join(sorted(unknown))} for a codec."
            )
        return {method.name: self._handler(mount, method) for method in mount.service.methods}

    def _handler(self, mount: Mount, descriptor: MethodDescriptor) -> "grpc.RpcMethodHandler[Any, Any]":
        method = self._method(mount, descriptor)
        if method.kind is MethodKind.CLIENT_STREAM:
            run = self._chain(_handle_requests)

            async def stream_stream(_: Any, context: Any) -> None:
                _draining.set(self._draining)
                await run(Call(method, context))

            # Requests of a stream are decoded by the transport as they are read.
            decode = partial(read_request, method.decode)
            return grpc.stream_stream_rpc_method_handler(stream_stream, request_deserializer=decode)
        if method.kind is MethodKind.SERVER_STREAM:
            run = self._chain(_handle_server_stream)

            async def unary_stream(request: bytes, context: Any) -> None:
                _draining.set(self._draining)
                await run(Call(method, context, raw=request))

            return grpc.unary_stream_rpc_method_handler(unary_stream)
        run = self._chain(_handle_unary)

        async def unary_unary(request: bytes, context: Any) -> bytes:
            _draining.set(self._draining)
            call = Call(method, context, raw=request)
            await run(call)
            return call.response

        return grpc.unary_unary_rpc_method_handler(unary_unary)

    def _chain(self, handle: Proceed) -> Proceed:
        proceed = handle
        for stage in reversed(self._stages):
            proceed = partial(stage, proceed=proceed)
        return proceed

    def _method(self, mount: Mount, descriptor: MethodDescriptor) -> Method:
        name = f"{mount.service.full_name}/{descriptor.name}"
        rule = access_rule(descriptor)
        if descriptor.client_streaming and not descriptor.server_streaming:
            raise ServicerIncomplete(f"{name} streams requests to a single response: declare its response as a stream.")
        handler = getattr(mount.servicer, descriptor.name, None)
        wanted = inspect.isasyncgenfunction if descriptor.server_streaming else inspect.iscoroutinefunction
        if handler is None or not wanted(handler):
            shape = "an async generator" if descriptor.server_streaming else "a coroutine function"
            raise ServicerIncomplete(
                f"{type(mount.servicer).__name__}.{descriptor.name} must be {shape}: it serves {name}."
            )
        kind = MethodKind.UNARY
        if descriptor.server_streaming:
            kind = MethodKind.CLIENT_STREAM if descriptor.client_streaming else MethodKind.SERVER_STREAM
        codec = mount.codecs.get(descriptor.name) or self._codec(descriptor)
        return Method(
            name, kind, rule, handler, codec.request_deserializer, codec.response_serializer, RpcMetrics(name)
        )

    def _codec(self, descriptor: MethodDescriptor) -> Codec:
        request_class: Any = message_factory.GetMessageClass(descriptor.input_type)
        response_class: Any = message_factory.GetMessageClass(descriptor.output_type)
        if not descriptor.client_streaming:
            return Codec(request_class.FromString, response_class.SerializeToString)

        def read_valid(raw: bytes) -> Any:
            request = request_class.FromString(raw)
            self._validator.check(request)
            return request

        return Codec(read_valid, response_class.SerializeToString)


async def _handle_unary(call: Call) -> None:
    call.response = call.method.encode(await call.method.handler(call.request, call.context))


async def _handle_server_stream(call: Call) -> None:
    await _write(call, call.method.handler(call.request, call.context))


async def _handle_requests(call: Call) -> None:
    await _write(call, call.method.handler(call.requests(), call.context))


async def _write(call: Call, responses: Any) -> None:
    encode, write = call.method.encode, call.context.write
    # Closing at once: what a handler holds is free when its call is over, not when the garbage is collected.
    async with aclosing(responses):
        async for response in responses:
            await write(encode(response))
