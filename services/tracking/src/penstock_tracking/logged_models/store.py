"""Logged models as documents. Owns the layout of their bodies. Partition = project id, id = the model's id."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from penstock_kit.stores.documents import (
    BODY_BYTES_MAX,
    Collection,
    Document,
    DocumentExists,
    DocumentMissing,
    DocumentStore,
    DocumentTooLarge,
    Index,
    VersionConflict,
)
from penstock_tracking.domain import LifecycleStage
from penstock_tracking.errors import EtagMismatch, LoggedModelNotFound, TooManyEntries
from penstock_tracking.logged_models.domain import LoggedModel, LoggedModelState, ModelMetric

__all__ = ["LOGGED_MODEL_COLLECTIONS", "LoggedModelStore"]

LOGGED_MODELS: Final = "logged_models"
LOGGED_MODEL_COLLECTIONS: Final = (Collection(LOGGED_MODELS, (Index("experiment", ("experiment",)),)),)
WRITE_ATTEMPTS_MAX: Final = 20  # concurrent writers of one document make progress one at a time
MODELS_READ_AT_ONCE: Final = 1_000


class LoggedModelStore:
    """Logged models over the document store."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def add(self, model: LoggedModel) -> LoggedModel:
        """Adds a model, unless there is one with its id: returns what is there then. Raises `TooManyEntries`."""
        try:
            await self._documents.insert(LOGGED_MODELS, model.project, model.model_id, _body(model))
        except DocumentExists:
            return await self.get(model.project, model.model_id)
        except DocumentTooLarge:
            raise _too_large(model) from None
        return model

    async def get(self, project: str, model_id: str) -> LoggedModel:
        """Returns a model, deleted or not. Raises `LoggedModelNotFound`."""
        return (await self._read(project, model_id))[0]

    async def change(self, project: str, model_id: str, change: Callable[[LoggedModel], LoggedModel]) -> LoggedModel:
        """Replaces a model by what `change` makes of it, repeating when somebody else is quicker.

        Raises `LoggedModelNotFound`, `TooManyEntries`. What `change` raises passes.
        """
        for _ in range(WRITE_ATTEMPTS_MAX):
            model, version = await self._read(project, model_id)
            changed = change(model)
            if changed is model:
                return model
            try:
                await self._documents.replace(LOGGED_MODELS, project, model_id, _body(changed), expected=version)
            except VersionConflict:
                continue
            except DocumentTooLarge:
                raise _too_large(model) from None
            return changed
        raise EtagMismatch("The model is being changed by too many callers at once; try again.")

    async def of_experiments(self, project: str, experiment_ids: Sequence[str]) -> list[LoggedModel]:
        """Returns every model of some experiments, deleted ones too."""
        found: list[LoggedModel] = []
        for experiment_id in dict.fromkeys(experiment_ids):
            cursor: bytes | None = None
            while True:
                page = await self._documents.query(
                    LOGGED_MODELS,
                    project,
                    "experiment",
                    equal=(experiment_id,),
                    limit=MODELS_READ_AT_ONCE,
                    cursor=cursor,
                )
                found.extend(_model(document) for document in page.documents)
                cursor = page.cursor
                if cursor is None:
                    break
        return found

    async def _read(self, project: str, model_id: str) -> tuple[LoggedModel, int]:
        try:
            document = await self._documents.get(LOGGED_MODELS, project, model_id)
        except DocumentMissing:
            raise LoggedModelNotFound(f"There is no logged model {model_id} in the project {project}.") from None
        return _model(document), document.version


def _too_large(model: LoggedModel) -> TooManyEntries:
    return TooManyEntries(
        f"The record of the logged model {model.model_id} would be larger than {BODY_BYTES_MAX:,} bytes.",
        limit="BODY_BYTES_MAX",
    )


def _body(model: LoggedModel) -> dict[str, Any]:
    return {
        "display_name": model.display_name,
        "experiment": model.experiment_id,
        "creator": model.creator,
        "create_us": model.create_us,
        "update_us": model.update_us,
        "state": int(model.state),
        "lifecycle": int(model.lifecycle_stage),
        "model_type": model.model_type,
        "source_run": model.source_run_id,
        "artifact_location": model.artifact_location,
        "params": [[key, value] for key, value in model.params.items()],
        "tags": [[key, value] for key, value in model.tags.items()],
        "metrics": [
            [m.key, m.value, m.step, m.time_us, m.run_id, m.dataset_name, m.dataset_digest] for m in model.metrics
        ],
    }


def _model(document: Document) -> LoggedModel:
    body = document.body
    return LoggedModel(
        project=document.partition,
        model_id=document.id,
        display_name=body["display_name"],
        experiment_id=body["experiment"],
        creator=body["creator"],
        create_us=body["create_us"],
        update_us=body["update_us"],
        state=LoggedModelState(body["state"]),
        lifecycle_stage=LifecycleStage(body["lifecycle"]),
        model_type=body["model_type"],
        source_run_id=body["source_run"],
        artifact_location=body["artifact_location"],
        params=dict(body["params"]),
        tags=dict(body["tags"]),
        metrics=tuple(ModelMetric(*metric) for metric in body["metrics"]),
    )
