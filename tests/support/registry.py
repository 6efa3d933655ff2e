"""A registry server in a test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from support.auth import Refusal, refused
from support.servers import OpenGuard, bearer, serving

from penstock.api.registry.v1 import model_pb2, registry_service_pb2, registry_service_pb2_grpc
from penstock_kit.access import Role
from penstock_kit.clock import Clock, SystemClock
from penstock_registry.app import RegistryStores, build, open_stores
from penstock_registry.settings import RegistrySettings

pb = registry_service_pb2

PROJECT = "projects/default"
MODEL = f"{PROJECT}/models/digits"


@dataclass
class Registry:
    """A server, and a caller that may do everything in the projects `default` and `other`."""

    address: str
    guard: OpenGuard
    channel: grpc.aio.Channel
    stores: RegistryStores

    async def call(self, method: str, *, by: str = "users/ada", **fields: Any) -> Any:
        """Makes a unary call with these fields of its request."""
        request = getattr(pb, f"{method}Request")(**fields)
        stub = registry_service_pb2_grpc.RegistryServiceStub(self.channel)
        return await getattr(stub, method)(request, metadata=bearer(self.guard.issue(by)), timeout=20)

    async def refused(self, method: str, **fields: Any) -> Refusal:
        """Makes a call that must fail."""
        return await refused(self.call(method, **fields))

    async def new_model(self, model_id: str = "digits", parent: str = PROJECT, **fields: Any) -> model_pb2.Model:
        response = await self.call("CreateModel", parent=parent, model_id=model_id, model=model_pb2.Model(**fields))
        return response.model

    async def new_version(self, parent: str = MODEL, **fields: Any) -> model_pb2.ModelVersion:
        response = await self.call("CreateModelVersion", parent=parent, version=model_pb2.ModelVersion(**fields))
        return response.version

    async def point(self, alias: str, version: int, parent: str = MODEL, **fields: Any) -> model_pb2.ModelAlias:
        response = await self.call("SetModelAlias", parent=parent, alias=alias, version=version, **fields)
        return response.alias

    async def alias_number(self, alias: str, parent: str = MODEL) -> int:
        response = await self.call("GetModelAlias", name=f"{parent}/aliases/{alias}")
        return response.version.number

    async def found_models(self, which: str = "", **fields: Any) -> list[str]:
        """The last segments of the models that a search finds."""
        response = await self.call("SearchModels", parent=PROJECT, filter=which, **fields)
        return [model.name.rpartition("/")[2] for model in response.models]

    async def found_versions(self, which: str = "", **fields: Any) -> list[str]:
        """The versions that a search finds, as `model/number`."""
        response = await self.call("SearchModelVersions", parent=PROJECT, filter=which, **fields)
        return [f"{version.name.split('/')[3]}/{version.number}" for version in response.versions]


def settings_in(folder: Path, **settings: Any) -> RegistrySettings:
    """Settings with everything in a folder, and no auth service."""
    return RegistrySettings(data_dir=folder, auth_address="", service_credential_file=folder / "none", **settings)


def open_guard() -> OpenGuard:
    """A guard that knows the projects `default` and `other`, whose administrators are ada and bob."""
    guard = OpenGuard(projects=["default", "other"])
    for project in ("default", "other"):
        for user in ("ada", "bob", "eve"):
            guard.grant(project, f"users/{user}", Role.ADMIN)
    return guard


@asynccontextmanager
async def serving_registry(
    folder: Path, *, clock: Clock | None = None, guard: OpenGuard | None = None, **settings: Any
) -> AsyncIterator[Registry]:
    """Runs a registry service over a store in a folder, or over the one that `documents_url` names."""
    clock = clock or SystemClock()
    guard = guard or open_guard()
    whole = settings_in(folder, **settings)
    stores = await open_stores(whole, clock)
    async with (
        serving(build(whole, stores, clock), guard) as address,
        grpc.aio.insecure_channel(address, [("grpc.max_receive_message_length", -1)]) as channel,
    ):
        yield Registry(address, guard, channel, stores)
