"""The gRPC face of files of runs and logged models: unpack, call, pack."""

from collections.abc import AsyncIterator
from typing import Any

from penstock.api.artifact.v1 import artifact_service_pb2 as pb
from penstock_artifact import convert
from penstock_artifact.errors import FieldInvalid, UploadInvalid
from penstock_artifact.files.convert import (
    entry_message,
    file_from_message,
    file_message,
    media_key_message,
    owner_from_name,
    upload_from_message,
)
from penstock_artifact.files.domain import OwnedFile
from penstock_artifact.files.service import FileService
from penstock_artifact.pages import page_of
from penstock_artifact.store import Page
from penstock_kit.access import current_caller
from penstock_kit.names import ArtifactName, RunName

__all__ = ["FileServicer"]


class FileServicer:
    """The methods of ArtifactService about files of runs and logged models."""

    def __init__(self, files: FileService) -> None:
        self._files = files

    async def UploadFile(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[pb.UploadFileResponse]:
        first = await anext(aiter(requests))
        owner = owner_from_name(first.parent)
        if not first.HasField("upload"):
            raise UploadInvalid("The first message of an upload announces the file.")
        upload = upload_from_message(first.upload)
        await self._files.admit(owner, upload)
        yield pb.UploadFileResponse()
        file = await self._files.upload(owner, upload, _data(requests), current_caller().principal)
        yield pb.UploadFileResponse(file=file_message(owner, file))

    async def PutFiles(self, request: pb.PutFilesRequest, context: Any) -> pb.PutFilesResponse:
        owner = owner_from_name(request.parent)
        new = [file_from_message(file) for file in request.files]
        if not isinstance(owner, RunName) and any(one.media is not None for one in new):
            raise FieldInvalid(f"Media are of runs, and {owner} is none.", field="files.media")
        files = await self._files.put(owner, new, current_caller().principal)
        return pb.PutFilesResponse(files=[file_message(owner, file) for file in files])

    async def GetFile(self, request: pb.GetFileRequest, context: Any) -> pb.GetFileResponse:
        owner = owner_from_name(request.parent)
        return pb.GetFileResponse(file=file_message(owner, await self._files.get(owner, request.path)))

    async def ListFiles(self, request: pb.ListFilesRequest, context: Any) -> pb.ListFilesResponse:
        owner = owner_from_name(request.parent)

        async def fetch(limit: int, cursor: bytes | None) -> Page[OwnedFile | str]:
            if not request.recursive:
                return await self._files.directory(owner, request.directory, limit, cursor)
            files = await self._files.below(owner, request.directory, limit, cursor)
            return Page([*files.items], files.cursor)

        entries, token = await page_of(request, fetch)
        return pb.ListFilesResponse(entries=[entry_message(owner, entry) for entry in entries], next_page_token=token)

    async def ListMedia(self, request: pb.ListMediaRequest, context: Any) -> pb.ListMediaResponse:
        run = RunName.parse(request.parent)

        async def fetch(limit: int, cursor: bytes | None) -> Page[OwnedFile]:
            return await self._files.media(run, request.key, limit, cursor, descending=request.descending)

        files, token = await page_of(request, fetch)
        return pb.ListMediaResponse(files=[file_message(run, file) for file in files], next_page_token=token)

    async def ListMediaKeys(self, request: pb.ListMediaKeysRequest, context: Any) -> pb.ListMediaKeysResponse:
        keys = await self._files.media_keys(RunName.parse(request.parent))
        return pb.ListMediaKeysResponse(keys=[media_key_message(key) for key in keys])

    async def DeleteFiles(self, request: pb.DeleteFilesRequest, context: Any) -> pb.DeleteFilesResponse:
        return pb.DeleteFilesResponse(
            file_count=await self._files.delete(owner_from_name(request.parent), request.path)
        )

    async def PublishFiles(self, request: pb.PublishFilesRequest, context: Any) -> pb.PublishFilesResponse:
        owner = owner_from_name(request.parent)
        name = ArtifactName.parse(request.artifact)
        if name.project != owner.project:
            raise FieldInvalid(f"{name} is not of projects/{owner.project}.", field="artifact")
        version = await self._files.publish(
            owner,
            request.directory,
            name,
            type_=request.type,
            description=request.description,
            by=current_caller().principal,
        )
        return pb.PublishFilesResponse(version=convert.version_message(version))


async def _data(requests: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    async for request in requests:
        # The permission was checked for the project of the first message.
        if request.parent or request.WhichOneof("part") != "data":
            raise UploadInvalid("After the first message of an upload come bytes of the file.")
        yield request.data
