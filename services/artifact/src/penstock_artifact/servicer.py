"""The gRPC face of the artifact service: unpack, call, pack."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

from penstock.api.artifact.v1 import artifact_service_pb2 as pb
from penstock.api.artifact.v1 import preview_pb2, transfer_pb2
from penstock_artifact import convert
from penstock_artifact.contents import Download
from penstock_artifact.errors import FieldInvalid, UploadInvalid
from penstock_artifact.files.convert import file_message, owner_from_name, upload_from_message
from penstock_artifact.files.service import FileService
from penstock_artifact.files.servicer import FileServicer
from penstock_artifact.pages import page_of
from penstock_artifact.parts.convert import url_message
from penstock_artifact.parts.service import PartUploads, blob_of
from penstock_artifact.parts.servicer import PartServicer
from penstock_artifact.previews.convert import preview_message
from penstock_artifact.previews.service import Previewer
from penstock_artifact.service import ArtifactService
from penstock_artifact.uploads import Part
from penstock_kit import paging
from penstock_kit.access import current_caller
from penstock_kit.names import ArtifactName, ArtifactVersionName, BlobUploadName, ProjectName, RunName
from penstock_kit.stores.digests import Digesting

__all__ = ["ArtifactServicer"]

_STORAGE: Final = "/artifactStorage"
_VERSIONS: Final = "/versions/"


RESPONSE_BYTES: Final = 1024 * 1024
"""So many bytes of files one response has at most: a small file need not have one of its own."""


class ArtifactServicer(FileServicer, PartServicer):
    """Each method is the RPC of its name; what it does and which errors it has is in the contract."""

    def __init__(
        self, service: ArtifactService, files: FileService, uploads: PartUploads, previewer: Previewer
    ) -> None:
        FileServicer.__init__(self, files)
        PartServicer.__init__(self, uploads)
        self._service = service
        self._previewer = previewer

    # Uploads

    async def FindMissingBlobs(self, request: pb.FindMissingBlobsRequest, context: Any) -> pb.FindMissingBlobsResponse:
        missing = await self._service.missing_blobs(
            ProjectName.parse(request.parent), [convert.blob_from_message(blob) for blob in request.blobs]
        )
        return pb.FindMissingBlobsResponse(missing=[convert.blob_message(blob) for blob in missing])

    async def UploadBlobs(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[pb.UploadBlobsResponse]:
        first = await anext(aiter(requests))
        uploading = self._service.upload(ProjectName.parse(first.parent), _parts(first, requests))
        async with aclosing(uploading) as counts:  # type: ignore[type-var]  # it is a generator
            async for durable in counts:
                yield pb.UploadBlobsResponse(blob_count=durable)

    async def FinishFileUpload(
        self, request: transfer_pb2.FinishFileUploadRequest, context: Any
    ) -> AsyncIterator[transfer_pb2.FinishFileUploadResponse]:
        owner, name = owner_from_name(request.parent), BlobUploadName.parse(request.name)
        if owner.project != name.project:
            raise FieldInvalid(f"{owner} is not of projects/{name.project}.", field="parent")
        by = current_caller().principal
        file = upload_from_message(request.file)
        await self._files.admit(owner, file)
        digested = Digesting()
        finishing = self._uploads.finish_unknown(name, request.part_count, file.size, digested, by)
        async with aclosing(finishing) as sizes:  # type: ignore[type-var]  # it is a generator
            async for size in sizes:
                yield transfer_pb2.FinishFileUploadResponse(digested_bytes=size)
        there = await self._files.place(owner, file, blob_of(digested), by)
        yield transfer_pb2.FinishFileUploadResponse(digested_bytes=digested.size, file=file_message(owner, there))

    async def PublishArtifactVersion(
        self, request: pb.PublishArtifactVersionRequest, context: Any
    ) -> pb.PublishArtifactVersionResponse:
        name = ArtifactName.parse(request.parent)
        version = await self._service.publish(
            name,
            [convert.entry_from_message(entry) for entry in request.entries],
            type_=request.type,
            description=request.description,
            run=_run_of(name.project, request.run) if request.run else None,
            request_id=request.request_id,
            by=current_caller().principal,
        )
        return pb.PublishArtifactVersionResponse(version=convert.version_message(version))

    # Artifacts and versions

    async def GetArtifact(self, request: pb.GetArtifactRequest, context: Any) -> pb.GetArtifactResponse:
        artifact = await self._service.artifact(ArtifactName.parse(request.name))
        return pb.GetArtifactResponse(artifact=convert.artifact_message(artifact))

    async def ListArtifacts(self, request: pb.ListArtifactsRequest, context: Any) -> pb.ListArtifactsResponse:
        parent = ProjectName.parse(request.parent)
        artifacts, token = await page_of(request, lambda limit, cursor: self._service.artifacts(parent, limit, cursor))
        return pb.ListArtifactsResponse(
            artifacts=[convert.artifact_message(artifact) for artifact in artifacts], next_page_token=token
        )

    async def DeleteArtifact(self, request: pb.DeleteArtifactRequest, context: Any) -> pb.DeleteArtifactResponse:
        await self._service.delete_artifact(ArtifactName.parse(request.name))
        return pb.DeleteArtifactResponse()

    async def GetArtifactVersion(
        self, request: pb.GetArtifactVersionRequest, context: Any
    ) -> pb.GetArtifactVersionResponse:
        version = await self._service.version(ArtifactVersionName.parse(request.name))
        return pb.GetArtifactVersionResponse(version=convert.version_message(version))

    async def ListArtifactVersions(
        self, request: pb.ListArtifactVersionsRequest, context: Any
    ) -> pb.ListArtifactVersionsResponse:
        parent = ArtifactName.parse(request.parent)
        versions, token = await page_of(request, lambda limit, cursor: self._service.versions(parent, limit, cursor))
        return pb.ListArtifactVersionsResponse(
            versions=[convert.version_message(version) for version in versions], next_page_token=token
        )

    async def DeleteArtifactVersion(
        self, request: pb.DeleteArtifactVersionRequest, context: Any
    ) -> pb.DeleteArtifactVersionResponse:
        await self._service.delete_version(ArtifactVersionName.parse(request.name))
        return pb.DeleteArtifactVersionResponse()

    async def HoldArtifactVersion(
        self, request: pb.HoldArtifactVersionRequest, context: Any
    ) -> pb.HoldArtifactVersionResponse:
        name = ArtifactVersionName.parse(request.name)
        version = await self._service.hold(name, request.holder, request.lifetime_s)
        return pb.HoldArtifactVersionResponse(version=convert.version_message(version))

    async def ReleaseArtifactVersions(
        self, request: pb.ReleaseArtifactVersionsRequest, context: Any
    ) -> pb.ReleaseArtifactVersionsResponse:
        await self._service.release(ProjectName.parse(request.parent), request.holder)
        return pb.ReleaseArtifactVersionsResponse()

    async def ListArtifactEntries(
        self, request: pb.ListArtifactEntriesRequest, context: Any
    ) -> pb.ListArtifactEntriesResponse:
        manifest = await self._service.manifest(ArtifactVersionName.parse(request.parent))
        # The digest is part of what the token belongs to: `latest` may be another version on the next page.
        digest = f"{paging.fingerprint(request)} {manifest.digest}"
        start = paging.place(request.page_token, digest, int) or 0
        if start < 0:
            raise paging.PageTokenInvalid("The page token is damaged: send next_page_token as it was received.")
        end = start + paging.page_size(request.page_size)
        return pb.ListArtifactEntriesResponse(
            entries=[convert.entry_message(entry) for entry in manifest.entries[start:end]],
            next_page_token=paging.seal(digest, end) if end < len(manifest.entries) else "",
        )

    async def DownloadFile(
        self, request: pb.DownloadFileRequest, context: Any
    ) -> AsyncIterator[pb.DownloadFileResponse]:
        download = await self._open(request.name, request.path, request.offset, request.length_bytes)
        yield pb.DownloadFileResponse(blob=convert.blob_message(download.blob))
        async with aclosing(download.pieces) as pieces:  # type: ignore[type-var]  # it is a generator
            async for piece in pieces:
                yield pb.DownloadFileResponse(data=piece)

    async def DownloadFiles(
        self, request: transfer_pb2.DownloadFilesRequest, context: Any
    ) -> AsyncIterator[transfer_pb2.DownloadFilesResponse]:
        pieces: list[transfer_pb2.FilePiece] = []
        size = 0
        if _VERSIONS in request.name:
            downloading = self._service.download_files(ArtifactVersionName.parse(request.name), request.paths)
        else:
            downloading = self._files.download_files(owner_from_name(request.name), request.paths)
        async with aclosing(downloading) as read:
            async for index, data in read:
                if size + len(data) > RESPONSE_BYTES:
                    yield transfer_pb2.DownloadFilesResponse(pieces=pieces)
                    pieces.clear()
                    size = 0
                pieces.append(transfer_pb2.FilePiece(file=index, data=data))
                size += len(data)
        yield transfer_pb2.DownloadFilesResponse(pieces=pieces)

    async def SignFileDownload(
        self, request: transfer_pb2.SignFileDownloadRequest, context: Any
    ) -> transfer_pb2.SignFileDownloadResponse:
        if _VERSIONS in request.name:
            blob, signed = await self._service.sign_download(ArtifactVersionName.parse(request.name), request.path)
        else:
            blob, signed = await self._files.sign_download(owner_from_name(request.name), request.path)
        return transfer_pb2.SignFileDownloadResponse(url=url_message(signed), blob=convert.blob_message(blob))

    async def PreviewFile(
        self, request: preview_pb2.PreviewFileRequest, context: Any
    ) -> preview_pb2.PreviewFileResponse:
        preview = await self._previewer.preview(
            request.path, lambda offset, length: self._open(request.name, request.path, offset, length)
        )
        return preview_pb2.PreviewFileResponse(preview=preview_message(preview))

    async def _open(self, name: str, path: str, offset: int, length: int) -> Download:
        if _VERSIONS in name:
            return await self._service.download(ArtifactVersionName.parse(name), path, offset, length)
        return await self._files.download(owner_from_name(name), path, offset, length)

    # Lineage

    async def UseArtifactVersion(
        self, request: pb.UseArtifactVersionRequest, context: Any
    ) -> pb.UseArtifactVersionResponse:
        name = ArtifactVersionName.parse(request.name)
        version = await self._service.use(name, _run_of(name.artifact.project, request.run))
        return pb.UseArtifactVersionResponse(version=convert.version_message(version))

    async def ListArtifactLinks(
        self, request: pb.ListArtifactLinksRequest, context: Any
    ) -> pb.ListArtifactLinksResponse:
        project = ProjectName.parse(request.parent).project
        if request.HasField("run"):
            run = _run_of(project, request.run)
            links, token = await page_of(request, lambda limit, cursor: self._service.links_of_run(run, limit, cursor))
        else:
            name = ArtifactVersionName.parse(request.version)
            if name.artifact.project != project:
                raise FieldInvalid(f"{name} is not of projects/{project}.", field="version")
            links, token = await page_of(
                request, lambda limit, cursor: self._service.links_of_version(name, limit, cursor)
            )
        return pb.ListArtifactLinksResponse(
            links=[convert.link_message(project, link) for link in links], next_page_token=token
        )

    # Storage

    async def GetArtifactStorage(
        self, request: pb.GetArtifactStorageRequest, context: Any
    ) -> pb.GetArtifactStorageResponse:
        parent = ProjectName.parse(request.name.removesuffix(_STORAGE))
        storage = await self._service.storage(parent)
        return pb.GetArtifactStorageResponse(
            storage=convert.storage_message(parent.project, storage), direct=self._uploads.direct
        )

    async def SetArtifactQuota(self, request: pb.SetArtifactQuotaRequest, context: Any) -> pb.SetArtifactQuotaResponse:
        parent = ProjectName.parse(request.name.removesuffix(_STORAGE))
        quota = request.quota_bytes if request.HasField("quota_bytes") else None
        storage = await self._service.set_quota(parent, quota)
        return pb.SetArtifactQuotaResponse(storage=convert.storage_message(parent.project, storage))

    async def SetArtifactRetention(
        self, request: pb.SetArtifactRetentionRequest, context: Any
    ) -> pb.SetArtifactRetentionResponse:
        parent = ProjectName.parse(request.name.removesuffix(_STORAGE))
        retention = convert.retention_from_message(request.retention) if request.HasField("retention") else None
        storage = await self._service.set_retention(parent, retention)
        return pb.SetArtifactRetentionResponse(storage=convert.storage_message(parent.project, storage))


async def _parts(first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[Part]:
    yield _part(first)
    async for request in rest:
        # The permission was checked for the project of the first message.
        if request.parent:
            raise UploadInvalid("Only the first message of an upload names the project.")
        yield _part(request)


def _part(request: Any) -> Part:
    match request.WhichOneof("part"):
        case "blob":
            return convert.blob_from_message(request.blob)
        case "data":
            return request.data
    raise UploadInvalid("A message of an upload announces a blob, or has bytes of one.")


def _run_of(project: str, name: str) -> RunName:
    run = RunName.parse(name)
    if run.project != project:
        raise FieldInvalid(f"{name} is not of projects/{project}.", field="run")
    return run
