"""What runs used and made: datasets and logged models."""

from typing import Any, Final

from penstock.api.tracking.v1 import dataset_pb2, run_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_gateway.mlflow.calls import Call
from penstock_gateway.mlflow.entities import Json
from penstock_gateway.mlflow.errors import invalid
from penstock_gateway.mlflow.fields import integer, items, one, text
from penstock_gateway.mlflow.logged_models import model_name
from penstock_gateway.mlflow.runs import RUN_ID, found_run, run_name

__all__ = ["log_inputs", "log_outputs"]

DATASET_LIMITS: Final = {
    "name": 500,
    "digest": 36,
    "source_type": 250,
    "source": 65_535,
    "schema": 1_048_575,
    "profile": 1_048_575,
}
TAG_KEY_CHARS_MAX: Final = 255
TAG_VALUE_CHARS_MAX: Final = 500

_DATASET: Final = one("dataset", *(text(name) for name in DATASET_LIMITS))
_TAGS: Final = items("tags", text("key"), text("value"))


async def log_inputs(call: Call) -> Json:
    """Adds datasets and logged models to what a run used."""
    values = call.read(RUN_ID, items("datasets", _DATASET, _TAGS), items("models", text("model_id")))
    datasets = [_dataset(used) for used in values["datasets"]]
    models = [model_name(call, model["model_id"]) for model in values["models"]]
    request = pb.LogInputsRequest(run=run_name(call, values["run_id"]), datasets=datasets, models=models)
    await found_run(call.rpc("LogInputs", request), values["run_id"])
    return {}


async def log_outputs(call: Call) -> Json:
    """Adds logged models to what a run made."""
    values = call.read(RUN_ID, items("models", text("model_id"), integer("step", default=0), required=True))
    models = [
        run_pb2.ModelOutput(model=model_name(call, model["model_id"]), step=model["step"]) for model in values["models"]
    ]
    request = pb.LogOutputsRequest(run=run_name(call, values["run_id"]), models=models)
    await found_run(call.rpc("LogOutputs", request), values["run_id"])
    return {}


def _dataset(used: dict[str, Any]) -> dataset_pb2.DatasetInput:
    dataset = used["dataset"]
    if dataset is None:
        raise invalid("Dataset input must have a dataset associated with it.")
    for name, limit in DATASET_LIMITS.items():
        if len(dataset[name]) > limit:
            raise invalid(f"'{name}' exceeds the maximum length of {limit} characters")
    for tag in used["tags"]:
        for name, limit in (("key", TAG_KEY_CHARS_MAX), ("value", TAG_VALUE_CHARS_MAX)):
            if len(tag[name]) > limit:
                raise invalid(f"'{name}' exceeds the maximum length of {limit} characters")
    return dataset_pb2.DatasetInput(
        dataset=dataset_pb2.Dataset(**dataset),
        tags=[dataset_pb2.DatasetTag(key=tag["key"], value=tag["value"]) for tag in used["tags"]],
    )
