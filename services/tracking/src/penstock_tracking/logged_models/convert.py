"""Between the messages of logged models and their domain. No decisions here."""

from penstock.api.tracking.v1 import logged_model_pb2
from penstock_tracking.convert import time_from_us
from penstock_tracking.logged_models.domain import LoggedModel

__all__ = ["model_to_proto"]


def model_to_proto(model: LoggedModel) -> logged_model_pb2.LoggedModel:
    """A model with its metrics."""
    project = f"projects/{model.project}"
    return logged_model_pb2.LoggedModel(
        name=f"{project}/loggedModels/{model.model_id}",
        display_name=model.display_name,
        experiment=f"{project}/experiments/{model.experiment_id}",
        state=f"LOGGED_MODEL_STATE_{model.state.name}",
        lifecycle_stage=f"LIFECYCLE_STAGE_{model.lifecycle_stage.name}",
        model_type=model.model_type,
        source_run=f"{project}/runs/{model.source_run_id}" if model.source_run_id else "",
        params=dict(model.params),
        tags=dict(model.tags),
        metrics=[
            logged_model_pb2.LoggedModelMetric(
                key=metric.key,
                value=metric.value,
                step=metric.step,
                time_unix_us=metric.time_us,
                run=f"{project}/runs/{metric.run_id}",
                dataset_name=metric.dataset_name,
                dataset_digest=metric.dataset_digest,
            )
            for metric in model.metrics
        ],
        artifact_location=model.artifact_location,
        create_time=time_from_us(model.create_us),
        update_time=time_from_us(model.update_us),
        creator=model.creator,
    )
