"""Holds follow versions, also when the registry died between a write and what belongs to it."""

from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.registry import settings_in

from penstock.api.registry.v1 import model_pb2
from penstock_kit.calling import NeighbourUnavailable
from penstock_kit.clock import ManualClock
from penstock_kit.names import ModelName, ModelVersionName
from penstock_kit.stores.documents import DocumentStore
from penstock_registry.app import open_stores
from penstock_registry.artifacts import Held, HoldKeeper
from penstock_registry.convert import draft_from_message
from penstock_registry.domain import ModelVersion
from penstock_registry.service import RegistryService
from penstock_registry.store import RegistryStore

FILES = "projects/p/artifacts/net/versions/1"
READER = ModelName("p", "reader")


class Holding:
    """An artifact service that remembers who holds what, and may be away."""

    def __init__(self) -> None:
        self.held: defaultdict[str, set[str]] = defaultdict(set)
        self.calls_left = 1_000

    def _call(self) -> None:
        self.calls_left -= 1
        if self.calls_left < 0:
            raise NeighbourUnavailable("away")

    async def hold(self, version: str, holder: str, lifetime_s: int = 0) -> Held:
        self._call()
        if not lifetime_s:
            self.held[version].add(holder)
        return Held(version, "0" * 64, 1)

    async def release(self, project: str, holder: str) -> None:
        self._call()
        for holders in self.held.values():
            holders.discard(holder)


@pytest.fixture
async def documents(tmp_path: Path) -> AsyncIterator[DocumentStore]:
    stores = await open_stores(settings_in(tmp_path), ManualClock())
    yield stores.documents
    await stores.close()


def service_on(documents: DocumentStore, artifacts: Any) -> RegistryService:
    return RegistryService(RegistryStore(documents, ()), ManualClock(), artifacts)


def draft() -> ModelVersion:
    return draft_from_message("p", model_pb2.ModelVersion(artifact_version=FILES))


async def register(service: RegistryService) -> int:
    stored = await service.create_version(READER, draft(), None, request_id="", by="users/ada")
    return stored.value.number


@pytest.mark.parametrize("calls", [0, 1, 2, 3])
async def test_whatever_call_is_lost_holds_are_right_in_the_end(documents: DocumentStore, calls: int) -> None:
    artifacts: Any = Holding()
    service = service_on(documents, artifacts)
    await service.create_model(READER, description="", tags={}, request_id="", by="u")
    artifacts.calls_left = calls
    if calls == 0:
        with pytest.raises(NeighbourUnavailable):
            await register(service)
    else:
        await register(service)
    keeper = HoldKeeper(documents, artifacts)
    await keeper.run_once()  # it is still away
    artifacts.calls_left = 1_000
    await keeper.run_once()
    assert len(artifacts.held[FILES]) == (1 if calls else 0)
    calls_before = artifacts.calls_left
    await keeper.run_once()
    assert artifacts.calls_left == calls_before, "nothing changed since"


async def test_a_model_that_is_gone_before_anybody_looks(documents: DocumentStore) -> None:
    artifacts: Any = Holding()
    service = service_on(documents, artifacts)
    await service.create_model(READER, description="", tags={}, request_id="", by="u")
    await register(service)
    await service.delete_model(READER, by="u")
    await HoldKeeper(documents, artifacts).run_once()
    assert len(artifacts.held[FILES]) == 0


async def test_what_is_deleted_is_released(documents: DocumentStore) -> None:
    artifacts: Any = Holding()
    service = service_on(documents, artifacts)
    keeper = HoldKeeper(documents, artifacts)
    await service.create_model(READER, description="", tags={}, request_id="", by="u")
    for _ in range(3):
        await register(service)
    await keeper.run_once()
    assert len(artifacts.held[FILES]) == 3
    artifacts.calls_left = 0
    await service.delete_version(ModelVersionName(READER, 1), delete_aliases=False, by="u")
    artifacts.calls_left = 1_000
    await keeper.run_once()
    assert len(artifacts.held[FILES]) == 2
    await service.delete_model(READER, by="u")
    await keeper.run_once()
    assert len(artifacts.held[FILES]) == 0
