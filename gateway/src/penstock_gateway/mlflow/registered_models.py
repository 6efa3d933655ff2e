"""Registered models, their tags and aliases."""

import posixpath
import re
from collections.abc import Sequence
from typing import Any, Final

from google.protobuf.field_mask_pb2 import FieldMask

from penstock.api.registry.v1 import model_pb2
from penstock.api.registry.v1 import registry_service_pb2 as pb
from penstock_gateway.errors import RpcFailed, reason_of
from penstock_gateway.mlflow import registry_filters
from penstock_gateway.mlflow.calls import Call
from penstock_gateway.mlflow.entities import Json, entries, milliseconds, segment
from penstock_gateway.mlflow.errors import EXISTS, MlflowError, invalid, missing
from penstock_gateway.mlflow.fields import integer, items, shown, text, texts, wrong_type
from penstock_gateway.mlflow.keys import check_model_tag
from penstock_gateway.mlflow.paging import pages

__all__ = [
    "STAGES",
    "VERSION",
    "checked_alias",
    "create",
    "delete",
    "delete_alias",
    "delete_tag",
    "found_model",
    "get",
    "get_latest_versions",
    "model_name",
    "rename",
    "search",
    "set_alias",
    "set_tag",
    "stage_of",
    "update",
    "version_json",
    "version_number",
]

NAME_CHARS_MAX: Final = 256
ALIAS_CHARS_MAX: Final = 255
RESULTS_DEFAULT: Final = 100
RESULTS_MAX: Final = 1_000
STAGES: Final = {
    "None": model_pb2.MODEL_VERSION_STAGE_NONE,
    "Staging": model_pb2.MODEL_VERSION_STAGE_STAGING,
    "Production": model_pb2.MODEL_VERSION_STAGE_PRODUCTION,
    "Archived": model_pb2.MODEL_VERSION_STAGE_ARCHIVED,
}
VERSION: Final = text("version", required=True)

_STAGE_NAMES: Final = {number: name for name, number in STAGES.items()}
_NAME: Final = text("name", required=True)
_KEY: Final = text("key", required=True)
_ALIAS: Final = text("alias", required=True)
_ALIAS_CHARACTERS: Final = re.compile(r"[\w\-]*")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_VERSION_ALIAS: Final = re.compile(r"[vV]\d+")


async def create(call: Call) -> Json:
    """Creates a model without versions."""
    values = call.read(_NAME, items("tags", text("key"), text("value")), text("description"))
    name = values["name"]
    model_name(call, name)
    for tag in values["tags"]:
        check_model_tag(tag["key"], tag["value"])
    model = model_pb2.Model(
        description=values["description"], tags={tag["key"]: tag["value"] for tag in values["tags"]}
    )
    try:
        made = await call.rpc("CreateModel", pb.CreateModelRequest(parent=call.parent, model_id=name, model=model))
    except RpcFailed as error:
        if reason_of(error) == "MODEL_EXISTS":
            raise MlflowError(EXISTS, f"Registered Model (name={name}) already exists.") from None
        raise
    return {"registered_model": _model_json(made.model, [])}


async def get(call: Call) -> Json:
    """Returns a model, with the latest version of each stage."""
    return {"registered_model": await _whole(call, call.read(_NAME)["name"])}


async def update(call: Call) -> Json:
    """Changes the description of a model."""
    values = call.read(_NAME, text("description"))
    model = model_pb2.Model(name=model_name(call, values["name"]), description=values["description"])
    request = pb.UpdateModelRequest(model=model, update_mask=FieldMask(paths=["description"]))
    updated = (await found_model(call.rpc("UpdateModel", request), values["name"])).model
    return {"registered_model": _model_json(updated, await _latest(call, [values["name"]]))}


async def rename(call: Call) -> Json:
    """Gives a model another name."""
    values = call.read(_NAME, text("new_name", required=True))
    new_name = values["new_name"]
    model_name(call, new_name)
    request = pb.RenameModelRequest(name=model_name(call, values["name"]), model_id=new_name)
    try:
        renamed = (await found_model(call.rpc("RenameModel", request), values["name"])).model
    except RpcFailed as error:
        if reason_of(error) == "MODEL_EXISTS":
            raise MlflowError(EXISTS, f"Registered Model (name={new_name}) already exists.") from None
        raise
    return {"registered_model": _model_json(renamed, await _latest(call, [new_name]))}


async def delete(call: Call) -> Json:
    """Deletes a model with its versions."""
    name = call.read(_NAME)["name"]
    await found_model(call.rpc("DeleteModel", pb.DeleteModelRequest(name=model_name(call, name))), name)
    return {}


async def search(call: Call) -> Json:
    """Returns a page of the models that match a filter."""
    values = call.read(
        text("filter"), integer("max_results", default=RESULTS_DEFAULT), texts("order_by"), text("page_token")
    )
    wanted = values["max_results"]
    if wanted > RESULTS_MAX:
        raise wrong_type("max_results", wanted)
    if wanted < 1:
        raise invalid(f"Invalid value {wanted} for parameter 'max_results' supplied. It must be a positive integer")
    request = pb.SearchModelsRequest(
        parent=call.parent,
        filter=registry_filters.model_filter(values["filter"]),
        order_by=registry_filters.model_order(values["order_by"]),
    )
    found, token = await pages(call, "SearchModels", request, "models", wanted, values["page_token"])
    latest = await _latest(call, [segment(model.name) for model in found])
    json: Json = {}
    if found:
        json["registered_models"] = [_model_json(model, latest) for model in found]
    if token:
        json["next_page_token"] = token
    return json


async def get_latest_versions(call: Call) -> Json:
    """Returns the latest version of each stage."""
    values = call.read(_NAME, texts("stages"))
    stages = [stage_of(stage) for stage in values["stages"]]
    await found_model(call.rpc("GetModel", pb.GetModelRequest(name=model_name(call, values["name"]))), values["name"])
    versions = await _latest(call, [values["name"]], stages)
    return {"model_versions": [version_json(version) for version in versions]} if versions else {}


async def set_tag(call: Call) -> Json:
    """Sets a tag of a model."""
    values = call.read(_NAME, _KEY, text("value"))
    check_model_tag(values["key"], values["value"])
    request = pb.UpdateModelTagsRequest(name=model_name(call, values["name"]), set={values["key"]: values["value"]})
    await found_model(call.rpc("UpdateModelTags", request), values["name"])
    return {}


async def delete_tag(call: Call) -> Json:
    """Removes a tag of a model, if it is there."""
    values = call.read(_NAME, _KEY)
    check_model_tag(values["key"], "")
    request = pb.UpdateModelTagsRequest(name=model_name(call, values["name"]), remove=[values["key"]])
    await found_model(call.rpc("UpdateModelTags", request), values["name"])
    return {}


async def set_alias(call: Call) -> Json:
    """Points an alias to a version."""
    values = call.read(_NAME, _ALIAS, VERSION)
    name, alias = values["name"], checked_alias(values["alias"])
    parent = model_name(call, name)
    if alias.lower() == "latest":
        raise invalid("'latest' alias name (case insensitive) is reserved.")
    if _VERSION_ALIAS.fullmatch(alias):
        raise invalid(f"Version alias name '{alias}' is reserved.")
    request = pb.SetModelAliasRequest(parent=parent, alias=alias, version=version_number(name, values["version"]))
    await found_model(call.rpc("SetModelAlias", request), name, values["version"])
    return {}


async def delete_alias(call: Call) -> Json:
    """Deletes an alias, if it is there."""
    values = call.read(_NAME, _ALIAS)
    name = f"{model_name(call, values['name'])}/aliases/{checked_alias(values['alias'])}"
    try:
        await found_model(call.rpc("DeleteModelAlias", pb.DeleteModelAliasRequest(name=name)), values["name"])
    except RpcFailed as error:
        if reason_of(error) != "ALIAS_NOT_FOUND":
            raise
    return {}


def model_name(call: Call, name: str) -> str:
    """The resource name of a model. Raises `MlflowError`."""
    if not name.strip():
        raise invalid("Missing value for required parameter 'name'.")
    if "/" in name or ":" in name:
        raise invalid(f"Invalid model name '{name}'. Names cannot contain '/' or ':'.")
    resolved = posixpath.normpath(name)
    if resolved != name or resolved == "." or resolved.startswith(".."):
        raise invalid(
            f"Invalid value {shown(name)} for parameter 'name' supplied: Names may be treated as files in certain cases, and "
            f"must not resolve to other names when treated as such. This name would resolve to {resolved!r}"
        )
    if len(name) > NAME_CHARS_MAX or _CONTROL.search(name):
        raise invalid(f"A model's name has at most {NAME_CHARS_MAX} characters, none of them a control character.")
    return f"{call.parent}/models/{name}"


def version_number(name: str, version: str) -> int:
    """The number of a version. Raises `MlflowError`."""
    try:
        number = int(version)
    except ValueError:
        raise invalid(f"Parameter 'version' must be an integer, got '{version}'.") from None
    if not 0 < number < 10**9:
        raise _no_version(name, str(number))
    return number


def stage_of(stage: str) -> model_pb2.ModelVersionStage:
    """A stage, which may be written in any case. Raises `MlflowError`."""
    found = {name.lower(): number for name, number in STAGES.items()}.get(stage.lower())
    if found is None:
        raise invalid(f"Invalid Model Version stage: {stage}. Value must be one of {', '.join(STAGES)}.")
    return found


def checked_alias(alias: str) -> str:
    """An alias, if it may be one. Raises `MlflowError`."""
    if not _ALIAS_CHARACTERS.fullmatch(alias) or not alias.isascii():
        raise invalid(
            f"Invalid alias name: '{alias}'. Names may only contain alphanumerics, underscores (_), and dashes (-)."
        )
    if len(alias) > ALIAS_CHARS_MAX:
        raise invalid(f"'Registered model alias name' exceeds the maximum length of {ALIAS_CHARS_MAX} characters")
    return alias


async def found_model(answer: Any, name: str, version: str = "") -> Any:
    """Awaits a call about a model, or a version of it; that it is not there is said as MLflow says it."""
    try:
        return await answer
    except RpcFailed as error:
        reason = reason_of(error)
        if reason in ("MODEL_NOT_FOUND", "VERSION_NOT_FOUND") and version:
            raise _no_version(name, version) from None
        if reason == "MODEL_NOT_FOUND":
            raise missing(f"Registered Model with name={name} not found") from None
        raise


def version_json(version: model_pb2.ModelVersion) -> Json:
    """A version."""
    json: Json = {
        "name": segment(version.name.partition("/versions/")[0]),
        "version": str(version.number),
        "creation_timestamp": milliseconds(version.create_time),
        "last_updated_timestamp": milliseconds(version.update_time),
        "description": version.description,
        "current_stage": _STAGE_NAMES[version.stage],
        "source": version.source_uri,
        "run_id": segment(version.run),
        "run_link": version.run_link,
        "status": "READY",
    }
    if version.tags:
        json["tags"] = entries(sorted(version.tags.items()))
    if version.aliases:
        json["aliases"] = list(version.aliases)
    return json


async def _whole(call: Call, name: str) -> Json:
    request = pb.GetModelRequest(name=model_name(call, name))
    model = (await found_model(call.rpc("GetModel", request), name)).model
    return _model_json(model, await _latest(call, [name]))


async def _latest(
    call: Call, names: Sequence[str], stages: Sequence[model_pb2.ModelVersionStage] = ()
) -> Sequence[model_pb2.ModelVersion]:
    if not names:
        return []
    request = pb.ListLatestModelVersionsRequest(parent=call.parent, models=names, stages=stages)
    versions = (await call.rpc("ListLatestModelVersions", request)).versions
    return sorted(versions, key=lambda version: _STAGE_NAMES[version.stage])


def _model_json(model: model_pb2.Model, latest: Sequence[model_pb2.ModelVersion]) -> Json:
    json: Json = {
        "name": segment(model.name),
        "creation_timestamp": milliseconds(model.create_time),
        "last_updated_timestamp": milliseconds(model.update_time),
    }
    if model.description:
        json["description"] = model.description
    own = [version_json(version) for version in latest if version.name.startswith(f"{model.name}/versions/")]
    if own:
        # MLflow names the aliases once, those of the model.
        json["latest_versions"] = [
            {key: value for key, value in version.items() if key != "aliases"} for version in own
        ]
    if model.tags:
        json["tags"] = entries(sorted(model.tags.items()))
    if model.aliases:
        json["aliases"] = [{"alias": segment(alias.name), "version": segment(alias.version)} for alias in model.aliases]
    return json


def _no_version(name: str, version: str) -> MlflowError:
    return missing(f"Model Version (name={name}, version={version}) not found")
