"""Multipart uploads of files of runs and logged models: parts go straight to the object store, by links from here.

A client says how many parts a file has, neither its size nor its digest. Where clients do not reach the object store, they
are told so, and send the file in one request.
"""

import posixpath
import re
from contextlib import aclosing
from typing import Final

from penstock.api.artifact.v1 import artifact_service_pb2, file_pb2
from penstock.api.artifact.v1 import transfer_pb2 as pb
from penstock_gateway.mlflow.artifact_paths import Place, place_of, plain_path
from penstock_gateway.mlflow.calls import Call
from penstock_gateway.mlflow.entities import Json
from penstock_gateway.mlflow.errors import MlflowError, invalid, missing
from penstock_gateway.mlflow.fields import integer, items, text

__all__ = ["abort", "complete", "create"]

PARTS_MAX: Final = 10_000
SIGNED_AT_ONCE_MAX: Final = 100
FINISH_S_MAX: Final = 3_600.0
_UPLOAD_ID: Final = re.compile("[0-9a-f]{32}")
_PATH: Final = text("path", required=True)
"""Where the file is on the client's machine: its last part is the file's name."""


async def create(call: Call) -> Json:
    """Begins an upload, and answers with a link for each part."""
    directory = plain_path(call.path["artifact_path"])
    values = call.read(_PATH, integer("num_parts", default=0))
    await _need_direct_way(call)
    _place(call, directory, values["path"])
    count = values["num_parts"]
    if not 1 <= count <= PARTS_MAX:
        raise invalid(f"num_parts must be between 1 and {PARTS_MAX:,} (got {count}).")
    upload = (await call.rpc("BeginBlobUpload", pb.BeginBlobUploadRequest(parent=call.parent))).upload
    credentials: list[Json] = []
    for first in range(1, count + 1, SIGNED_AT_ONCE_MAX):
        numbers = range(first, min(first + SIGNED_AT_ONCE_MAX, count + 1))
        signed = await call.rpc("SignUploadParts", pb.SignUploadPartsRequest(name=upload.name, parts=numbers))
        credentials += [
            {"url": one.url, "part_number": number, "headers": {}}
            for number, one in zip(numbers, signed.urls, strict=True)
        ]
    return {"upload_id": upload.name.rpartition("/")[2], "credentials": credentials}


async def complete(call: Call) -> Json:
    """Makes the file of its parts. It is there when this has answered."""
    directory = plain_path(call.path["artifact_path"])
    part = items("parts", integer("part_number", default=0), text("etag"), text("url"), required=True)
    values = call.read(_PATH, text("upload_id"), part)
    await _need_direct_way(call)
    place = _place(call, directory, values["path"])
    numbers = [one["part_number"] for one in values["parts"]]
    if len(numbers) > PARTS_MAX or numbers != list(range(1, len(numbers) + 1)):
        raise invalid("parts must be all parts of the file in order of their numbers, from 1.")
    request = pb.FinishFileUploadRequest(
        name=_upload(call, values["upload_id"]),
        parent=place.parent,
        file=file_pb2.FileUpload(path=place.path),
        part_count=len(numbers),
    )
    async with aclosing(call.stream("FinishFileUpload", request, FINISH_S_MAX)) as progress:
        async for _ in progress:
            pass
    return {}


async def abort(call: Call) -> Json:
    """Gives an upload up. No error if there is none."""
    plain_path(call.path["artifact_path"])
    values = call.read(_PATH, text("upload_id"))
    await _need_direct_way(call)
    await call.rpc("AbortBlobUpload", pb.AbortBlobUploadRequest(name=_upload(call, values["upload_id"])))
    return {}


async def _need_direct_way(call: Call) -> None:
    request = artifact_service_pb2.GetArtifactStorageRequest(name=f"{call.parent}/artifactStorage")
    if not (await call.rpc("GetArtifactStorage", request)).direct:
        raise MlflowError("NOT_IMPLEMENTED", "Multipart upload is not supported for the current artifact repository")


def _place(call: Call, directory: str, local_path: str) -> Place:
    path = plain_path(posixpath.join(directory, posixpath.basename(local_path)))
    place = place_of(call.project, path)
    if place is None or not place.path or not posixpath.basename(local_path):
        raise invalid(f"Invalid path: '{path}' is no file below the artifacts of a run or a logged model.")
    return place


def _upload(call: Call, upload_id: str) -> str:
    """The resource name of an upload. Raises `MlflowError` for what is no id of one."""
    if not _UPLOAD_ID.fullmatch(upload_id):
        raise missing(f"No multipart upload with the id '{upload_id}' exists.")
    return f"{call.parent}/blobUploads/{upload_id}"
