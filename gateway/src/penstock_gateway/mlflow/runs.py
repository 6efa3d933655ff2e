"""Runs: what they are, their params and tags, and batches. What is logged goes through `LogBatch`, all of it or nothing."""

import asyncio
import json as json_text
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.api.tracking.v1 import run_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_gateway.errors import RpcFailed, reason_of
from penstock_gateway.mlflow import filters
from penstock_gateway.mlflow.calls import Call
from penstock_gateway.mlflow.entities import RUN_NAME, RUN_STATES, STATUSES, Json, run_info, run_json, value_text
from penstock_gateway.mlflow.errors import MlflowError, invalid, missing
from penstock_gateway.mlflow.experiments import VIEW_TYPES, experiment_name
from penstock_gateway.mlflow.fields import (
    INT64,
    Unreadable,
    choice,
    integer,
    items,
    missing_field,
    number,
    read,
    text,
    texts,
    wrong_type,
)
from penstock_gateway.mlflow.keys import TIME_MS_MAX as POINT_MS_MAX
from penstock_gateway.mlflow.keys import (
    check_batch_limits,
    check_metric,
    check_unique_params,
    cut_param,
    cut_tag,
)
from penstock_gateway.mlflow.logged_models import model_name
from penstock_gateway.mlflow.paging import pages

__all__ = [
    "RUN_ID",
    "artifact_uri",
    "create",
    "delete",
    "delete_tag",
    "found_run",
    "get",
    "log_batch",
    "log_metric",
    "log_model",
    "log_param",
    "restore",
    "run_name",
    "search",
    "set_tag",
    "update",
]

RESULTS_MAX: Final = 50_000
NAME_CHARS_MAX: Final = 500
TIME_MS_MAX: Final = 253_402_300_799_999  # the year 9999
USUAL_FIELDS: Final = 4  # of a point in a batch: key, value, timestamp, step
LOGGED_MODELS_TAG: Final = "mlflow.log-model.history"
MODEL_FIELDS: Final = ("artifact_path", "flavors", "utc_time_created", "run_id")

RUN_ID: Final = text("run_id", required=True, alias="run_uuid")
_HEX_ID: Final = re.compile(r"[0-9a-f]{32}")
_LOGGABLE_ID: Final = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}")
_KEY: Final = text("key", required=True)
_VALUE: Final = number("value", required=True)
_TIME: Final = integer("timestamp", required=True)
_STEP: Final = integer("step", default=0)
_OF_MODEL: Final = (text("model_id"), text("dataset_name"), text("dataset_digest"))
_KEY_AND_VALUE: Final = (text("key"), text("value"))
_INFO: Final = FieldMask(
    paths=[
        *("name", "display_name", "experiment", "state", "start_time", "end_time"),
        *("lifecycle_stage", "user", "artifact_location"),
    ]
)
_SEARCHED: Final = (
    *(path for path in _INFO.paths if path != "name"),
    *("params", "tags", "metrics", "datasets", "output_models"),
)


async def create(call: Call) -> Json:
    """Creates a run."""
    values = call.read(
        text("experiment_id"),
        integer("start_time", default=0),
        text("run_name"),
        text("user_id"),
        items("tags", *_KEY_AND_VALUE),
    )
    tags = {tag["key"]: tag["value"] for tag in values["tags"]}
    tagged_name = tags.pop(RUN_NAME, "")
    if values["run_name"] and tagged_name and values["run_name"] != tagged_name:
        raise invalid(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{values['run_name']}', mlflow.runName='{tagged_name}')."
        )
    experiment = experiment_name(call, values["experiment_id"])
    run = run_pb2.Run(
        experiment=experiment,
        display_name=_checked_name(values["run_name"] or tagged_name),
        start_time=_time("start_time", values["start_time"]),
        user=values["user_id"],
        tags=[run_pb2.Tag(key=key, value=value) for key, value in (cut_tag(*pair) for pair in tags.items())],
    )
    try:
        made = await call.rpc("CreateRun", pb.CreateRunRequest(parent=call.parent, run=run))
    except RpcFailed as error:
        experiment_id = experiment.rpartition("/")[2]
        if reason_of(error) == "EXPERIMENT_NOT_FOUND":
            raise missing(f"No Experiment with id={experiment_id} exists") from None
        if reason_of(error) == "EXPERIMENT_DELETED":
            raise invalid(
                f"The experiment {experiment_id} must be in the 'active' state. Current state is deleted."
            ) from None
        raise
    made_json = run_json(made.run)
    del made_json["outputs"]  # which MLflow does not name yet
    return {"run": made_json}


async def get(call: Call) -> Json:
    """Returns a run, deleted or not."""
    return {"run": run_json(await _run(call, call.read(RUN_ID)["run_id"]))}


async def update(call: Call) -> Json:
    """Changes the name of a run, what it is doing, and when it ended."""
    values = call.read(RUN_ID, integer("end_time"), choice("status", STATUSES), text("run_name"))
    change = pb.RunChange(
        display_name=_checked_name(values["run_name"]),
        state=RUN_STATES.get(values["status"]),
        end_time=None if values["end_time"] is None else _time("end_time", values["end_time"]),
    )
    await _log(call, pb.LogBatchRequest(run=run_name(call, values["run_id"]), change=change))
    return {"run_info": run_info(await _run(call, values["run_id"], _INFO))}


async def delete(call: Call) -> Json:
    """Moves a run to the bin."""
    run_id = call.read(RUN_ID)["run_id"]
    await found_run(call.rpc("DeleteRun", pb.DeleteRunRequest(name=run_name(call, run_id))), run_id)
    return {}


async def restore(call: Call) -> Json:
    """Takes a run out of the bin."""
    run_id = call.read(RUN_ID)["run_id"]
    await found_run(call.rpc("RestoreRun", pb.RestoreRunRequest(name=run_name(call, run_id))), run_id)
    return {}


async def log_metric(call: Call) -> Json:
    """Logs a point of a metric."""
    values = call.read(RUN_ID, _KEY, _VALUE, _TIME, _STEP, *_OF_MODEL)
    check_metric(values["key"], values["value"], values["timestamp"])
    point = pb.MetricPoint(
        key=values["key"],
        value=values["value"],
        step=values["step"],
        time_unix_us=values["timestamp"] * 1_000,
        **_model_fields(call, values),
    )
    await _log(call, _batch(call, values["run_id"], metrics=[point]))
    return {}


async def log_param(call: Call) -> Json:
    """Logs a param, once and for all."""
    values = call.read(RUN_ID, _KEY, text("value"))
    key, value = cut_param(values["key"], values["value"])

    def conflict(params: Mapping[str, str]) -> MlflowError:
        return invalid(
            f"Changing param values is not allowed. Param with key='{key}' was already logged with "
            f"value='{params[key]}' for run ID='{values['run_id']}'. Attempted logging new value '{value}'."
        )

    await _log_params(call, _batch(call, values["run_id"], params={key: value}), values["run_id"], conflict)
    return {}


async def set_tag(call: Call) -> Json:
    """Sets a tag of a run."""
    values = call.read(RUN_ID, _KEY, text("value"))
    key, value = cut_tag(values["key"], values["value"])
    await _log(call, _batch(call, values["run_id"], tags=[(key, value)]))
    return {}


async def delete_tag(call: Call) -> Json:
    """Removes a tag of a run, which has to be there."""
    values = call.read(RUN_ID, _KEY)
    key = values["key"]
    run = await _run(call, values["run_id"], FieldMask(paths=["name", "tags", "lifecycle_stage"]))
    if key == RUN_NAME:
        raise invalid(f"The tag '{RUN_NAME}' is the name of the run, and every run has one.")
    if key not in {tag.key for tag in run.tags}:
        raise missing(f"No tag with name: {key} in run with id {values['run_id']}")
    await _log(call, pb.LogBatchRequest(run=run.name, removed_tags=[key]))
    return {}


async def log_batch(call: Call) -> Json:
    """Logs metrics, params and tags: all of them, or nothing. Sent again it changes nothing."""
    values = call.read(
        RUN_ID,
        items("params", *_KEY_AND_VALUE),
        items("tags", *_KEY_AND_VALUE),
    )
    run_id = values["run_id"]
    request = pb.LogBatchRequest()
    _read_points(call, request)
    params, tags = values["params"], values["tags"]
    for kind, entries in (("params", params), ("tags", tags)):
        for index, entry in enumerate(entries):
            if not entry["key"]:
                raise missing_field(f"{kind}[{index}].key")
    if not _LOGGABLE_ID.fullmatch(run_id):
        raise invalid(f"Invalid value {json_text.dumps(run_id)} for parameter 'run_id' supplied.")
    cut_params = [cut_param(one["key"], one["value"], f"params[{i}]") for i, one in enumerate(params)]
    cut_tags = [cut_tag(one["key"], one["value"], f"tags[{i}]") for i, one in enumerate(tags)]
    check_batch_limits(len(request.metrics), len(params), len(tags))
    check_unique_params([key for key, _ in cut_params])
    new = dict(cut_params)

    def conflict(had: Mapping[str, str]) -> MlflowError:
        changed = [
            {"key": key, "old_value": had[key], "new_value": value}
            for key, value in cut_params
            if key in had and had[key] != value
        ]
        return invalid(
            f"Changing param values is not allowed. Params were already logged='{changed}' for run ID='{run_id}'."
        )

    request.MergeFrom(_batch(call, run_id, params=new, tags=cut_tags))
    await _log_params(call, request, run_id, conflict)
    return {}


async def log_model(call: Call) -> Json:
    """Notes a model in the tag where MLflow's clients before version 3 keep the models of a run."""
    values = call.read(RUN_ID, text("model_json", required=True))
    try:
        model = json_text.loads(values["model_json"])
    except (ValueError, RecursionError):
        model = None
    if not isinstance(model, dict):
        raise invalid(f"Malformed model info. \n {values['model_json'][:1_000]} \n is not a valid JSON.")
    absent = [name for name in MODEL_FIELDS if name not in model]
    if absent:
        raise invalid(f"Model json is missing mandatory fields: {set(absent)}")
    run = await _run(call, values["run_id"], FieldMask(paths=["name", "tags"]))
    before = next((tag.value for tag in run.tags if tag.key == LOGGED_MODELS_TAG), "[]")
    try:
        models = json_text.loads(before)
    except ValueError:
        models = []
    history = json_text.dumps([*models, model] if isinstance(models, list) else [model])
    await _log(call, _batch(call, values["run_id"], tags=[cut_tag(LOGGED_MODELS_TAG, history)]))
    return {}


async def search(call: Call) -> bytes | Json:
    """Returns a page of the runs that match a filter, with their latest metrics, params and tags."""
    values = call.read(
        texts("experiment_ids"),
        text("filter"),
        integer("max_results", default=1_000),
        texts("order_by"),
        choice("run_view_type", VIEW_TYPES, default=1),
        text("page_token"),
    )
    wanted = values["max_results"]
    if wanted > RESULTS_MAX:
        raise wrong_type("max_results", wanted)
    if wanted < 1:
        raise invalid(f"Invalid value {wanted} for parameter 'max_results' supplied. It must be a positive integer")
    request = pb.SearchRunsRequest(
        parent=call.parent,
        filter=filters.with_view(filters.run_filter(values["filter"]), values["run_view_type"]),
        order_by=filters.run_order(values["order_by"]),
        experiments=[experiment_name(call, one) for one in values["experiment_ids"]],
        show_deleted=values["run_view_type"] != VIEW_TYPES["ACTIVE_ONLY"],
        columns=_SEARCHED,
    )
    if not request.experiments:
        return {}
    found, token = await pages(call, "SearchRuns", request, "runs", wanted, values["page_token"])
    if not found:
        return {}

    def answer() -> bytes:
        more = {"next_page_token": token} if token else {}
        return json_text.dumps({"runs": [run_json(run) for run in found], **more}).encode()

    return await asyncio.to_thread(answer)


def run_name(call: Call, run_id: str) -> str:
    """The resource name of a run. Raises `MlflowError` for what is no id of ours."""
    if not _HEX_ID.fullmatch(run_id):
        raise _no_run(run_id)
    return f"{call.parent}/runs/{run_id}"


async def artifact_uri(call: Call, run_id: str) -> str:
    """Where the artifacts of a run are. Raises `MlflowError` if there is none."""
    return run_info(await _run(call, run_id, _INFO))["artifact_uri"]


async def _run(call: Call, run_id: str, mask: FieldMask | None = None) -> run_pb2.Run:
    request = pb.GetRunRequest(name=run_name(call, run_id), read_mask=mask)
    return (await found_run(call.rpc("GetRun", request), run_id)).run


async def found_run(answer: Any, run_id: str) -> Any:
    """Awaits a call about a run; that it is not there, or deleted, is said as MLflow says it."""
    try:
        return await answer
    except RpcFailed as error:
        reason = reason_of(error)
        if reason == "RUN_NOT_FOUND":
            raise _no_run(run_id) from None
        if reason == "RUN_DELETED":
            raise invalid(f"The run {run_id} must be in the 'active' state. Current state is deleted.") from None
        raise


async def _log(call: Call, request: pb.LogBatchRequest) -> None:
    await found_run(call.rpc("LogBatch", request), request.run.rpartition("/")[2])


async def _log_params(call: Call, request: pb.LogBatchRequest, run_id: str, conflict: Any) -> None:
    """Logs a batch with params. `conflict` makes the error about those that the run has with other values."""
    try:
        await _log(call, request)
        return
    except RpcFailed as error:
        if reason_of(error) != "PARAM_CONFLICT":
            raise
    run = await _run(call, run_id, FieldMask(paths=["name", "params"]))
    had = {param.key: value_text(param.value) for param in run.params}
    if any(had.get(param.key, param.value.string_value) != param.value.string_value for param in request.params):
        raise conflict(had)
    # The run has them typed, as our SDK logs them, and they read the same: for MLflow they are equal.
    left = [param for param in request.params if param.key not in had]
    del request.params[:]
    request.params.extend(left)
    await _log(call, request)


def _batch(
    call: Call,
    run_id: str,
    *,
    metrics: Sequence[pb.MetricPoint] = (),
    params: Mapping[str, str] | None = None,
    tags: Sequence[tuple[str, str]] = (),
) -> pb.LogBatchRequest:
    names = [value for key, value in tags if key == RUN_NAME]
    return pb.LogBatchRequest(
        run=run_name(call, run_id),
        metrics=metrics,
        params=[
            run_pb2.Param(key=key, value=run_pb2.Value(string_value=value)) for key, value in (params or {}).items()
        ],
        tags=[run_pb2.Tag(key=key, value=value) for key, value in dict(tags).items() if key != RUN_NAME],
        change=pb.RunChange(display_name=_checked_name(names[-1])) if names else None,
        collapse_identical=True,
        keep_zero_times=True,
    )


def _read_points(call: Call, request: pb.LogBatchRequest) -> None:
    """Adds the metrics of a batch to a request. Raises `MlflowError`.

    There are up to a thousand: those of the usual types are read at once, and a key is checked when it comes first.
    """
    raw = call.body.get("metrics")
    if raw is None:
        return
    if not isinstance(raw, list):
        raise wrong_type("metrics", raw)
    known: set[str] = set()
    add = request.metrics.add
    for index, metric in enumerate(raw):
        if not isinstance(metric, dict):
            raise wrong_type("metrics", raw)
        key, value, time_ms, step = metric.get("key"), metric.get("value"), metric.get("timestamp"), metric.get("step")
        usual = type(key) is str and type(value) is float and type(time_ms) is int and type(step) is int
        if usual and key in known and len(metric) == USUAL_FIELDS and 0 <= time_ms <= POINT_MS_MAX and step in INT64:
            add(key=key, value=value, step=step, time_unix_us=time_ms * 1_000)
            continue
        for name, given in (("key", key), ("value", value), ("timestamp", time_ms)):
            if given is None or given == "":
                raise missing_field(f"metrics[{index}].{name}")
        try:
            key, value, time_ms, step = (
                _KEY.reads(key),
                _VALUE.reads(value),
                _TIME.reads(time_ms),
                _STEP.reads(step or 0),
            )
        except Unreadable:
            raise wrong_type("metrics", raw) from None
        check_metric(key, value, time_ms, f"metrics[{index}]")
        known.add(key)
        more = _model_fields(call, read(metric, _OF_MODEL)) if len(metric) > USUAL_FIELDS else {}
        add(key=key, value=value, step=step, time_unix_us=time_ms * 1_000, **more)


def _model_fields(call: Call, values: Mapping[str, Any]) -> dict[str, str]:
    """What makes a point one of a logged model too."""
    if bool(values["dataset_name"]) != bool(values["dataset_digest"]):
        raise invalid("Both dataset_name and dataset_digest must be provided if one is provided")
    if not values["model_id"]:
        return {}
    return {
        "logged_model": model_name(call, values["model_id"]),
        "dataset_name": values["dataset_name"],
        "dataset_digest": values["dataset_digest"],
    }


def _checked_name(name: str) -> str:
    if len(name) > NAME_CHARS_MAX:
        raise invalid(f"'run_name' exceeds the maximum length of {NAME_CHARS_MAX} characters")
    return name


def _time(name: str, time_ms: int) -> Timestamp:
    if not 0 <= time_ms <= TIME_MS_MAX:
        raise invalid(
            f"Invalid value {time_ms} for parameter '{name}' supplied: it is not within the years 1970 to 9999."
        )
    return Timestamp(seconds=time_ms // 1_000, nanos=time_ms % 1_000 * 1_000_000)


def _no_run(run_id: str) -> MlflowError:
    return missing(f"Run with id={run_id} not found")
