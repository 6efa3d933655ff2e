"""Experiments."""

import re
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.field_mask_pb2 import FieldMask

from penstock.api.tracking.v1 import experiment_pb2
from penstock.api.tracking.v1 import tracking_service_pb2 as pb
from penstock_gateway.errors import RpcFailed, reason_of
from penstock_gateway.mlflow import filters
from penstock_gateway.mlflow.calls import Call
from penstock_gateway.mlflow.entities import Json, experiment_json, segment
from penstock_gateway.mlflow.errors import EXISTS, MlflowError, invalid, missing
from penstock_gateway.mlflow.fields import choice, integer, items, text, texts
from penstock_gateway.mlflow.keys import check_experiment_tag
from penstock_gateway.mlflow.paging import pages
from penstock_gateway.mlflow.uris import checked_location

__all__ = [
    "VIEW_TYPES",
    "create",
    "delete",
    "delete_tag",
    "experiment_name",
    "get",
    "get_by_name",
    "rename",
    "restore",
    "search",
    "set_tag",
]

NAME_CHARS_MAX: Final = 500
RESULTS_MAX: Final = 50_000
CHANGE_ATTEMPTS_MAX: Final = 10  # of others who change the tags of an experiment meanwhile
VIEW_TYPES: Final = {"ACTIVE_ONLY": 1, "DELETED_ONLY": 2, "ALL": 3}
_ID: Final = text("experiment_id", required=True)
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")


async def create(call: Call) -> Json:
    """Creates an experiment. Its name must be new, also among those in the bin."""
    values = call.read(
        text("name", required=True), text("artifact_location"), items("tags", text("key"), text("value"))
    )
    _check_name(values["name"])
    for tag in values["tags"]:
        check_experiment_tag(tag["key"], tag["value"])
    experiment = experiment_pb2.Experiment(
        display_name=values["name"],
        artifact_location=checked_location(values["artifact_location"]) if values["artifact_location"] else "",
        tags={tag["key"]: tag["value"] for tag in values["tags"]},
    )
    request = pb.CreateExperimentRequest(parent=call.parent, experiment=experiment, refuse_deleted_name=True)
    try:
        made = await call.rpc("CreateExperiment", request)
    except RpcFailed as error:
        if reason_of(error) == "EXPERIMENT_EXISTS":
            raise MlflowError(EXISTS, f"Experiment(name={values['name']}) already exists.") from None
        raise
    return {"experiment_id": segment(made.experiment.name)}


async def get(call: Call) -> Json:
    """Returns an experiment, deleted or not."""
    experiment = await _experiment(call, call.read(_ID)["experiment_id"])
    return {"experiment": experiment_json(experiment)}


async def get_by_name(call: Call) -> Json:
    """Returns the experiment with a name, deleted or not."""
    name = call.read(text("experiment_name", required=True))["experiment_name"]
    found: list[experiment_pb2.Experiment] = []
    if len(name) <= NAME_CHARS_MAX:
        request = pb.ListExperimentsRequest(parent=call.parent, display_name=name, show_deleted=True)
        found = (await call.rpc("ListExperiments", request)).experiments
    if not found:
        raise missing(f"Could not find experiment with name '{name}'")
    # Of several only one is in use: the platform lets a name that is in the bin be given again.
    active = [one for one in found if one.lifecycle_stage == experiment_pb2.LIFECYCLE_STAGE_ACTIVE]
    return {"experiment": experiment_json((active or found)[0])}


async def delete(call: Call) -> Json:
    """Moves an experiment and its runs to the bin."""
    experiment = await _experiment(call, call.read(_ID)["experiment_id"])
    if experiment.lifecycle_stage != experiment_pb2.LIFECYCLE_STAGE_ACTIVE:
        raise _no_experiment(segment(experiment.name))
    await call.rpc("DeleteExperiment", pb.DeleteExperimentRequest(name=experiment.name))
    return {}


async def restore(call: Call) -> Json:
    """Takes an experiment and all its runs out of the bin."""
    experiment = await _experiment(call, call.read(_ID)["experiment_id"])
    if experiment.lifecycle_stage != experiment_pb2.LIFECYCLE_STAGE_DELETED:
        raise _no_experiment(segment(experiment.name))
    await call.rpc("RestoreExperiment", pb.RestoreExperimentRequest(name=experiment.name, all_runs=True))
    return {}


async def rename(call: Call) -> Json:
    """Gives an experiment another name."""
    values = call.read(_ID, text("new_name", required=True))
    _check_name(values["new_name"])
    experiment = await _experiment(call, values["experiment_id"])
    if experiment.lifecycle_stage != experiment_pb2.LIFECYCLE_STAGE_ACTIVE:
        raise invalid("Cannot rename a non-active experiment.")
    renamed = experiment_pb2.Experiment(name=experiment.name, display_name=values["new_name"])
    await call.rpc(
        "UpdateExperiment",
        pb.UpdateExperimentRequest(experiment=renamed, update_mask=FieldMask(paths=["display_name"])),
    )
    return {}


async def set_tag(call: Call) -> Json:
    """Sets a tag of an experiment."""
    values = call.read(_ID, text("key", required=True), text("value"))
    check_experiment_tag(values["key"], values["value"])
    await _change_tags(call, values["experiment_id"], lambda tags: {**tags, values["key"]: values["value"]})
    return {}


async def delete_tag(call: Call) -> Json:
    """Removes a tag of an experiment, which has to be there."""
    values = call.read(_ID, text("key", required=True))

    def change(tags: dict[str, str]) -> dict[str, str]:
        if values["key"] not in tags:
            raise missing(f"No tag with name: {values['key']} in experiment with id {values['experiment_id']}")
        return {key: value for key, value in tags.items() if key != values["key"]}

    await _change_tags(call, values["experiment_id"], change)
    return {}


async def search(call: Call) -> Json:
    """Returns a page of the experiments that match a filter."""
    values = call.read(
        choice("view_type", VIEW_TYPES, default=1),
        integer("max_results", default=0),
        texts("order_by"),
        text("filter"),
        text("page_token"),
    )
    wanted = values["max_results"]
    if wanted < 1:
        raise invalid(f"Invalid value {wanted} for parameter 'max_results' supplied. It must be a positive integer")
    if wanted > RESULTS_MAX:
        raise invalid(f"Invalid value {wanted} for parameter 'max_results' supplied. It must be at most {RESULTS_MAX}")
    request = pb.ListExperimentsRequest(
        parent=call.parent,
        filter=filters.with_view(filters.experiment_filter(values["filter"]), values["view_type"]),
        order_by=filters.experiment_order(values["order_by"]),
        show_deleted=values["view_type"] != VIEW_TYPES["ACTIVE_ONLY"],
    )
    found, token = await pages(call, "ListExperiments", request, "experiments", wanted, values["page_token"])
    json: Json = {}
    if found:
        json["experiments"] = [experiment_json(experiment) for experiment in found]
    if token:
        json["next_page_token"] = token
    return json


def experiment_name(call: Call, experiment_id: str) -> str:
    """The resource name of an experiment; the empty id is that of the default one. Raises `MlflowError`."""
    if not experiment_id:
        return f"{call.parent}/experiments/0"
    if not _INTEGER.fullmatch(experiment_id):
        raise invalid(f"Invalid experiment ID '{experiment_id}'. Experiment ID must be a valid integer.")
    number = int(experiment_id)
    if number < 0:
        raise _no_experiment(str(number))
    return f"{call.parent}/experiments/{number}"


async def _experiment(call: Call, experiment_id: str) -> experiment_pb2.Experiment:
    name = experiment_name(call, experiment_id)
    try:
        return (await call.rpc("GetExperiment", pb.GetExperimentRequest(name=name))).experiment
    except RpcFailed as error:
        if reason_of(error) == "EXPERIMENT_NOT_FOUND":
            raise _no_experiment(segment(name)) from None
        raise


async def _change_tags(call: Call, experiment_id: str, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    """Replaces the tags of an experiment; once more where somebody else was quicker."""
    for attempt in range(CHANGE_ATTEMPTS_MAX):
        experiment = await _experiment(call, experiment_id)
        if experiment.lifecycle_stage != experiment_pb2.LIFECYCLE_STAGE_ACTIVE:
            raise invalid(
                f"The experiment {segment(experiment.name)} must be in the 'active' state. Current state is deleted."
            )
        changed = experiment_pb2.Experiment(
            name=experiment.name, tags=change(dict(experiment.tags)), etag=experiment.etag
        )
        request: Any = pb.UpdateExperimentRequest(experiment=changed, update_mask=FieldMask(paths=["tags"]))
        try:
            await call.rpc("UpdateExperiment", request)
        except RpcFailed as error:
            if reason_of(error) != "ETAG_MISMATCH" or attempt == CHANGE_ATTEMPTS_MAX - 1:
                raise
        else:
            return


def _check_name(name: str) -> None:
    if len(name) > NAME_CHARS_MAX:
        raise invalid(f"'name' exceeds the maximum length of {NAME_CHARS_MAX} characters")


def _no_experiment(experiment_id: str) -> MlflowError:
    return missing(f"No Experiment with id={experiment_id} exists")
