"""The whole platform in one process: the services and the gateway on one event loop, the dashboard in a process beside it.

The services talk gRPC over loopback here as everywhere. Each keeps its embedded stores in a directory of its own.
"""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.errors import PenstockError
from penstock_gateway.listeners import Listeners, bind
from penstock_gateway.settings import ENVIRONMENT_PREFIX, ListenSettings
from penstock_kit.heaps import share_heaps
from penstock_kit.listening import CannotListen, ServerSettings
from penstock_kit.settings import SettingsError, load
from penstock_local.dashboard import dashboard_process
from penstock_local.datadir import DataDirectory
from penstock_local.front import Addresses, explained
from penstock_local.services import SERVICES, Service
from penstock_local.stores import StoreUrls

if TYPE_CHECKING:
    from penstock_auth.app import AuthApplication
    from penstock_gateway.app import Gateway
    from penstock_kit.clock import Clock
    from penstock_kit.traces import Tracer
    from penstock_local.child_process import ChildProcess

__all__ = ["READY_TIMEOUT_S", "SERVICE_DRAIN_S", "CannotStart", "Platform"]

SERVICE_DRAIN_S = 2.0
"""How long calls may go on in each service after the order to stop."""

READY_TIMEOUT_S = 30.0
READY_POLL_S = 0.02


class CannotStart(PenstockError):
    """A part of the platform cannot start. The message says which and why."""

    default_reason = "CANNOT_START"


class Platform:
    """Everything, started and stopped as one.

    Args:
        data: The locked data directory.
        addresses: Where to listen.
        stores: Where the services keep things.

    What the environment sets of the gateway (`PENSTOCK_GATEWAY_...`, such as its certificate) holds here too.
    """

    def __init__(self, data: DataDirectory, addresses: Addresses, stores: StoreUrls) -> None:
        self._data = data
        self._stores = stores
        self._addresses = addresses
        self._listeners: Listeners | None = None
        self._auth: AuthApplication | None = None
        self._gateway: Gateway | None = None
        self._dashboard: ChildProcess | None = None
        self._dashboard_url = ""
        self._environment: dict[str, str] = {}
        self._tracer: Tracer | None = None
        # How to stop what was started, in the order in which it was.
        self._stops: list[Callable[[], Coroutine[None, None, None]]] = []

    @property
    def http_url(self) -> str:
        """The HTTP address for this machine, once it is started."""
        assert self._listeners is not None, "not started"
        return self._listeners.local_http_url

    @property
    def grpc_address(self) -> str:
        """The gRPC address for this machine, `host:port`, once it is started."""
        assert self._listeners is not None, "not started"
        return self._listeners.local_grpc_address

    async def start(self) -> bool:
        """Starts everything and returns when it answers. Returns whether the dashboard does too; if not, it is tried again.

        Raises:
            PortTaken: Another program listens on one of the ports.
            CannotStart: The data cannot be opened, or a part does not get ready.
            InvalidInput: The address cannot be used, for one because it is not loopback and there is no certificate.
        """
        share_heaps()
        try:
            self._environment = self._addresses.environment()
            with explained():
                self._listeners = listeners = bind(load(ListenSettings, ENVIRONMENT_PREFIX, self._environment))
            # The dashboard takes the longest, so it starts first and in parallel with everything below.
            self._dashboard = dashboard_process(
                gateway_http=listeners.local_http_url,
                gateway_grpc=listeners.local_grpc_address,
                log_file=self._data.logs / "dashboard.log",
                moved=self._dashboard_moved,
            )
            self._dashboard.start()
            self._stops.append(self._dashboard.stop)
            await asyncio.sleep(0)  # lets the process start before imports take the loop for a while
            await self._start_services(listeners)
            return await self._dashboard.first_attempt(READY_TIMEOUT_S)
        except BaseException:
            await self.stop()
            raise

    async def owner_credential(self) -> str:
        """The token of the local owner."""
        assert self._auth is not None, "not started"
        return await self._auth.owner_credential()

    async def setup_link(self) -> str:
        """A fresh link with which a browser signs in as the owner, once."""
        from penstock_auth.bootstrap import OWNER

        assert self._auth is not None, "not started"
        return f"{self.http_url}/setup#{await self._auth.mint_setup_link(OWNER.name)}"

    async def stop(self) -> None:
        """Stops everything, what was started last first. The dashboard ends meanwhile."""
        dashboard = asyncio.create_task(self._stops.pop(0)()) if self._dashboard is not None and self._stops else None
        while self._stops:
            await self._stops.pop()()
        if dashboard is not None:
            await dashboard

    async def _start_services(self, listeners: Listeners) -> None:
        # Not before the dashboard is on its way: these take most of a second.
        from penstock_auth.errors import StartError
        from penstock_kit.clock import SystemClock
        from penstock_kit.stores.embedded.sqlite import StoreFileError
        from penstock_kit.stores.errors import StoreError
        from penstock_kit.traces import tracer_from_environment

        clock = SystemClock()
        self._tracer = tracer_from_environment(os.environ)
        if self._tracer is not None:
            self._stops.append(self._tracer.close)
        try:
            auth_address = await self._start_auth(clock)
            addresses = {"auth": auth_address}
            for service in SERVICES:
                addresses[service.name] = await self._start_service(service, addresses, clock)
            await self._start_gateway(listeners, addresses, clock)
        except (StartError, StoreError, StoreFileError, SettingsError, CannotListen) as error:
            raise CannotStart(str(error)) from error

    async def _start_auth(self, clock: "Clock") -> str:
        from penstock_auth.app import build, open_stores
        from penstock_auth.settings import AuthSettings
        from penstock_kit.application import Running

        settings = AuthSettings(
            data_dir=self._data.auth,
            service_credential_file=self._data.service_credential_file,
            owner_credential_file=self._data.owner_credential_file,
            documents_url=self._stores.auth_documents,
        )
        self._auth = build(settings, await open_stores(settings), clock)
        await self._auth.bootstrap()
        running = Running(
            self._auth.application,
            self._auth.guard,
            ServerSettings(drain_s=SERVICE_DRAIN_S),
            clock,
            tracer=self._tracer,
        )
        await running.start()
        self._stops.append(running.stop)
        return running.address

    async def _start_service(self, service: Service, addresses: Mapping[str, str], clock: "Clock") -> str:
        from penstock_kit.application import Running
        from penstock_kit.tokens import RemoteGuard

        parts = service.parts()
        environment = service.environment(self._data, self._stores, addresses)
        settings = load(parts.settings, service.prefix, environment)
        application = parts.build(settings, await parts.open_stores(settings, clock), clock)
        guard = RemoteGuard(addresses["auth"], self._data.service_credential_file, clock)
        await guard.start()
        self._stops.append(guard.close)
        running = Running(application, guard, ServerSettings(drain_s=SERVICE_DRAIN_S), clock, tracer=self._tracer)
        await running.start()
        self._stops.append(running.stop)
        return running.address

    async def _start_gateway(self, listeners: Listeners, addresses: Mapping[str, str], clock: "Clock") -> None:
        from penstock_gateway.app import build
        from penstock_gateway.settings import Settings

        environment = {
            **self._environment,
            **{f"{ENVIRONMENT_PREFIX}_{name.upper()}_ADDRESS": address for name, address in addresses.items()},
            f"{ENVIRONMENT_PREFIX}_DASHBOARD_URL": self._dashboard_url,
        }
        settings = replace(load(Settings, ENVIRONMENT_PREFIX, environment), drain_s=SERVICE_DRAIN_S)
        gateway = build(settings, listeners, clock, tracer=self._tracer)
        # From here on it hears where the dashboard is, also while it starts.
        self._gateway = gateway
        self._stops.append(gateway.stop)
        await gateway.start()
        await self._until_ready(gateway)

    async def _until_ready(self, gateway: "Gateway") -> None:
        end_s = time.monotonic() + READY_TIMEOUT_S
        while not all((services := await gateway.services_ready()).values()):
            if time.monotonic() > end_s:
                late = ", ".join(name for name, ready in services.items() if not ready)
                raise CannotStart(
                    f"Not ready after {READY_TIMEOUT_S:.0f} s: {late}. The log says more: {self._data.logs}"
                )
            await asyncio.sleep(READY_POLL_S)

    def _dashboard_moved(self, url: str) -> None:
        self._dashboard_url = url
        if self._gateway is not None:
            self._gateway.show_dashboard(url)
