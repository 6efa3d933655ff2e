"""Composition root: puts the gateway together from its settings, and starts and stops it."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from importlib import metadata

import uvicorn
from grpc_health.v1 import health_pb2_grpc

from penstock_gateway.backends import SERVICES, Backends
from penstock_gateway.callers import Callers
from penstock_gateway.dashboard import DashboardProxy
from penstock_gateway.files import Files
from penstock_gateway.health import AggregatedHealth
from penstock_gateway.hosts import HostList
from penstock_gateway.http import HttpApplication, Identity
from penstock_gateway.json_twins.handler import JsonTwins
from penstock_gateway.json_twins.routes import Routes
from penstock_gateway.listeners import Listeners
from penstock_gateway.mlflow.api import MlflowApi
from penstock_gateway.proxy import GrpcProxy
from penstock_gateway.settings import Settings
from penstock_gateway.tokens import TokenExchange
from penstock_kit.clock import Clock
from penstock_kit.traces import Tracer

__all__ = ["Gateway", "build"]

CONNECTIONS_MAX = 2_000
"""HTTP connections at one time; further ones are answered 503."""

HEADER_BYTES_MAX = 65_536
KEEP_ALIVE_S = 30


class Gateway:
    """The running gateway. Made by `build`.

    Args:
        settings: What the operator set.
        listeners: The bound ports, which are closed with it.
        clock: Tells when a token has ended.
        tracer: Where spans go; None means that there are none.
    """

    def __init__(self, settings: Settings, listeners: Listeners, clock: Clock, tracer: Tracer | None = None) -> None:
        self._settings = settings
        self._listeners = listeners
        self._backends = Backends({name: getattr(settings, f"{name}_address") for name in SERVICES})
        self._proxy = GrpcProxy(self._backends, tracer)
        routes = Routes(SERVICES.items())
        callers = Callers(TokenExchange(self._backends["auth"], clock))
        self._twins = JsonTwins(self._backends, routes, callers, tracer)
        self._dashboard = DashboardProxy(settings.dashboard_url, "https" if listeners.tls else "http")
        identity = Identity(
            settings.public_grpc_address or listeners.grpc_address, metadata.version("penstock-gateway")
        )
        application = HttpApplication(
            backends=self._backends,
            routes=routes,
            twins=self._twins,
            files=Files(self._backends["artifact"], callers),
            mlflow=MlflowApi(
                {name: self._backends[name] for name in ("tracking", "registry", "artifact")}, callers, tracer
            ),
            dashboard=self._dashboard,
            hosts=HostList(settings.public_hosts.split(",")),
            identity=identity,
            metrics_token=settings.metrics_token,
        )
        self._http = _HttpServer(
            uvicorn.Config(
                application,
                lifespan="off",
                ws="none",
                http="h11",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=CONNECTIONS_MAX,
                h11_max_incomplete_event_size=HEADER_BYTES_MAX,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, round(settings.drain_s)),
                ssl_certfile=settings.tls_certificate_file,
                ssl_keyfile=settings.tls_key_file,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serves both ports. Returns once they answer."""
        # These libraries report every connection and request; what matters of them is in our own figures and lines.
        for library in ("uvicorn.error", "httpx2", "httpcore2"):
            logging.getLogger(library).setLevel(logging.WARNING)
        server = self._listeners.grpc_server
        server.add_generic_rpc_handlers((self._proxy,))
        health_pb2_grpc.add_HealthServicer_to_server(AggregatedHealth(self._backends), server)
        await server.start()
        self._serving = asyncio.create_task(self._http.serve([self._listeners.http_socket]))
        while not self._http.started:
            if self._serving.done():
                self._serving.result()
                raise RuntimeError("the HTTP server ended while starting")
            await asyncio.sleep(0.005)

    def show_dashboard(self, url: str) -> None:
        """Says where the dashboard listens now; empty while it does not."""
        self._dashboard.url = url

    async def services_ready(self) -> dict[str, bool]:
        """Asks each service behind the gateway whether it is ready, by its name."""
        return await self._backends.ready()

    async def stop(self) -> None:
        """Takes no more calls, ends streams, lets the others go on for `drain_s` at most, closes everything."""
        self._http.should_exit = True
        self._twins.end_streams()
        self._proxy.end_streams()
        await self._listeners.grpc_server.stop(self._settings.drain_s)
        if self._serving is not None:
            await self._serving
        self._listeners.http_socket.close()
        await self._dashboard.close()
        await self._backends.close()


def build(settings: Settings, listeners: Listeners, clock: Clock, *, tracer: Tracer | None = None) -> Gateway:
    """Puts a gateway together. Must be called within the event loop that runs it; starts nothing."""
    return Gateway(settings, listeners, clock, tracer)


class _HttpServer(uvicorn.Server):
    """A server that leaves signals to the process it is part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
