"""The gRPC face of the registry: unpack, call, pack."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from penstock.api.registry.v1 import model_pb2
from penstock.api.registry.v1 import registry_service_pb2 as pb
from penstock_kit import paging
from penstock_kit.names import ModelAliasName, ModelName, ModelVersionName, ProjectName
from penstock_registry import convert
from penstock_registry.acting import acting
from penstock_registry.domain import AliasTarget, Stage
from penstock_registry.errors import FieldInvalid
from penstock_registry.events.service import EventService
from penstock_registry.events.servicer import EventServicer
from penstock_registry.gates.service import GateService
from penstock_registry.gates.servicer import GateServicer
from penstock_registry.lineage import Lineage
from penstock_registry.search import ModelIndex, Page, Query
from penstock_registry.service import RegistryService

__all__ = ["RegistryServicer"]

PAGE_BYTES_MAX: Final = 4_000_000  # within the 4 MiB that gRPC clients usually receive; a single item may have more

M = TypeVar("M", bound=Message)


class RegistryServicer(GateServicer, EventServicer):
    """Each method is the RPC of its name; what it does and which errors it has is in the contract."""

    def __init__(
        self,
        service: RegistryService,
        gates: GateService,
        events: EventService,
        index: ModelIndex,
        lineage: Lineage,
    ) -> None:
        GateServicer.__init__(self, gates)
        EventServicer.__init__(self, events)
        self._service = service
        self._index = index
        self._lineage = lineage

    # Models

    async def CreateModel(self, request: pb.CreateModelRequest, context: Any) -> pb.CreateModelResponse:
        name = ModelName.parse(f"{request.parent}/models/{request.model_id}")
        stored = await self._service.create_model(
            name,
            description=request.model.description,
            tags=dict(request.model.tags),
            request_id=request.request_id,
            by=acting(context),
        )
        return pb.CreateModelResponse(model=convert.model_message(stored))

    async def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.GetModelResponse:
        stored = await self._service.get_model(ModelName.parse(request.name))
        return pb.GetModelResponse(model=convert.model_message(stored))

    async def SearchModels(self, request: pb.SearchModelsRequest, context: Any) -> pb.SearchModelsResponse:
        parent = ProjectName.parse(request.parent)

        async def messages(page: Page) -> list[model_pb2.Model | None]:
            found = await self._service.get_models(parent, page.ids)
            return [convert.model_message(found[one]) if one in found else None for one in page.ids]

        models, page = await _fitting(
            _query(request), lambda query: self._index.models(parent.project, query), messages
        )
        return pb.SearchModelsResponse(models=models, next_page_token=page.next_page_token, total_size=page.total)

    async def UpdateModel(self, request: pb.UpdateModelRequest, context: Any) -> pb.UpdateModelResponse:
        new = request.model
        fields = _fields(request.update_mask, {"description": new.description, "tags": dict(new.tags)})
        stored = await self._service.update_model(
            ModelName.parse(new.name), lambda model: replace(model, **fields), etag=new.etag, by=acting(context)
        )
        return pb.UpdateModelResponse(model=convert.model_message(stored))

    async def UpdateModelTags(self, request: pb.UpdateModelTagsRequest, context: Any) -> pb.UpdateModelTagsResponse:
        stored = await self._service.update_model_tags(
            ModelName.parse(request.name), dict(request.set), list(request.remove), by=acting(context)
        )
        return pb.UpdateModelTagsResponse(model=convert.model_message(stored))

    async def RenameModel(self, request: pb.RenameModelRequest, context: Any) -> pb.RenameModelResponse:
        name = ModelName.parse(request.name)
        renamed = ModelName.parse(f"projects/{name.project}/models/{request.model_id}")
        stored = await self._service.rename_model(name, renamed.model_id, by=acting(context))
        return pb.RenameModelResponse(model=convert.model_message(stored))

    async def DeleteModel(self, request: pb.DeleteModelRequest, context: Any) -> pb.DeleteModelResponse:
        await self._service.delete_model(ModelName.parse(request.name), by=acting(context))
        return pb.DeleteModelResponse()

    # Versions

    async def CreateModelVersion(
        self, request: pb.CreateModelVersionRequest, context: Any
    ) -> pb.CreateModelVersionResponse:
        parent = ModelName.parse(request.parent)
        stored = await self._service.create_version(
            parent,
            convert.draft_from_message(parent.project, request.version),
            convert.baseline_from_message(request.baseline) if request.HasField("baseline") else None,
            request_id=request.request_id,
            by=acting(context),
        )
        model, stored = await self._service.get_version(ModelVersionName(parent, stored.value.number))
        return pb.CreateModelVersionResponse(version=convert.version_message(model, stored))

    async def GetModelVersion(self, request: pb.GetModelVersionRequest, context: Any) -> pb.GetModelVersionResponse:
        model, stored = await self._service.get_version(ModelVersionName.parse(request.name))
        return pb.GetModelVersionResponse(version=convert.version_message(model, stored))

    async def GetModelBaseline(self, request: pb.GetModelBaselineRequest, context: Any) -> pb.GetModelBaselineResponse:
        baseline = await self._service.get_baseline(ModelVersionName.parse(request.name))
        return pb.GetModelBaselineResponse(baseline=convert.baseline_message(baseline))

    async def SearchModelVersions(
        self, request: pb.SearchModelVersionsRequest, context: Any
    ) -> pb.SearchModelVersionsResponse:
        parent = ProjectName.parse(request.parent)
        versions, page = await _fitting(
            _query(request),
            lambda query: self._index.versions(parent.project, query),
            lambda page: self._version_messages(parent, page),
        )
        return pb.SearchModelVersionsResponse(
            versions=versions, next_page_token=page.next_page_token, total_size=page.total
        )

    async def ListLatestModelVersions(
        self, request: pb.ListLatestModelVersionsRequest, context: Any
    ) -> pb.ListLatestModelVersionsResponse:
        parent = ProjectName.parse(request.parent)
        page = await self._index.latest_of_stages(
            parent.project, request.models, convert.stages_from_message(request.stages)
        )
        versions = await self._version_messages(parent, page)
        return pb.ListLatestModelVersionsResponse(versions=[version for version in versions if version is not None])

    async def GetLineage(self, request: pb.GetLineageRequest, context: Any) -> pb.GetLineageResponse:
        name = ModelVersionName.parse(request.name)
        found = await self._lineage.of_version(name)
        return pb.GetLineageResponse(
            run=f"projects/{name.model.project}/runs/{found.run_id}" if found.run_id else "",
            datasets=map(convert.dataset_message, found.datasets),
            run_datasets=map(convert.dataset_message, found.run_datasets),
            used_artifacts=found.used_artifacts,
            runs_using=found.runs_using,
            versions_of_run=found.versions_of_run,
            versions_of_manifest=found.versions_of_manifest,
        )

    async def GetDatasetLineage(
        self, request: pb.GetDatasetLineageRequest, context: Any
    ) -> pb.GetDatasetLineageResponse:
        project = ProjectName.parse(request.parent).project
        runs, versions = await self._lineage.of_dataset(project, request.name, request.digest)
        return pb.GetDatasetLineageResponse(
            runs=[f"{request.parent}/runs/{run_id}" for run_id in runs], versions=versions
        )

    async def UpdateModelVersion(
        self, request: pb.UpdateModelVersionRequest, context: Any
    ) -> pb.UpdateModelVersionResponse:
        new = request.version
        fields = _fields(request.update_mask, {"description": new.description, "tags": dict(new.tags)})
        model, stored = await self._service.update_version(
            ModelVersionName.parse(new.name),
            lambda version: replace(version, **fields),
            etag=new.etag,
            by=acting(context),
        )
        return pb.UpdateModelVersionResponse(version=convert.version_message(model, stored))

    async def UpdateModelVersionTags(
        self, request: pb.UpdateModelVersionTagsRequest, context: Any
    ) -> pb.UpdateModelVersionTagsResponse:
        model, stored = await self._service.update_version_tags(
            ModelVersionName.parse(request.name), dict(request.set), list(request.remove), by=acting(context)
        )
        return pb.UpdateModelVersionTagsResponse(version=convert.version_message(model, stored))

    async def SetModelVersionStage(
        self, request: pb.SetModelVersionStageRequest, context: Any
    ) -> pb.SetModelVersionStageResponse:
        model, stored = await self._service.set_stage(
            ModelVersionName.parse(request.name),
            Stage(request.stage),
            archive_existing=request.archive_existing,
            by=acting(context),
        )
        return pb.SetModelVersionStageResponse(version=convert.version_message(model, stored))

    async def DeleteModelVersion(
        self, request: pb.DeleteModelVersionRequest, context: Any
    ) -> pb.DeleteModelVersionResponse:
        await self._service.delete_version(
            ModelVersionName.parse(request.name), delete_aliases=request.delete_aliases, by=acting(context)
        )
        return pb.DeleteModelVersionResponse()

    # Aliases

    async def SetModelAlias(self, request: pb.SetModelAliasRequest, context: Any) -> pb.SetModelAliasResponse:
        parent = ModelName.parse(request.parent)
        target = await self._service.set_alias(
            ModelAliasName(parent, request.alias),
            request.version,
            reason=request.reason,
            expected=request.expected_version if request.HasField("expected_version") else None,
            by=acting(context),
        )
        return pb.SetModelAliasResponse(alias=convert.alias_message(parent, request.alias, target))

    async def GetModelAlias(self, request: pb.GetModelAliasRequest, context: Any) -> pb.GetModelAliasResponse:
        name = ModelAliasName.parse(request.name)
        model, stored = await self._service.get_alias(name)
        target = model.aliases.get(name.alias) or AliasTarget(stored.value.number, 0)
        return pb.GetModelAliasResponse(
            alias=convert.alias_message(name.model, name.alias, target), version=convert.version_message(model, stored)
        )

    async def DeleteModelAlias(self, request: pb.DeleteModelAliasRequest, context: Any) -> pb.DeleteModelAliasResponse:
        await self._service.delete_alias(ModelAliasName.parse(request.name), reason=request.reason, by=acting(context))
        return pb.DeleteModelAliasResponse()

    async def ListAliasMoves(self, request: pb.ListAliasMovesRequest, context: Any) -> pb.ListAliasMovesResponse:
        parent = ModelName.parse(request.parent)
        digest = paging.fingerprint(request)
        moves, cursor = await self._service.list_moves(
            parent,
            request.alias,
            limit=paging.page_size(request.page_size),
            cursor=paging.place(request.page_token, digest, bytes),
        )
        return pb.ListAliasMovesResponse(
            moves=[convert.move_message(parent.project, move) for move in moves],
            next_page_token="" if cursor is None else paging.seal(digest, cursor),
        )

    async def _version_messages(self, parent: ProjectName, page: Page) -> list[model_pb2.ModelVersion | None]:
        versions = await self._service.get_versions(parent, page.ids)
        models = await self._service.get_models(parent, list(dict.fromkeys(page.model_ids)))
        return [
            convert.version_message(models[model_id].value, versions[version_id])
            if version_id in versions and model_id in models
            else None
            for version_id, model_id in zip(page.ids, page.model_ids, strict=True)
        ]


async def _fitting(
    query: Query,
    search: Callable[[Query], Awaitable[Page]],
    messages: Callable[[Page], Awaitable[Sequence[M | None]]],
) -> tuple[list[M], Page]:
    """Returns the messages of a page, as many as fit into `PAGE_BYTES_MAX` but one at least. None: gone since."""
    while True:
        page = await search(query)
        found = await messages(page)
        bytes_left = PAGE_BYTES_MAX
        for place, message in enumerate(found):
            bytes_left -= message.ByteSize() if message is not None else 0
            if bytes_left < 0 and place:
                # Asked again for as many as fit, so that the token goes on after the last of them.
                query = replace(query, page_size=place)
                break
        else:
            return [message for message in found if message is not None], page


def _query(request: Any) -> Query:
    return Query(
        filter=request.filter,
        order_by=request.order_by,
        page_size=paging.page_size(request.page_size),
        page_token=request.page_token,
        fingerprint=f"{request.DESCRIPTOR.name} {paging.fingerprint(request)}",
    )


def _fields(mask: FieldMask, values: dict[str, Any]) -> dict[str, Any]:
    """The values that a mask names. Raises `FieldInvalid` if it names none, or others."""
    allowed = " and ".join(sorted(values))
    if not mask.paths:
        raise FieldInvalid(f"The mask must name at least one of {allowed}.", field="update_mask")
    for path in mask.paths:
        if path not in values:
            raise FieldInvalid(f"The mask names {path!r}; it may name {allowed}.", field="update_mask")
    return {path: values[path] for path in mask.paths}
