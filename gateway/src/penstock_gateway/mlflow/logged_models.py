"""Logged models: what MLflow 3 keeps of a model before anybody registers it."""

import re
from collections.abc import Mapping
from typing import Any, Final

from penstock.api.tracking.v1 import experiment_pb2, logged_model_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_gateway.errors import RpcFailed, reason_of
from penstock_gateway.mlflow import filters
from penstock_gateway.mlflow.calls import Call
from penstock_gateway.mlflow.entities import Json, entries, metric_json, milliseconds, segment
from penstock_gateway.mlflow.errors import MlflowError, invalid, missing
from penstock_gateway.mlflow.experiments import experiment_name
from penstock_gateway.mlflow.fields import choice, flag, integer, items, missing_field, text, texts
from penstock_gateway.mlflow.paging import pages
from penstock_gateway.mlflow.uris import below, default_location

__all__ = [
    "artifact_uri",
    "create",
    "delete",
    "delete_tag",
    "finalize",
    "found",
    "get",
    "log_params",
    "model_name",
    "search",
    "set_tags",
]

RESULTS_DEFAULT: Final = 100
RESULTS_MAX: Final = 50_000
STATUSES: Final = {"LOGGED_MODEL_PENDING": 1, "LOGGED_MODEL_READY": 2, "LOGGED_MODEL_UPLOAD_FAILED": 3}
_STATUS_NAMES: Final = {number: name for name, number in STATUSES.items()}
_NAME_FORBIDS: Final = ("/", ":", ".", "%", '"', "'")
_MODEL_ID: Final = re.compile(r"m-[0-9a-f]{32}")
_ID: Final = text("model_id", required=True)  # in the body as well as in the path, which counts
_KEY_AND_VALUE: Final = (text("key"), text("value"))


async def create(call: Call) -> Json:
    """Creates a model, whose files are yet to come."""
    values = call.read(
        text("experiment_id", required=True),
        text("name"),
        text("model_type"),
        text("source_run_id"),
        items("params", *_KEY_AND_VALUE),
        items("tags", *_KEY_AND_VALUE),
    )
    name = values["name"]
    if any(forbidden in name for forbidden in _NAME_FORBIDS):
        raise invalid(
            f"Invalid model name ({name!r}) provided. Model name must be a non-empty string and cannot contain the "
            f"following characters: {_NAME_FORBIDS}"
        )
    experiment = experiment_name(call, values["experiment_id"])
    model = logged_model_pb2.LoggedModel(
        display_name=name,
        experiment=experiment,
        model_type=values["model_type"],
        source_run=f"{call.parent}/runs/{values['source_run_id']}" if values["source_run_id"] else "",
        params={param["key"]: param["value"] for param in values["params"]},
        tags={tag["key"]: tag["value"] for tag in values["tags"]},
    )
    try:
        made = await call.rpc("CreateLoggedModel", pb.CreateLoggedModelRequest(parent=call.parent, model=model))
    except RpcFailed as error:
        if reason_of(error) == "EXPERIMENT_NOT_FOUND":
            raise missing(f"No Experiment with id={segment(experiment)} exists") from None
        if reason_of(error) == "EXPERIMENT_DELETED":
            raise invalid(
                f"The experiment {segment(experiment)} must be in the 'active' state. Current state is deleted."
            ) from None
        raise
    return {"model": _model_json(made.model)}


async def get(call: Call) -> Json:
    """Returns a model; a deleted one if that is said to be right."""
    model_id = call.path["model_id"]
    values = call.read(flag("allow_deleted"))
    model = (
        await _found(call.rpc("GetLoggedModel", pb.GetLoggedModelRequest(name=model_name(call, model_id))), model_id)
    ).model
    if model.lifecycle_stage == experiment_pb2.LIFECYCLE_STAGE_DELETED and not values["allow_deleted"]:
        raise _no_model(model_id)
    return {"model": _model_json(model)}


async def finalize(call: Call) -> Json:
    """Says whether the files of a model came."""
    model_id = call.path["model_id"]
    status = call.read(_ID, choice("status", STATUSES, required=True))["status"]
    if status is None:
        raise missing_field("status")
    request = pb.FinishLoggedModelRequest(name=model_name(call, model_id), state=status)
    return {"model": _model_json((await _found(call.rpc("FinishLoggedModel", request), model_id)).model)}


async def delete(call: Call) -> Json:
    """Moves a model to the bin."""
    model_id = call.path["model_id"]
    await _found(call.rpc("DeleteLoggedModel", pb.DeleteLoggedModelRequest(name=model_name(call, model_id))), model_id)
    return {}


async def set_tags(call: Call) -> Json:
    """Sets tags of a model."""
    tags = call.read(items("tags", *_KEY_AND_VALUE))["tags"]
    await _annotate(call, tags={tag["key"]: tag["value"] for tag in tags})
    return {}


async def delete_tag(call: Call) -> Json:
    """Removes a tag of a model, which has to be there."""
    model_id, key = call.path["model_id"], call.path["tag_key"]
    request = pb.GetLoggedModelRequest(name=model_name(call, model_id))
    model = (await _found(call.rpc("GetLoggedModel", request), model_id)).model
    if key not in model.tags:
        raise missing(f"No tag with key {key!r} found for model with ID {model_id!r}.")
    await _annotate(call, removed_tags=[key])
    return {}


async def log_params(call: Call) -> Json:
    """Adds params to a model."""
    params = call.read(_ID, items("params", *_KEY_AND_VALUE))["params"]
    await _annotate(call, params={param["key"]: param["value"] for param in params})
    return {}


async def search(call: Call) -> Json:
    """Returns a page of the models of experiments that match a filter."""
    values = call.read(
        texts("experiment_ids", required=True),
        text("filter"),
        items("datasets", text("dataset_name"), text("dataset_digest")),
        integer("max_results", default=50),
        items(
            "order_by",
            text("field_name"),
            flag("ascending", default=True),
            text("dataset_name"),
            text("dataset_digest"),
        ),
        text("page_token"),
    )
    if any(not dataset["dataset_name"] for dataset in values["datasets"]):
        raise invalid("`dataset_name` in the `datasets` clause must be specified.")
    wanted = values["max_results"] or RESULTS_DEFAULT
    if not 1 <= wanted <= RESULTS_MAX:
        raise invalid(f"Invalid value {wanted} for parameter 'max_results' supplied. It must be a positive integer")
    request = pb.SearchLoggedModelsRequest(
        parent=call.parent,
        experiments=[experiment_name(call, experiment_id) for experiment_id in values["experiment_ids"]],
        filter=filters.model_filter(values["filter"]),
        order_by=filters.model_order([(term["field_name"], term["ascending"]) for term in values["order_by"]]),
        datasets=[
            pb.DatasetReference(name=dataset["dataset_name"], digest=dataset["dataset_digest"])
            for dataset in values["datasets"]
        ],
    )
    if not request.experiments:
        return {}
    models, token = await pages(call, "SearchLoggedModels", request, "models", wanted, values["page_token"])
    json: Json = {}
    if models:
        json["models"] = [_model_json(model) for model in models]
    if token:
        json["next_page_token"] = token
    return json


async def found(call: Call, model_id: str) -> logged_model_pb2.LoggedModel:
    """A model that is not deleted. Raises `MlflowError` if there is none."""
    request = pb.GetLoggedModelRequest(name=model_name(call, model_id))
    model = (await _found(call.rpc("GetLoggedModel", request), model_id)).model
    if model.lifecycle_stage == experiment_pb2.LIFECYCLE_STAGE_DELETED:
        raise _no_model(model_id)
    return model


def artifact_uri(model: logged_model_pb2.LoggedModel) -> str:
    """Where the files of a model are."""
    location = model.artifact_location or default_location(segment(model.experiment))
    return below(location, "models", segment(model.name), "artifacts")


def model_name(call: Call, model_id: str) -> str:
    """The resource name of a model. Raises `MlflowError` for what is no id of ours."""
    if not _MODEL_ID.fullmatch(model_id):
        raise _no_model(model_id)
    return f"{call.parent}/loggedModels/{model_id}"


async def _annotate(
    call: Call,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    removed_tags: list[str] | None = None,
) -> None:
    model_id = call.path["model_id"]
    request = pb.AnnotateLoggedModelRequest(
        name=model_name(call, model_id), params=params, tags=tags, removed_tags=removed_tags
    )
    await _found(call.rpc("AnnotateLoggedModel", request), model_id)


async def _found(answer: Any, model_id: str) -> Any:
    try:
        return await answer
    except RpcFailed as error:
        if reason_of(error) == "LOGGED_MODEL_NOT_FOUND":
            raise _no_model(model_id) from None
        raise


def _no_model(model_id: str) -> MlflowError:
    return missing(f"Logged model with ID '{model_id}' not found.")


def _model_json(model: logged_model_pb2.LoggedModel) -> Json:
    model_id, experiment_id = segment(model.name), segment(model.experiment)
    info: Json = {
        "experiment_id": experiment_id,
        "model_id": model_id,
        "name": model.display_name,
        "artifact_uri": artifact_uri(model),
        "creation_timestamp_ms": milliseconds(model.create_time),
        "last_updated_timestamp_ms": milliseconds(model.update_time),
        "model_type": model.model_type,
        "source_run_id": segment(model.source_run),
        "status": _STATUS_NAMES[model.state],
    }
    if model.tags:
        info["tags"] = entries(sorted(model.tags.items()))
    data: Json = {}
    if model.params:
        data["params"] = entries(sorted(model.params.items()))
    if model.metrics:
        data["metrics"] = [_model_metric(metric, model_id) for metric in model.metrics]
    return {"info": info, "data": data}


def _model_metric(metric: logged_model_pb2.LoggedModelMetric, model_id: str) -> Json:
    json = metric_json(metric.key, metric.value, metric.time_unix_us // 1_000, metric.step)
    json |= {"model_id": model_id, "run_id": segment(metric.run)}
    if metric.dataset_name:
        json["dataset_name"] = metric.dataset_name
    if metric.dataset_digest:
        json["dataset_digest"] = metric.dataset_digest
    return json
