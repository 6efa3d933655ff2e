"""The use cases of logged models. Knows nothing of gRPC."""

from collections.abc import Iterable, Mapping, Sequence

from penstock_kit.clock import Clock
from penstock_kit.ids import derived_id
from penstock_kit.names import ProjectName
from penstock_kit.threads import in_thread
from penstock_tracking.domain import Experiment, shown
from penstock_tracking.errors import ExperimentDeleted, LoggedModelNotFound, ParamConflict, TooManyEntries
from penstock_tracking.logged_models.domain import (
    PARAMS_PER_MODEL_MAX,
    TAGS_PER_MODEL_MAX,
    LoggedModel,
    LoggedModelState,
    ModelMetric,
)
from penstock_tracking.logged_models.search import LoggedModelPage, LoggedModelQuery
from penstock_tracking.logged_models.store import LoggedModelStore
from penstock_tracking.naming import run_display_name
from penstock_tracking.store import DEFAULT_EXPERIMENT_ID, TrackingStore

__all__ = ["LoggedModelService"]


class LoggedModelService:
    """Logged models, over their store and the one in which their experiments are."""

    def __init__(self, models: LoggedModelStore, store: TrackingStore, clock: Clock) -> None:
        self._models = models
        self._store = store
        self._clock = clock

    async def create(
        self,
        parent: ProjectName,
        *,
        display_name: str,
        experiment_id: str,
        model_type: str,
        source_run_id: str,
        params: Mapping[str, str],
        tags: Mapping[str, str],
        request_id: str,
        by: str,
    ) -> LoggedModel:
        """Creates a model, or returns the one that the same principal made with the same request id.

        Raises `ExperimentNotFound`, `ExperimentDeleted`, `TooManyEntries`.
        """
        experiment = (await self._store.experiment(parent.project, experiment_id or DEFAULT_EXPERIMENT_ID)).value
        _require_active(experiment)
        number = derived_id(by, request_id, "logged model")
        now_us = self._clock.now_us()
        return await self._models.add(
            LoggedModel(
                project=parent.project,
                model_id=f"m-{number}",
                display_name=display_name or run_display_name(number),
                experiment_id=experiment.experiment_id,
                creator=by,
                create_us=now_us,
                update_us=now_us,
                model_type=model_type,
                source_run_id=source_run_id,
                artifact_location=experiment.artifact_location,
                params=dict(params),
                tags=dict(tags),
            )
        )

    async def get(self, project: str, model_id: str) -> LoggedModel:
        """Returns a model, deleted or not. Raises `LoggedModelNotFound`."""
        return await self._models.get(project, model_id)

    async def search(self, query: LoggedModelQuery) -> LoggedModelPage:
        """Returns a page of the models that match. Raises `FilterInvalid`, `OrderInvalid`, `PageTokenInvalid`."""
        models = await self._models.of_experiments(query.project, query.experiment_ids)
        return await in_thread(query.answer, models)

    async def annotate(
        self,
        project: str,
        model_id: str,
        params: Mapping[str, str],
        tags: Mapping[str, str],
        removed_tags: Sequence[str],
    ) -> LoggedModel:
        """Adds params, sets and removes tags. Raises `LoggedModelNotFound`, `ParamConflict`, `TooManyEntries`."""

        def change(model: LoggedModel) -> LoggedModel:
            for key, value in params.items():
                if model.params.get(key, value) != value:
                    raise ParamConflict(
                        f"The param {key!r} is already {shown(model.params[key])} and stays so: params are write-once.",
                        key=key,
                    )
            changed = model.annotated(params, tags, removed_tags)
            for noun, count, limit in (
                ("params", len(changed.params), PARAMS_PER_MODEL_MAX),
                ("tags", len(changed.tags), TAGS_PER_MODEL_MAX),
            ):
                if count > limit:
                    raise TooManyEntries(f"A logged model has at most {limit:,} {noun}.", limit=noun)
            return changed

        return await self._models.change(project, model_id, change)

    async def finish(self, project: str, model_id: str, state: LoggedModelState) -> LoggedModel:
        """Says how far a model is. Safe to repeat. Raises `LoggedModelNotFound`."""
        now_us = self._clock.now_us()
        return await self._models.change(project, model_id, lambda model: model.finished(state, now_us))

    async def delete(self, project: str, model_id: str) -> LoggedModel:
        """Moves a model to the bin. Safe to repeat. Raises `LoggedModelNotFound`."""
        now_us = self._clock.now_us()
        return await self._models.change(project, model_id, lambda model: model.deleted(now_us))

    async def measure(self, project: str, metrics: Mapping[str, Iterable[ModelMetric]]) -> None:
        """Takes over metrics by model id. Safe to repeat. Models that there are not are passed over."""
        for model_id, measured in metrics.items():
            taken = tuple(measured)
            try:
                await self._models.change(project, model_id, lambda model, taken=taken: model.measured(taken))
            except LoggedModelNotFound:
                continue


def _require_active(experiment: Experiment) -> None:
    if not experiment.active:
        raise ExperimentDeleted(f"The experiment {experiment.display_name!r} is in the bin. Restore it first.")
