"""A gateway in a test: in front of real services, or of a server that answers as the test says."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx2
from support.auth import AuthServer, auth_server

import penstock_artifact.app
import penstock_registry.app
import penstock_tracking.app
from penstock_artifact.settings import ArtifactSettings
from penstock_gateway.app import Gateway, build
from penstock_gateway.listeners import Listeners, bind
from penstock_gateway.settings import Settings
from penstock_kit.application import Running
from penstock_kit.clock import SystemClock
from penstock_kit.server import ServerSettings
from penstock_kit.tokens import RemoteGuard
from penstock_kit.traces import Tracer
from penstock_registry.settings import RegistrySettings
from penstock_tracking.settings import TrackingSettings

NOWHERE = "127.0.0.1:1"
"""An address where nothing listens."""

RawHandler = Callable[[Any, Any], Awaitable[Any]]


@dataclass
class Front:
    """A running gateway.

    Attributes:
        gateway: The gateway.
        listeners: Its ports.
        http: A client of its HTTP side.
        channel: To its gRPC side.
    """

    gateway: Gateway
    listeners: Listeners
    http: httpx2.AsyncClient
    channel: Any


@asynccontextmanager
async def gateway_before(
    auth: str = NOWHERE,
    tracking: str = NOWHERE,
    registry: str = NOWHERE,
    artifact: str = NOWHERE,
    *,
    tracer: Tracer | None = None,
    **settings: Any,
) -> AsyncGenerator[Front]:
    """Runs a gateway before services at these addresses."""
    values = {"http_address": "127.0.0.1:0", "grpc_address": "127.0.0.1:0", "drain_s": 1.0, **settings}
    whole = Settings(
        auth_address=auth,
        tracking_address=tracking,
        registry_address=registry,
        artifact_address=artifact,
        **values,
    )
    listeners = bind(whole)
    gateway = build(whole, listeners, SystemClock(), tracer=tracer)
    await gateway.start()
    try:
        async with (
            httpx2.AsyncClient(base_url=listeners.local_http_url, trust_env=False, timeout=20) as http,
            grpc.aio.insecure_channel(listeners.grpc_address, options=[("grpc.enable_retries", 0)]) as channel,
        ):
            yield Front(gateway, listeners, http, channel)
    finally:
        await gateway.stop()


@dataclass
class Installation:
    """Auth, tracking, the registry and the artifact service, with a gateway before them.

    Attributes:
        front: The gateway.
        auth: The auth service.
        token: The owner's personal access token.
    """

    front: Front
    auth: AuthServer
    token: str

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        """Makes a request as the owner, with a body in JSON if there is one."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        if body is not None:
            options["json"] = body
        return await self.front.http.request(method, path, headers=headers, **options)


@asynccontextmanager
async def installation(
    directory: Path, *, artifact_stores: Mapping[str, str] | None = None, **settings: Any
) -> AsyncGenerator[Installation]:
    """Runs auth, tracking, the registry, the artifact service and the gateway over data below `directory`.

    Args:
        directory: For all data.
        artifact_stores: Settings of the artifact service about its stores.
        settings: Of the gateway.
    """
    clock = SystemClock()
    async with auth_server(directory, clock) as auth:
        tracking_settings = TrackingSettings(
            data_dir=directory,
            auth_address=auth.address,
            service_credential_file=auth.settings.service_credential_file,
        )
        registry_settings = RegistrySettings(
            data_dir=directory / "registry",
            auth_address=auth.address,
            service_credential_file=auth.settings.service_credential_file,
        )
        artifact_settings = ArtifactSettings(
            data_dir=directory / "artifact",
            auth_address=auth.address,
            service_credential_file=auth.settings.service_credential_file,
            **(artifact_stores or {}),
        )
        guard = RemoteGuard(auth.address, auth.settings.service_credential_file, clock)
        await guard.start()
        tracking_stores = await penstock_tracking.app.open_stores(tracking_settings, clock)
        registry_stores = await penstock_registry.app.open_stores(registry_settings, clock)
        opened_artifact_stores = await penstock_artifact.app.open_stores(artifact_settings, clock)
        tracking, registry, artifact = (
            Running(application, guard, ServerSettings(drain_s=0.5), clock)
            for application in (
                penstock_tracking.app.build(tracking_settings, tracking_stores, clock),
                penstock_registry.app.build(registry_settings, registry_stores, clock),
                penstock_artifact.app.build(artifact_settings, opened_artifact_stores, clock),
            )
        )
        await tracking.start()
        await registry.start()
        await artifact.start()
        try:
            async with gateway_before(
                auth.address, tracking.address, registry.address, artifact.address, **settings
            ) as front:
                while not all((await front.gateway.services_ready()).values()):  # noqa: ASYNC110 - nothing rings then
                    await asyncio.sleep(0.01)
                yield Installation(front, auth, await auth.auth.owner_credential())
        finally:
            await artifact.stop()
            await registry.stop()
            await tracking.stop()
            await guard.close()


async def raw_get(front: Front, target: bytes, *headers: bytes) -> bytes:
    """Sends a GET with a request target as it is, which no client library would do. Returns all that is answered."""
    host, _, port = front.listeners.http_address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [b"GET " + target + b" HTTP/1.1", b"Host: localhost", b"Connection: close", *headers, b"", b""]
    writer.write(b"\r\n".join(lines))
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
        await writer.wait_closed()


class RawServer(grpc.GenericRpcHandler):
    """A gRPC server whose methods, by path, are coroutines over bytes: `(request_iterator, context)`."""

    def __init__(self, handlers: dict[str, RawHandler]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        handler = self._handlers.get(handler_call_details.method)
        return None if handler is None else grpc.stream_stream_rpc_method_handler(handler)


@asynccontextmanager
async def raw_server(handlers: dict[str, RawHandler]) -> AsyncGenerator[str]:
    """Serves handlers on a free port. Yields `host:port`."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1), ("grpc.http2.bdp_probe", 0)])
    server.add_generic_rpc_handlers((RawServer(handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
