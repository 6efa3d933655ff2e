"""The gRPC face of logged models: unpack, call, pack."""

from typing import Any

from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_kit import paging
from penstock_kit.access import current_caller
from penstock_kit.names import ExperimentName, LoggedModelName, ProjectName, RunName
from penstock_kit.threads import in_thread
from penstock_tracking.errors import FieldInvalid
from penstock_tracking.logged_models.convert import model_to_proto
from penstock_tracking.logged_models.domain import LoggedModelState
from penstock_tracking.logged_models.search import LoggedModelQuery
from penstock_tracking.logged_models.service import LoggedModelService

__all__ = ["LoggedModelServicer"]


class LoggedModelServicer:
    """The methods of TrackingService about logged models."""

    def __init__(self, models: LoggedModelService) -> None:
        self._models = models

    async def CreateLoggedModel(self, request: Any, context: Any) -> Any:
        parent = ProjectName.parse(request.parent)
        model = request.model
        created = await self._models.create(
            parent,
            display_name=model.display_name,
            experiment_id=_experiment_id(model.experiment, parent.project) if model.experiment else "",
            model_type=model.model_type,
            source_run_id=_run_id(model.source_run, parent.project) if model.source_run else "",
            params=model.params,
            tags=model.tags,
            request_id=request.request_id,
            by=current_caller().principal,
        )
        return pb.CreateLoggedModelResponse(model=model_to_proto(created))

    async def GetLoggedModel(self, request: Any, context: Any) -> Any:
        name = LoggedModelName.parse(request.name)
        return pb.GetLoggedModelResponse(model=model_to_proto(await self._models.get(name.project, name.model_id)))

    async def SearchLoggedModels(self, request: Any, context: Any) -> Any:
        project = ProjectName.parse(request.parent).project
        page = await self._models.search(
            LoggedModelQuery(
                project,
                tuple(_experiment_id(name, project) for name in request.experiments),
                filter=request.filter,
                order_by=request.order_by,
                datasets=tuple((dataset.name, dataset.digest) for dataset in request.datasets),
                page_size=paging.page_size(request.page_size),
                page_token=request.page_token,
            )
        )
        models = await in_thread(lambda: [model_to_proto(model) for model in page.models])
        return pb.SearchLoggedModelsResponse(models=models, next_page_token=page.next_page_token)

    async def AnnotateLoggedModel(self, request: Any, context: Any) -> Any:
        name = LoggedModelName.parse(request.name)
        model = await self._models.annotate(
            name.project, name.model_id, request.params, request.tags, request.removed_tags
        )
        return pb.AnnotateLoggedModelResponse(model=model_to_proto(model))

    async def FinishLoggedModel(self, request: Any, context: Any) -> Any:
        name = LoggedModelName.parse(request.name)
        model = await self._models.finish(name.project, name.model_id, LoggedModelState(request.state))
        return pb.FinishLoggedModelResponse(model=model_to_proto(model))

    async def DeleteLoggedModel(self, request: Any, context: Any) -> Any:
        name = LoggedModelName.parse(request.name)
        return pb.DeleteLoggedModelResponse(
            model=model_to_proto(await self._models.delete(name.project, name.model_id))
        )


def _experiment_id(name: str, project: str) -> str:
    parsed = ExperimentName.parse(name)
    if parsed.project != project:
        raise FieldInvalid(f"{name} is not an experiment of the project {project}.", field="experiment")
    return parsed.experiment_id


def _run_id(name: str, project: str) -> str:
    parsed = RunName.parse(name)
    if parsed.project != project:
        raise FieldInvalid(f"{name} is not a run of the project {project}.", field="source_run")
    return parsed.run_id
