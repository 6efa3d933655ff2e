"""Files of runs and logged models: lists, uploads, downloads, deletion. They pass through in pieces, in constant memory."""

import asyncio
import posixpath
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from penstock.api.artifact.v1 import artifact_service_pb2 as pb
from penstock.api.artifact.v1 import file_pb2, transfer_pb2
from penstock.api.artifact.v1.artifact_pb2 import ArtifactVersion
from penstock_gateway.errors import RpcFailed, reason_of
from penstock_gateway.files import file_answer, not_satisfiable, wanted_range
from penstock_gateway.mlflow import logged_models, runs
from penstock_gateway.mlflow.artifact_paths import Place, no_such_artifact, place_of, plain_path
from penstock_gateway.mlflow.calls import Call
from penstock_gateway.mlflow.entities import Json
from penstock_gateway.mlflow.errors import MlflowError, invalid
from penstock_gateway.mlflow.fields import integer, text
from penstock_gateway.mlflow.uris import KEPT_HERE, scheme_of
from penstock_kit.errors import PenstockError

__all__ = [
    "delete",
    "download",
    "list_files",
    "list_of_logged_model",
    "list_of_run",
    "presigned_download",
    "presigned_link",
    "presigned_upload",
    "published",
    "upload",
]

LISTED_MAX: Final = 100_000
"""MLflow's clients know no pages of files."""
FILES_PER_PAGE: Final = 1_000
PIECE_BYTES: Final = 512 * 1024
"""An HTTP body comes in pieces of at most 64 KiB; passed on one by one, each would cost a message."""
DRAINED_BYTES_MAX: Final = 64 * 1024 * 1024
DRAINED_S_MAX: Final = 10.0
EXPIRATION_S_MAX: Final = 604_800
STREAM_S_MAX: Final = 3_600.0
"""As long as the service lets a stream last."""

NOT_PUBLISHED: Final = frozenset(
    [
        "FILE_NOT_FOUND",  # they are in another store, or there are none
        "MANIFEST_INVALID",
        "MANIFEST_TOO_LARGE",
        "PATH_INVALID",
        "TYPE_DIFFERS",
        "VERSION_LIMIT_REACHED",
    ]
)
"""Why a version of a model is registered without its files: MLflow knows no such rules."""

_PATH: Final = text("path", default=None)


async def list_of_run(call: Call) -> Json:
    """What a directory of a run holds."""
    values = call.read(runs.RUN_ID, _PATH, text("page_token"))
    directory = plain_path(values["path"] or "")
    uri = await runs.artifact_uri(call, values["run_id"])
    return await _list_below(call, uri, f"{call.parent}/runs/{values['run_id']}", directory)


async def list_of_logged_model(call: Call) -> Json:
    """What a directory of a logged model holds."""
    directory = plain_path(call.read(text("artifact_directory_path"))["artifact_directory_path"])
    model = await logged_models.found(call, call.path["model_id"])
    return await _list_below(call, logged_models.artifact_uri(model), model.name, directory)


async def list_files(call: Call) -> Json:
    """What a directory of `mlflow-artifacts` holds. One above runs and models holds nothing that could be listed."""
    place = place_of(call.project, plain_path(call.read(_PATH)["path"] or ""))
    if place is None:
        return {}
    return _files_json([(posixpath.basename(path), size) for path, size in await _listed(call, place)])


async def upload(call: Call, request: Request) -> Response:
    """Takes a file. It is there when this has answered; a request that breaks off leaves nothing."""
    place = _place(call)
    if not place.path or call.path["artifact_path"].endswith("/"):
        raise invalid("Artifact path must include a filename (cannot end with '/').")
    media_type, _, _ = request.headers.get("content-type", "").partition(";")
    announced = file_pb2.FileUpload(path=place.path, media_type=media_type.strip())
    length = request.headers.get("content-length", "")
    if length.isdecimal() and "transfer-encoding" not in request.headers:
        announced.size_bytes = min(int(length[:19]), 2**63 - 1)
    body = request.stream()
    first = pb.UploadFileRequest(parent=place.parent, upload=announced)
    try:
        await call.send("UploadFile", _messages(first, body), STREAM_S_MAX)
    except PenstockError:
        await _drain(body)
        raise
    return Response()


async def download(call: Call, request: Request) -> Response:
    """Answers with a file, or a range of it."""
    place = _place(call)
    wanted = wanted_range(request)
    message = pb.DownloadFileRequest(
        name=place.parent, path=place.path, offset=wanted.first or 0, length_bytes=wanted.length
    )
    if not place.path:
        raise await _no_file(call, place)
    responses = call.stream("DownloadFile", message, STREAM_S_MAX)
    try:
        head = await anext(responses)
    except RpcFailed as error:
        if reason_of(error) == "FILE_NOT_FOUND":
            raise await _no_file(call, place) from None
        raise
    refusal = not_satisfiable(head.blob, wanted)
    if refusal is not None:
        await responses.aclose()
        return refusal
    return file_answer(_data(responses), head.blob, place.path, wanted)


async def delete(call: Call) -> Json:
    """Deletes a file, or a directory with all that is below. No error if there is none."""
    place = place_of(call.project, plain_path(call.path["artifact_path"]))
    if place is not None:
        await call.rpc("DeleteFiles", pb.DeleteFilesRequest(parent=place.parent, path=place.path))
    return {}


async def presigned_upload(call: Call) -> Json:
    """Says that there are no presigned links to a store that is behind this server, as MLflow's server does."""
    values = call.read(
        text("run_id"), text("model_id"), text("path", required=True), integer("expiration", default=900)
    )
    run_id, model_id = values["run_id"], values["model_id"]
    if bool(run_id) == bool(model_id):
        raise invalid("Exactly one of run_id and model_id must be provided.")
    plain_path(values["path"])
    if run_id:
        uri = await runs.artifact_uri(call, run_id)
    else:
        uri = logged_models.artifact_uri(await logged_models.found(call, model_id))
    raise invalid(
        f"Presigned upload is not supported for proxied artifact storage (artifact URI scheme: {scheme_of(uri)}). "
        "This endpoint requires a direct cloud storage artifact URI."
    )


async def presigned_download(call: Call) -> Json:
    """Likewise."""
    values = call.read(runs.RUN_ID, text("path", required=True), integer("expiration", default=900))
    plain_path(values["path"])
    if not 1 <= values["expiration"] <= EXPIRATION_S_MAX:
        raise invalid(f"expiration must be between 1 and {EXPIRATION_S_MAX} seconds (got {values['expiration']}).")
    uri = await runs.artifact_uri(call, values["run_id"])
    raise invalid(
        "Presigned download is not supported for runs with proxied artifact storage "
        f"(artifact URI scheme: {scheme_of(uri)}). This endpoint requires a run with a direct cloud storage artifact URI."
    )


async def presigned_link(call: Call) -> Json:
    """A link to a file straight from the object store; where there is no such way, MLflow's clients download from here."""
    place = _place(call)
    try:
        signed = await call.rpc(
            "SignFileDownload", transfer_pb2.SignFileDownloadRequest(name=place.parent, path=place.path)
        )
    except RpcFailed as error:
        if reason_of(error) == "NO_DIRECT_WAY":
            raise MlflowError(
                "NOT_IMPLEMENTED", "Multipart download is not supported for the current artifact repository"
            ) from None
        if reason_of(error) == "FILE_NOT_FOUND":
            raise await _no_file(call, place) from None
        raise
    return {"url": signed.url.url, "headers": {}, "file_size": signed.blob.size_bytes}


async def published(call: Call, place: Place, artifact_id: str) -> ArtifactVersion | None:
    """Publishes the files of a model as a version of an artifact, which does not change any more. None if that cannot be."""
    request = pb.PublishFilesRequest(
        parent=place.parent, directory=place.path, artifact=f"{call.parent}/artifacts/{artifact_id}", type="model"
    )
    try:
        return (await call.rpc("PublishFiles", request)).version
    except RpcFailed as error:
        if reason_of(error) in NOT_PUBLISHED:
            return None
        raise


async def _list_below(call: Call, uri: str, parent: str, directory: str) -> Json:
    if not uri.startswith(KEPT_HERE):
        raise invalid(f"The artifacts are at {uri}, which this server does not open. Clients list them there.")
    listed = await _listed(call, Place(parent, directory))
    return {"root_uri": uri, **_files_json(listed)}


async def _listed(call: Call, place: Place) -> list[tuple[str, int | None]]:
    """What a directory holds: paths, and the sizes of files."""
    request = pb.ListFilesRequest(parent=place.parent, directory=place.path, page_size=FILES_PER_PAGE)
    found: list[tuple[str, int | None]] = []
    while True:
        page = await call.rpc("ListFiles", request)
        for entry in page.entries:
            if entry.HasField("file"):
                found.append((entry.file.path, entry.file.blob.size_bytes))
            else:
                found.append((entry.directory, None))
        if not page.next_page_token:
            return sorted(found)
        if len(found) >= LISTED_MAX:
            raise invalid(f"The directory holds more than {LISTED_MAX} files: list directories below it.")
        request.page_token = page.next_page_token


def _files_json(listed: list[tuple[str, int | None]]) -> Json:
    if not listed:
        return {}
    files: list[Json] = []
    for path, size in listed:
        file: Json = {"path": path, "is_dir": size is None}
        if size:  # MLflow leaves out the size of an empty file
            file["file_size"] = size
        files.append(file)
    return {"files": files}


def _place(call: Call) -> Place:
    path = plain_path(call.path["artifact_path"])
    place = place_of(call.project, path)
    if place is None:
        raise invalid(f"Invalid path: '{path}' is not below the artifacts of a run or a logged model.")
    return place


async def _no_file(call: Call, place: Place) -> MlflowError:
    """What a client is told that asked for a file where none is."""
    path = plain_path(call.path["artifact_path"])
    request = pb.ListFilesRequest(parent=place.parent, directory=place.path, page_size=1)
    if (await call.rpc("ListFiles", request)).entries:
        return invalid(f"Artifact path refers to a directory, not a file: '{path}'")
    return no_such_artifact(path)


async def _messages(first: Message, body: AsyncIterator[bytes]) -> AsyncIterator[Message]:
    yield first
    held = bytearray()
    async for chunk in body:
        held += chunk
        if len(held) >= PIECE_BYTES:
            yield pb.UploadFileRequest(data=bytes(held))
            held.clear()
    if held:
        yield pb.UploadFileRequest(data=bytes(held))


async def _drain(body: AsyncIterator[bytes]) -> None:
    """Reads on after a refusal: many clients look at the answer only when they have sent their file."""
    size = 0
    try:
        async with asyncio.timeout(DRAINED_S_MAX):
            async for chunk in body:
                size += len(chunk)
                if size > DRAINED_BYTES_MAX:
                    return
    except TimeoutError:
        return


async def _data(responses: AsyncGenerator[Any]) -> AsyncGenerator[bytes]:
    async with aclosing(responses):
        async for response in responses:
            yield response.data
