"""The composition root: which parts the registry is made of, over whatever stores it is given."""

import contextlib
from dataclasses import dataclass
from typing import Any

from penstock.api.artifact.v1 import artifact_service_pb2_grpc
from penstock.api.registry.v1 import registry_service_pb2
from penstock.api.tracking.v1 import tracking_service_pb2_grpc
from penstock_kit.application import Application, Job
from penstock_kit.calling import Neighbour
from penstock_kit.clock import Clock
from penstock_kit.server import Mount
from penstock_kit.stores.blobs import BlobStore
from penstock_kit.stores.documents import DocumentStore
from penstock_kit.stores.open import open_blobs, open_documents
from penstock_kit.threads import in_thread
from penstock_registry.artifacts import HELD_COLLECTION, Artifacts, HoldKeeper
from penstock_registry.events.dispatch import Dispatcher
from penstock_registry.events.guard import TargetGuard
from penstock_registry.events.secrets import SecretBox, check_keys, read_keys
from penstock_registry.events.sending import Sender
from penstock_registry.events.service import EventService
from penstock_registry.events.store import EVENT_COLLECTIONS, EventStore
from penstock_registry.gates.service import GateService
from penstock_registry.gates.store import GATE_COLLECTIONS, GateStore
from penstock_registry.jobs import jobs
from penstock_registry.lineage import Lineage, Runs
from penstock_registry.search import ModelIndex
from penstock_registry.service import RegistryService
from penstock_registry.servicer import RegistryServicer
from penstock_registry.settings import RegistrySettings
from penstock_registry.store import COLLECTIONS, RegistryStore

__all__ = ["SERVICE", "RegistryStores", "build", "open_stores"]

ALL_COLLECTIONS = (*COLLECTIONS, *GATE_COLLECTIONS, *EVENT_COLLECTIONS, HELD_COLLECTION)
SERVICE = registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"]


@dataclass(frozen=True, slots=True)
class RegistryStores:
    """What the registry keeps things in, and what seals the secrets there."""

    documents: DocumentStore
    blobs: BlobStore
    box: SecretBox

    async def close(self) -> None:
        """Closes both. Harmless after the first time."""
        await self.documents.close()
        await self.blobs.close()


async def open_stores(settings: RegistrySettings, clock: Clock) -> RegistryStores:  # noqa: ARG001 - as every service's
    """Opens the stores that the settings name; those without a URL in `data_dir`, made if missing. The same of the keys.

    Raises `StoreMisconfigured`, `StoreUnavailable`, `StoreFileError`; `SettingsError` if the keys cannot be used, or are
    not those that the secrets in the store are sealed with.
    """
    url = settings.documents_url or str(settings.data_dir / "documents.sqlite")
    key_file = settings.secrets_key_file or settings.data_dir / "secrets.key"
    box = SecretBox(await in_thread(read_keys, key_file))
    async with contextlib.AsyncExitStack() as opened:
        documents = await open_documents(url, ALL_COLLECTIONS, mongo_driver=settings.mongo_driver)
        opened.push_async_callback(documents.close)
        await check_keys(documents, box, key_file)
        blobs = await open_blobs(settings.blobs_url or str(settings.data_dir / "blobs"))
        opened.pop_all()
        return RegistryStores(documents, blobs, box)


def build(settings: RegistrySettings, stores: RegistryStores, clock: Clock) -> Application:
    """Makes the registry service. Takes over the stores: closing the application closes them."""
    documents = stores.documents
    store = RegistryStore(documents, [collection.name for collection in GATE_COLLECTIONS])
    neighbours: list[Neighbour] = []

    def neighbour(name: str, stub: type[Any], address: str) -> Neighbour:
        found = Neighbour(name, stub, address, settings.auth_address, settings.service_credential_file, clock)
        neighbours.append(found)
        return found

    artifacts = holds = None
    if settings.artifact_address:
        artifacts = Artifacts(
            neighbour("artifact", artifact_service_pb2_grpc.ArtifactServiceStub, settings.artifact_address)
        )
        holds = HoldKeeper(documents, artifacts)
    service = RegistryService(store, clock, artifacts)
    gates = GateService(store, GateStore(documents), clock)
    hosts = (host.strip().lower() for host in settings.webhook_hosts.split(","))
    guard = TargetGuard([host for host in hosts if host])
    event_store = EventStore(documents)
    sender = Sender(guard, clock)
    index = ModelIndex(documents, stores.blobs, clock)
    events = EventService(event_store, guard, sender, stores.box, clock)

    runs = None
    if settings.tracking_address:
        runs = Runs(neighbour("tracking", tracking_service_pb2_grpc.TrackingServiceStub, settings.tracking_address))
    lineage = Lineage(service, index, artifacts, runs)

    async def close() -> None:
        await sender.close()
        for one in neighbours:
            await one.close()
        await stores.close()

    return Application(
        mounts=[Mount(SERVICE, RegistryServicer(service, gates, events, index, lineage))],
        jobs=[
            *jobs(service, store, events, event_store, index, holds, clock),
            Job("registry-webhooks", Dispatcher(event_store, sender, stores.box, clock).run),
        ],
        close=close,
    )
