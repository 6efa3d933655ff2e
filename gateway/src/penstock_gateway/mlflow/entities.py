"""Resources of the platform as the JSON of MLflow's entities.

Numbers of 64 bits are JSON numbers, as MLflow's server writes them, and zeros are written out. NaN is `"NaN"`; infinities are
the greatest finite numbers, since MLflow's store knows no others. The name of a run is its tag `mlflow.runName` too.
"""

import math
from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from penstock.api.tracking.v1 import dataset_pb2, experiment_pb2, run_pb2
from penstock_gateway.mlflow.uris import below, default_location
from penstock_kit.search.values import text_of

__all__ = [
    "RUN_NAME",
    "RUN_STATES",
    "STATUSES",
    "experiment_json",
    "finite",
    "metric_json",
    "run_info",
    "run_json",
    "value_text",
]

Json = dict[str, Any]

RUN_NAME: Final = "mlflow.runName"
FLOAT_MAX: Final = 1.7976931348623157e308
STAGES: Final = {experiment_pb2.LIFECYCLE_STAGE_ACTIVE: "active", experiment_pb2.LIFECYCLE_STAGE_DELETED: "deleted"}
STATUSES: Final = {"RUNNING": 1, "SCHEDULED": 2, "FINISHED": 3, "FAILED": 4, "KILLED": 5}
"""The statuses of MLflow's runs, with their numbers."""

RUN_STATES: Final = {
    1: run_pb2.RUN_STATE_RUNNING,
    2: run_pb2.RUN_STATE_SCHEDULED,
    3: run_pb2.RUN_STATE_FINISHED,
    4: run_pb2.RUN_STATE_FAILED,
    5: run_pb2.RUN_STATE_KILLED,
}
_STATUS_NAMES: Final = {
    run_pb2.RUN_STATE_RUNNING: "RUNNING",
    run_pb2.RUN_STATE_SCHEDULED: "SCHEDULED",
    run_pb2.RUN_STATE_FINISHED: "FINISHED",
    run_pb2.RUN_STATE_FAILED: "FAILED",
    run_pb2.RUN_STATE_KILLED: "KILLED",
    run_pb2.RUN_STATE_CRASHED: "FAILED",  # which MLflow does not tell apart
}


def segment(name: str) -> str:
    """The last part of a resource name: an id."""
    return name.rpartition("/")[2]


def milliseconds(time: Timestamp) -> int:
    """A time in whole milliseconds since 1970 UTC."""
    return time.seconds * 1_000 + time.nanos // 1_000_000


def finite(value: float) -> float | str:
    """A metric's value as MLflow writes it."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return FLOAT_MAX if value > 0 else -FLOAT_MAX


def value_text(value: run_pb2.Value) -> str:
    """The canonical text of a typed value: MLflow's params are texts."""
    kind = value.WhichOneof("kind")
    return "" if kind is None else text_of(getattr(value, kind))


def metric_json(key: str, value: float, time_ms: int, step: int) -> Json:
    """A point of a metric."""
    return {"key": key, "value": finite(value), "timestamp": time_ms, "step": step}


def entries(pairs: Iterable[tuple[str, str]]) -> list[Json]:
    """Keys and values."""
    return [{"key": key, "value": value} for key, value in pairs]


def experiment_json(experiment: experiment_pb2.Experiment) -> Json:
    """An experiment."""
    experiment_id = segment(experiment.name)
    json: Json = {
        "experiment_id": experiment_id,
        "name": experiment.display_name,
        "artifact_location": experiment.artifact_location or default_location(experiment_id),
        "lifecycle_stage": STAGES[experiment.lifecycle_stage],
        "last_update_time": milliseconds(experiment.update_time),
        "creation_time": milliseconds(experiment.create_time),
        "workspace": "default",  # that of a server without workspaces
    }
    if experiment.tags:
        json["tags"] = entries(sorted(experiment.tags.items()))
    return json


def run_info(run: run_pb2.Run) -> Json:
    """What a run is, without its data."""
    run_id, experiment_id = segment(run.name), segment(run.experiment)
    json: Json = {
        "run_uuid": run_id,
        "experiment_id": experiment_id,
        "run_name": run.display_name,
        "user_id": run.user,
        "status": _STATUS_NAMES[run.state],
        "start_time": milliseconds(run.start_time),
        "artifact_uri": below(run.artifact_location or default_location(experiment_id), run_id, "artifacts"),
        "lifecycle_stage": STAGES[run.lifecycle_stage],
        "run_id": run_id,
    }
    if run.HasField("end_time"):
        json["end_time"] = milliseconds(run.end_time)
    return json


def run_json(run: run_pb2.Run) -> Json:
    """A run with its latest metrics, params and tags."""
    data: Json = {}
    if run.latest_metrics:
        data["metrics"] = [
            metric_json(metric.key, metric.value, metric.time_unix_us // 1_000, metric.step)
            for metric in run.latest_metrics
        ]
    if run.params:
        data["params"] = entries((param.key, value_text(param.value)) for param in run.params)
    tags = {tag.key: tag.value for tag in run.tags} | {RUN_NAME: run.display_name}
    data["tags"] = entries(sorted(tags.items()))
    inputs: Json = {}
    if run.datasets:
        inputs["dataset_inputs"] = [_dataset_input(used) for used in run.datasets]
    if run.input_models:
        inputs["model_inputs"] = [{"model_id": segment(model)} for model in run.input_models]
    outputs: Json = {}
    if run.output_models:
        outputs["model_outputs"] = [{"model_id": segment(made.model), "step": made.step} for made in run.output_models]
    return {"info": run_info(run), "data": data, "inputs": inputs, "outputs": outputs}


def _dataset_input(used: dataset_pb2.DatasetInput) -> Json:
    dataset = used.dataset
    json: Json = {
        "name": dataset.name,
        "digest": dataset.digest,
        "source_type": dataset.source_type,
        "source": dataset.source,
        "schema": dataset.schema,
        "profile": dataset.profile,
    }
    if not used.tags:
        return {"dataset": json}
    return {"tags": entries((tag.key, tag.value) for tag in used.tags), "dataset": json}
