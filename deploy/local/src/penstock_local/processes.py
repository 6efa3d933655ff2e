"""The whole platform as processes of its own: auth, the other services, tracking maybe several times, gateway, dashboard.

Where tracking keeps metrics on a server, which several processes may write, compaction is a process too.

Each is started as on a machine of a cluster, with its settings in its environment, and started again when it dies. Addresses
are chosen once, so whoever comes back is found where it was.
"""

import asyncio
import os
import ssl
import time
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from penstock.client import AsyncClient
from penstock.config import Connection
from penstock_gateway.listeners import check, local_address
from penstock_gateway.settings import ENVIRONMENT_PREFIX, ListenSettings
from penstock_kit.settings import load
from penstock_local.child_process import ChildProcess
from penstock_local.dashboard import dashboard_process
from penstock_local.datadir import DataDirectory
from penstock_local.front import Addresses, explained
from penstock_local.platform import SERVICE_DRAIN_S, CannotStart
from penstock_local.ports import HOST, free_ports
from penstock_local.services import SERVICES, Service
from penstock_local.stores import StoreUrls

__all__ = ["ProcessPlatform"]

READY_TIMEOUT_S = 60.0
READY_POLL_S = 0.05
PROBE_TIMEOUT_S = 2.0

_PREFIXES = ("PENSTOCK_AUTH_", *(f"{service.prefix}_" for service in SERVICES))


class ProcessPlatform:
    """Everything, each part in a process of its own, started and stopped as one.

    Args:
        data: The locked data directory. The processes hold its lock too: what a launcher that was killed leaves behind is
            gone before another one begins.
        addresses: Where to listen.
        stores: Where the services keep things.
        tracking_replicas: How many tracking services share the work. More than one need stores that are servers.
    """

    def __init__(
        self, data: DataDirectory, addresses: Addresses, stores: StoreUrls, *, tracking_replicas: int = 1
    ) -> None:
        self._data = data
        self._stores = stores
        self._addresses = addresses
        self._tracking_replicas = tracking_replicas
        self._auth_address = ""
        self._addresses_of: dict[str, str] = {}
        self._auth: ChildProcess | None = None
        self._services: list[ChildProcess] = []
        self._gateway: ChildProcess | None = None
        self._dashboard: ChildProcess | None = None
        self.http_url = ""
        """The HTTP address for this machine, once it is started."""
        self.grpc_address = ""
        """The gRPC address for this machine, `host:port`, once it is started."""

    async def start(self) -> bool:
        """Starts everything and returns when it answers. Returns whether the dashboard does too; if not, it is tried again.

        Raises:
            PortTaken: Another program listens on one of the ports.
            CannotStart: The data cannot be opened, or a part does not get ready.
            InvalidInput: The address cannot be used, for one because it is not loopback and there is no certificate.
        """
        replicas = {service.name: self._replicas(service.name) for service in SERVICES}
        auth, dashboard, http, grpc_port, *ports = free_ports(4 + sum(map(len, replicas.values())))
        addresses = Addresses(
            self._addresses.host, self._addresses.http_port or http, self._addresses.grpc_port or grpc_port
        )
        environment = addresses.environment()
        with explained():
            settings = load(ListenSettings, ENVIRONMENT_PREFIX, environment)
            check(settings)
        scheme = "http" if settings.tls_certificate_file is None else "https"
        self.http_url = f"{scheme}://{local_address(settings.http_address)}"
        self.grpc_address = local_address(settings.grpc_address)
        self._auth_address = f"{HOST}:{auth}"
        at = iter(f"{HOST}:{port}" for port in ports)
        places = {name: {replica: next(at) for replica in several} for name, several in replicas.items()}
        self._addresses_of = {
            "auth": self._auth_address,
            **{name: ",".join(several.values()) for name, several in places.items()},
        }
        # The dashboard takes the longest, so it starts first.
        self._dashboard = dashboard_process(
            gateway_http=self.http_url,
            gateway_grpc=self.grpc_address,
            log_file=self._data.logs / "dashboard.log",
            port=dashboard,
        )
        self._auth = self._service("auth", "auth", environment, self._auth_settings())
        self._services = [
            self._service(replica, service.name, environment, self._settings(service, address))
            for service in SERVICES
            for replica, address in places[service.name].items()
        ]
        self._services += [
            self._service(
                "compactor", service.name, environment, self._settings(service), module="penstock_tracking.compactor"
            )
            for service in SERVICES
            if self._compacts_apart(service)
        ]
        self._gateway = self._service(
            "gateway",
            "gateway",
            environment,
            {
                "PENSTOCK_GATEWAY_AUTH_ADDRESS": self._auth_address,
                **{f"PENSTOCK_GATEWAY_{name.upper()}_ADDRESS": self._addresses_of[name] for name in places},
                "PENSTOCK_GATEWAY_DASHBOARD_URL": f"http://{HOST}:{dashboard}",
            },
        )
        try:
            children = [self._auth, *self._services, self._gateway]
            for child in (self._dashboard, *children):
                child.start()
            await self._until_ready(children, [place for several in places.values() for place in several.values()])
            return await self._dashboard.first_attempt(READY_TIMEOUT_S)
        except BaseException:
            await self.stop()
            raise

    async def owner_credential(self) -> str:
        """The token of the local owner."""
        return (await asyncio.to_thread(self._data.owner_credential_file.read_text)).strip()

    async def setup_link(self) -> str:
        """A fresh link with which a browser signs in as the owner, once."""
        # Straight to auth: the certificate of the gateway need not be one for this machine's loopback.
        connection = Connection(
            f"http://{self._auth_address}", self._auth_address, await self.owner_credential(), "launcher"
        )
        async with AsyncClient(connection) as client:
            return f"{self.http_url}/setup#{(await client.create_setup_link()).secret}"

    async def stop(self) -> None:
        """Stops everything, the front door first. The dashboard ends meanwhile."""
        dashboard = asyncio.create_task(self._dashboard.stop()) if self._dashboard is not None else None
        if self._gateway is not None:
            await self._gateway.stop()
        await asyncio.gather(*(service.stop() for service in self._services))
        if self._auth is not None:
            await self._auth.stop()
        if dashboard is not None:
            await dashboard

    def _service(
        self, name: str, service: str, environ: Mapping[str, str], settings: Mapping[str, str], *, module: str = ""
    ) -> ChildProcess:
        """Returns a service that is not started. As in one process, the environment sets nothing of those behind the door."""
        prefix = f"PENSTOCK_{service.upper()}"
        environment = {key: value for key, value in environ.items() if not key.startswith(_PREFIXES)}
        environment |= {f"{prefix}_DRAIN_S": str(SERVICE_DRAIN_S), f"{prefix}_EXIT_WITH_PARENT": "1", **settings}
        inherited = () if os.name == "nt" else (self._data.lock,)
        return ChildProcess(
            name, module or f"penstock_{service}", environment, self._data.logs / f"{name}.log", inherited=inherited
        )

    def _settings(self, service: Service, address: str = "") -> dict[str, str]:
        own = {"compaction": "false"} if self._compacts_apart(service) else {}
        return service.environment(self._data, self._stores, self._addresses_of, address=address, **own)

    def _compacts_apart(self, service: Service) -> bool:
        return service.name == "tracking" and self._stores.metric_log != ""

    def _auth_settings(self) -> dict[str, str]:
        return {
            "PENSTOCK_AUTH_ADDRESS": self._auth_address,
            "PENSTOCK_AUTH_DATA_DIR": str(self._data.auth),
            "PENSTOCK_AUTH_SERVICE_CREDENTIAL_FILE": str(self._data.service_credential_file),
            "PENSTOCK_AUTH_OWNER_CREDENTIAL_FILE": str(self._data.owner_credential_file),
            "PENSTOCK_AUTH_DOCUMENTS_URL": self._stores.auth_documents,
        }

    def _replicas(self, service: str) -> list[str]:
        if service != "tracking" or self._tracking_replicas == 1:
            return [service]
        return [f"{service}-{number}" for number in range(1, self._tracking_replicas + 1)]

    async def _until_ready(self, children: Sequence[ChildProcess], addresses: Sequence[str]) -> None:
        end_s = time.monotonic() + READY_TIMEOUT_S
        late = list(addresses)
        while True:
            for child in children:
                if child.has_ended:
                    raise CannotStart(f"{child.name} does not start: {child.last_words or 'it said nothing.'}")
            late = [address for address in late if not await _serves(address)]
            # The gateway last: it is ready when it has found auth and one of each of the others.
            if not late and await asyncio.to_thread(_answers, f"{self.http_url}/healthz"):
                return
            if time.monotonic() > end_s:
                raise CannotStart(f"Not ready after {READY_TIMEOUT_S:.0f} s. The logs say more: {self._data.logs}")
            await asyncio.sleep(READY_POLL_S)


async def _serves(address: str) -> bool:
    async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=PROBE_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def _answers(url: str) -> bool:
    context = ssl.create_default_context()
    # Our own child on loopback: its certificate is for those who come from elsewhere.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # No proxy of the environment: it is for the internet.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=PROBE_TIMEOUT_S):
            return True
    except OSError:
        return False
