"""Versions of registered models: where their files are, stages, tags. A source is recorded and handed back, never opened."""

import json as json_text
import re
from typing import Final

from google.protobuf.field_mask_pb2 import FieldMask

from penstock.api.registry.v1 import model_pb2
from penstock.api.registry.v1 import registry_service_pb2 as pb
from penstock.api.tracking.v1 import tracking_service_pb2 as tracking_pb
from penstock_gateway.errors import RpcFailed, reason_of
from penstock_gateway.mlflow import logged_models, registry_filters, runs
from penstock_gateway.mlflow.artifact_paths import Place, place_of
from penstock_gateway.mlflow.artifacts import published
from penstock_gateway.mlflow.calls import Call
from penstock_gateway.mlflow.entities import Json, segment
from penstock_gateway.mlflow.errors import MlflowError, invalid, missing
from penstock_gateway.mlflow.fields import flag, integer, items, text, texts, wrong_type
from penstock_gateway.mlflow.keys import check_model_tag
from penstock_gateway.mlflow.paging import pages
from penstock_gateway.mlflow.registered_models import (
    VERSION,
    checked_alias,
    found_model,
    model_name,
    stage_of,
    version_json,
    version_number,
)
from penstock_gateway.mlflow.uris import KEPT_HERE, checked_source, is_below

__all__ = [
    "create",
    "delete",
    "delete_tag",
    "get",
    "get_by_alias",
    "get_download_uri",
    "search",
    "set_tag",
    "transition",
    "update",
]

RESULTS_MAX: Final = 200_000
SOURCES_FOLLOWED_MAX: Final = 10  # of versions that were made from versions
MODEL_VERSIONS_TAG: Final = "mlflow.modelVersions"  # by which MLflow's pages lead from a logged model to its versions
_NAME: Final = text("name", required=True)
_KEY: Final = text("key", required=True)
_NO_SOURCE: Final = re.compile(r"[\w-]+")  # of a prompt, whose text is in its tags
_RUN_SOURCE: Final = re.compile(r"runs:/([^/]+)(?:/.*)?")
_MODEL_SOURCE: Final = re.compile(r"models:/(m-[0-9a-f]{32})(?:/.*)?")
_VERSION_SOURCE: Final = re.compile(r"models:/([^/@]+)(?:/([^/]+)|@([^/]+))")


async def create(call: Call) -> Json:
    """Registers a version."""
    values = call.read(
        _NAME,
        text("source", required=True),
        text("run_id", default=None),
        items("tags", text("key"), text("value")),
        text("run_link"),
        text("description"),
        text("model_id", default=None),
    )
    name = values["name"]
    parent = model_name(call, name)
    for tag in values["tags"]:
        check_model_tag(tag["key"], tag["value"])
    tags = {tag["key"]: tag["value"] for tag in values["tags"]}
    if tags.get(registry_filters.IS_PROMPT) == "true" and _NO_SOURCE.fullmatch(values["source"]):
        source, run_id, model_id = values["source"], "", ""
    else:
        source, run_id, model_id = await _origin(call, values["source"], values["run_id"], values["model_id"])
    manifest, artifact = await _files(call, name, source)
    version = model_pb2.ModelVersion(
        source_uri=source,
        artifact_manifest=manifest,
        artifact_version=artifact,
        run=runs.run_name(call, run_id) if run_id else "",
        run_link=values["run_link"],
        description=values["description"],
        logged_model=model_id,
        tags=tags,
    )
    request = pb.CreateModelVersionRequest(parent=parent, version=version)
    made = (await found_model(call.rpc("CreateModelVersion", request), name)).version
    if model_id:
        await _tell_logged_model(call, model_id, name, made.number)
    return {"model_version": version_json(made)}


async def get(call: Call) -> Json:
    """Returns a version."""
    values = call.read(_NAME, VERSION)
    return {"model_version": version_json(await _version(call, values["name"], values["version"]))}


async def get_by_alias(call: Call) -> Json:
    """Returns the version that an alias points to."""
    values = call.read(_NAME, text("alias", required=True))
    return {"model_version": version_json(await _aliased(call, values["name"], values["alias"]))}


async def get_download_uri(call: Call) -> Json:
    """Returns where the files of a version are."""
    values = call.read(_NAME, VERSION)
    version = await _version(call, values["name"], values["version"])
    return {"artifact_uri": await _location(call, version)}


async def update(call: Call) -> Json:
    """Changes the description of a version."""
    values = call.read(_NAME, VERSION, text("description"))
    version = model_pb2.ModelVersion(
        name=_version_name(call, values["name"], values["version"]), description=values["description"]
    )
    request = pb.UpdateModelVersionRequest(version=version, update_mask=FieldMask(paths=["description"]))
    updated = await found_model(call.rpc("UpdateModelVersion", request), values["name"], values["version"])
    return {"model_version": version_json(updated.version)}


async def transition(call: Call) -> Json:
    """Puts a version into a stage, and archives the others that are in it if that is wanted."""
    values = call.read(_NAME, VERSION, text("stage", required=True), flag("archive_existing_versions"))
    stage = stage_of(values["stage"])
    active = (model_pb2.MODEL_VERSION_STAGE_STAGING, model_pb2.MODEL_VERSION_STAGE_PRODUCTION)
    if values["archive_existing_versions"] and stage not in active:
        raise invalid(
            "Model version transition cannot archive existing model versions because "
            f"'{values['stage']}' is not an Active stage. Valid stages are {['Staging', 'Production']}"
        )
    request = pb.SetModelVersionStageRequest(
        name=_version_name(call, values["name"], values["version"]),
        stage=stage,
        archive_existing=values["archive_existing_versions"],
    )
    moved = await found_model(call.rpc("SetModelVersionStage", request), values["name"], values["version"])
    return {"model_version": version_json(moved.version)}


async def delete(call: Call) -> Json:
    """Deletes a version, with the aliases that point to it."""
    values = call.read(_NAME, VERSION)
    request = pb.DeleteModelVersionRequest(
        name=_version_name(call, values["name"], values["version"]), delete_aliases=True
    )
    await found_model(call.rpc("DeleteModelVersion", request), values["name"], values["version"])
    return {}


async def set_tag(call: Call) -> Json:
    """Sets a tag of a version."""
    values = call.read(_NAME, VERSION, _KEY, text("value"))
    check_model_tag(values["key"], values["value"])
    request = pb.UpdateModelVersionTagsRequest(
        name=_version_name(call, values["name"], values["version"]), set={values["key"]: values["value"]}
    )
    await found_model(call.rpc("UpdateModelVersionTags", request), values["name"], values["version"])
    return {}


async def delete_tag(call: Call) -> Json:
    """Removes a tag of a version, if it is there."""
    values = call.read(_NAME, VERSION, _KEY)
    check_model_tag(values["key"], "")
    request = pb.UpdateModelVersionTagsRequest(
        name=_version_name(call, values["name"], values["version"]), remove=[values["key"]]
    )
    await found_model(call.rpc("UpdateModelVersionTags", request), values["name"], values["version"])
    return {}


async def search(call: Call) -> Json:
    """Returns a page of the versions that match a filter."""
    values = call.read(
        text("filter"), integer("max_results", default=RESULTS_MAX), texts("order_by"), text("page_token")
    )
    wanted = values["max_results"]
    if wanted > RESULTS_MAX:
        raise wrong_type("max_results", wanted)
    if wanted < 1:
        raise invalid(f"Invalid value for max_results. It must be a positive integer, but got {wanted}")
    request = pb.SearchModelVersionsRequest(
        parent=call.parent,
        filter=registry_filters.version_filter(values["filter"]),
        order_by=registry_filters.version_order(values["order_by"]),
    )
    found, token = await pages(call, "SearchModelVersions", request, "versions", wanted, values["page_token"])
    json: Json = {}
    if found:
        json["model_versions"] = [version_json(version) for version in found]
    if token:
        json["next_page_token"] = token
    return json


def _version_name(call: Call, name: str, version: str) -> str:
    return f"{model_name(call, name)}/versions/{version_number(name, version)}"


async def _version(call: Call, name: str, version: str) -> model_pb2.ModelVersion:
    request = pb.GetModelVersionRequest(name=_version_name(call, name, version))
    return (await found_model(call.rpc("GetModelVersion", request), name, version)).version


async def _aliased(call: Call, name: str, alias: str) -> model_pb2.ModelVersion:
    alias = "latest" if alias.lower() == "latest" else checked_alias(alias)
    request = pb.GetModelAliasRequest(name=f"{model_name(call, name)}/aliases/{alias}")
    try:
        return (await found_model(call.rpc("GetModelAlias", request), name)).version
    except RpcFailed as error:
        if reason_of(error) != "ALIAS_NOT_FOUND":
            raise
        if alias == "latest":
            raise missing(f"Latest version not found for model {name}.") from None
        raise invalid(f"Registered model alias {alias} not found.") from None


async def _origin(call: Call, source: str, run_id: str | None, model_id: str | None) -> tuple[str, str, str]:
    """What a version is made from: its source, the run and the logged model. Raises `MlflowError` if they do not fit."""
    checked_source(source)
    if model_id:
        model = await logged_models.found(call, model_id)
        within = logged_models.artifact_uri(model)
        named = _MODEL_SOURCE.fullmatch(source)
        if (named and named[1] != model_id) or (_kept_here(source) and not is_below(source, within)):
            raise _elsewhere(source, "model_id")
        return source, run_id or segment(model.source_run), model_id
    if (run := _RUN_SOURCE.fullmatch(source)) is not None and run[1] != run_id:
        raise _elsewhere(source, "run_id")
    if _MODEL_SOURCE.fullmatch(source):
        raise _elsewhere(source, "model_id")
    if (version := _VERSION_SOURCE.fullmatch(source)) is not None:
        name = version[1]
        origin = await (_aliased(call, name, version[3]) if version[3] else _version(call, name, version[2]))
        if run_id is not None and run_id != segment(origin.run):
            raise invalid(
                f"Invalid model version source: '{source}'. The run_id and model_id request parameters must match the "
                "referenced model version."
            )
        return f"models:/{name}/{origin.number}", segment(origin.run), origin.logged_model
    if _kept_here(source) and not (run_id and is_below(source, await runs.artifact_uri(call, run_id))):
        raise _elsewhere(source, "run_id")
    return source, run_id or "", ""


async def _files(call: Call, name: str, source: str) -> tuple[str, str]:
    """The manifest of the files of a version that is about to be registered, and the version of an artifact that has them.

    The files of a run or a logged model may change, so they are published under the name of the model. Both are empty where
    the files are not here.
    """
    if (copied := _VERSION_SOURCE.fullmatch(source)) is not None:
        origin = await _version(call, copied[1], copied[2])
        return origin.artifact_manifest, origin.artifact_version
    place = _place(call, source)
    if place is None:
        return "", ""
    # Nothing shall be published for a model that is not there.
    await found_model(call.rpc("GetModel", pb.GetModelRequest(name=model_name(call, name))), name)
    version = await published(call, place, name)
    return (version.manifest, version.name) if version is not None else ("", "")


def _place(call: Call, source: str) -> Place | None:
    if (model := _MODEL_SOURCE.fullmatch(source)) is not None:
        return Place(f"{call.parent}/loggedModels/{model[1]}", "")
    if (run := _RUN_SOURCE.fullmatch(source)) is not None:
        return place_of(call.project, f"{run[1]}/artifacts{source.removeprefix(f'runs:/{run[1]}')}".rstrip("/"))
    if _kept_here(source):
        return place_of(call.project, source.removeprefix(KEPT_HERE).strip("/"))
    return None


async def _location(call: Call, version: model_pb2.ModelVersion) -> str:
    """Where the files of a version are: what its source leads to."""
    for _ in range(SOURCES_FOLLOWED_MAX):
        source = version.source_uri
        if (model := _MODEL_SOURCE.fullmatch(source)) is not None:
            return logged_models.artifact_uri(await logged_models.found(call, model[1]))
        origin = _VERSION_SOURCE.fullmatch(source)
        if origin is None:
            return source
        version = await _version(call, origin[1], origin[2])
    raise invalid(f"The source of the version leads through more than {SOURCES_FOLLOWED_MAX} others.")


async def _tell_logged_model(call: Call, model_id: str, name: str, number: int) -> None:
    """Notes in the tags of a logged model that it was registered, as MLflow's server does."""
    model = await logged_models.found(call, model_id)
    try:
        before = json_text.loads(model.tags.get(MODEL_VERSIONS_TAG, "[]"))
    except ValueError:
        before = []
    versions = [*before, {"name": name, "version": number}] if isinstance(before, list) else []
    request = tracking_pb.AnnotateLoggedModelRequest(
        name=model.name, tags={MODEL_VERSIONS_TAG: json_text.dumps(versions)}
    )
    await call.rpc("AnnotateLoggedModel", request)


def _kept_here(source: str) -> bool:
    return source.startswith(KEPT_HERE)


def _elsewhere(source: str, what: str) -> MlflowError:
    return invalid(
        f"Invalid model version source: '{source}'. The {what} request parameter must identify the resource that contains "
        "the source."
    )
