"""Serves the JSON twins: finds the route, builds the request, calls the service, answers in JSON or in lines of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from penstock_gateway.backends import Backends
from penstock_gateway.bodies import read_body
from penstock_gateway.callers import Callers, bearer_token
from penstock_gateway.errors import (
    ContentTypeUnsupported,
    QueryInvalid,
    RpcFailed,
    Stopping,
    backend_status,
    error_bytes,
)
from penstock_gateway.json_twins.requests import build_request
from penstock_gateway.json_twins.responses import message_json
from penstock_gateway.json_twins.routes import Route, Routes
from penstock_gateway.json_twins.templates import RequestPath
from penstock_gateway.tracing import Metadata, carried
from penstock_kit.traces import Tracer

__all__ = ["QUERY_PARAMETERS_MAX", "UNARY_TIMEOUT_S", "JsonTwins"]

UNARY_TIMEOUT_S = 60.0
QUERY_PARAMETERS_MAX = 10_000

OFFLOAD_BYTES = 65_536
"""Larger messages are converted in a thread: JSON of megabytes would hold the event loop, and every stream on it."""

# The stubs of grpc.aio know neither calls of bytes nor EOF.
Call = Any
EOF: Any = grpc.aio.EOF  # pyrefly: ignore[missing-attribute] - the stubs lack it


class JsonTwins:
    """The handler of every path under `/api/`.

    Args:
        backends: Where to call.
        routes: What there is.
        callers: Makes the metadata of calls.
        tracer: Where spans go; None means that there are none.
    """

    def __init__(self, backends: Backends, routes: Routes, callers: Callers, tracer: Tracer | None = None) -> None:
        self._tracer = tracer
        self._backends = backends
        self._routes = routes
        self._callers = callers
        self._streams: set[Call] = set()
        self._stopping = False

    async def __call__(self, request: Request) -> Response:
        """Answers a request. Raises `PenstockError`."""
        route, path = self._routes.find(request.method, RequestPath.parse(request.scope["raw_path"]))
        request.state.route = route.template_text
        query = _query(request)
        _check_content_type(request)
        body = await read_body(request)
        # A route fills at least the path's fields, so building is cheap but for the body.
        if len(body) > OFFLOAD_BYTES:
            message = await asyncio.to_thread(build_request, route, path, query, body)
        else:
            message = build_request(route, path, query, body)
        secret = bearer_token(request)
        metadata = await self._callers.metadata(request, secret)
        try:
            with carried(self._tracer, route.grpc_path.removeprefix("/"), metadata) as (outgoing, end):
                try:
                    if route.method.server_streaming:
                        response = await self._stream(route, message, outgoing)
                    else:
                        response = await self._unary(route, message, outgoing)
                except grpc.aio.AioRpcError as error:
                    end(error.code())
                    raise
                end(grpc.StatusCode.OK)
                return response
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                self._callers.refused(secret)
            raise RpcFailed(backend_status(error, route.backend)) from error

    def end_streams(self) -> None:
        """Ends every stream with an UNAVAILABLE (STOPPING) line: they have no end of their own to wait for."""
        self._stopping = True
        for call in list(self._streams):
            call.cancel()

    async def _unary(self, route: Route, message: Message, metadata: Metadata) -> Response:
        call = self._backends[route.backend].channel.unary_unary(route.grpc_path)
        answer = await call(message.SerializeToString(), metadata=metadata, timeout=UNARY_TIMEOUT_S)
        return Response(await _json(route, answer), media_type="application/json")

    async def _stream(self, route: Route, message: Message, metadata: Metadata) -> Response:
        call = self._backends[route.backend].channel.unary_stream(route.grpc_path)(
            message.SerializeToString(), metadata=metadata
        )
        # An error before the first message is still an HTTP status of its own.
        first = await call.read()
        return StreamingResponse(self._lines(route, call, first), media_type="application/x-ndjson")

    async def _lines(self, route: Route, call: Call, first: bytes) -> AsyncIterator[bytes]:
        self._streams.add(call)
        try:
            piece = first
            while piece is not EOF:
                yield await _json(route, piece) + b"\n"
                piece = await call.read()
        except grpc.aio.AioRpcError as error:
            yield error_bytes(RpcFailed(backend_status(error, route.backend))) + b"\n"
        except asyncio.CancelledError:
            if not (self._stopping and call.cancelled()):
                raise
            yield error_bytes(Stopping("The gateway is stopping. Connect again.")) + b"\n"
        finally:
            self._streams.discard(call)
            call.cancel()


async def _json(route: Route, answer: bytes) -> bytes:
    message_type = GetMessageClass(route.method.output_type)
    if len(answer) > OFFLOAD_BYTES:
        return await asyncio.to_thread(lambda: message_json(message_type.FromString(answer)))
    return message_json(message_type.FromString(answer))


def _query(request: Request) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            request.scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(request.scope["query_string"]),
            errors="strict",
            max_num_fields=QUERY_PARAMETERS_MAX,
        )
    except ValueError as error:
        raise QueryInvalid(
            f"The query is not of the form name=value&name=value in UTF-8, with at most {QUERY_PARAMETERS_MAX} parameters."
        ) from error


def _check_content_type(request: Request) -> None:
    declared = request.headers.get("content-type", "")
    media_type, _, parameters = declared.partition(";")
    if not declared:
        if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
            raise ContentTypeUnsupported("A body needs the header Content-Type: application/json.")
        return
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if media_type.strip().lower() != "application/json" or charset not in {"", "utf-8"}:
        raise ContentTypeUnsupported(f"A body here is application/json in UTF-8, not {declared}.")
