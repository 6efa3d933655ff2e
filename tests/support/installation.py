"""A whole installation but for the dashboard, in a thread of its own: for clients that block, and for processes.

Auth, tracking, the registry and the artifact service on one port, over embedded stores; the gateway in front of them.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from support.auth import settings_in

import penstock_artifact.app
import penstock_auth.app
import penstock_gateway.app
import penstock_gateway.listeners
import penstock_gateway.settings
import penstock_registry.app
import penstock_tracking.app
from penstock.config import Connection
from penstock_artifact.settings import ArtifactSettings
from penstock_kit.application import Application, Running
from penstock_kit.clock import SystemClock
from penstock_kit.server import ServerSettings
from penstock_local.ports import free_ports
from penstock_registry.settings import RegistrySettings
from penstock_tracking.settings import TrackingSettings

START_TIMEOUT_S = 30.0


@dataclass
class Installation:
    """A running installation.

    Attributes:
        http: The gateway's HTTP address.
        grpc: The gRPC address of the services, past the gateway.
        token: The owner's token.
    """

    http: str
    grpc: str
    token: str = field(repr=False)

    @property
    def connection(self) -> Connection:
        """As the owner, straight to the services."""
        return Connection(self.http, self.grpc, self.token, "tests")

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find it: the gateway, which tells its gRPC address."""
        return {"PENSTOCK_URL": self.http, "PENSTOCK_TOKEN": self.token}


@contextmanager
def installation(
    directory: Path,
    *,
    webhook_hosts: str = "",
    artifact_settings: Mapping[str, str] | None = None,
    services_settings: ServerSettings = ServerSettings(drain_s=0.5),  # noqa: B008 - frozen
) -> Iterator[Installation]:
    """Runs an installation whose data lies below `directory`.

    Args:
        directory: The folder.
        webhook_hosts: Hosts of this machine to which its webhooks may go.
        artifact_settings: Further settings of its artifact service.
        services_settings: How its services serve.
    """
    ready: list[Installation | BaseException] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        clock = SystemClock()
        settings = settings_in(directory)
        # The registry calls the others, so it must know where all of them will be.
        (port,) = free_ports(1)
        address = f"127.0.0.1:{port}"
        auth = penstock_auth.app.build(settings, await penstock_auth.app.open_stores(settings), clock)
        await auth.bootstrap()
        tracking_settings = TrackingSettings(
            data_dir=directory, auth_address="", service_credential_file=settings.service_credential_file
        )
        tracking = penstock_tracking.app.build(
            tracking_settings, await penstock_tracking.app.open_stores(tracking_settings, clock), clock
        )

        registry_settings = RegistrySettings(
            data_dir=directory / "registry",
            auth_address=address,
            service_credential_file=settings.service_credential_file,
            artifact_address=address,
            tracking_address=address,
            webhook_hosts=webhook_hosts,
        )
        registry = penstock_registry.app.build(
            registry_settings, await penstock_registry.app.open_stores(registry_settings, clock), clock
        )

        of_artifact = ArtifactSettings(
            data_dir=directory / "artifact",
            auth_address="",
            service_credential_file=settings.service_credential_file,
            **artifact_settings or {},
        )
        artifact = penstock_artifact.app.build(
            of_artifact, await penstock_artifact.app.open_stores(of_artifact, clock), clock
        )

        async def close() -> None:
            await artifact.close()
            await registry.close()
            await tracking.close()
            await auth.application.close()

        services_together = Application(
            mounts=[*auth.application.mounts, *tracking.mounts, *registry.mounts, *artifact.mounts],
            jobs=[*auth.application.jobs, *tracking.jobs, *registry.jobs, *artifact.jobs],
            close=close,
        )
        services = Running(services_together, auth.guard, replace(services_settings, address=address), clock)
        await services.start()
        front = penstock_gateway.settings.Settings(
            http_address="127.0.0.1:0",
            grpc_address="127.0.0.1:0",
            auth_address=services.address,
            tracking_address=services.address,
            registry_address=services.address,
            artifact_address=services.address,
            drain_s=0.5,
        )
        listeners = penstock_gateway.listeners.bind(front)
        gateway = penstock_gateway.app.build(front, listeners, clock)
        await gateway.start()
        token = await auth.owner_credential()
        ready.append(Installation(listeners.local_http_url, services.address, token))
        started.set()
        await stop.wait()
        await gateway.stop()
        await services.stop()

    def work() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(run())
        except BaseException as error:
            ready.append(error)
            started.set()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    thread = threading.Thread(target=work, name="installation")
    thread.start()
    assert started.wait(START_TIMEOUT_S)
    try:
        if isinstance(ready[0], BaseException):
            raise ready[0]
        yield ready[0]
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join(START_TIMEOUT_S)
        assert not thread.is_alive()
    assert len(ready) == 1, f"the installation failed: {ready[1:]}"
