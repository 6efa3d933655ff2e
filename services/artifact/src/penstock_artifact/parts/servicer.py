"""The gRPC face of uploads in parts: unpack, call, pack."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from penstock.api.artifact.v1 import transfer_pb2 as pb
from penstock_artifact.convert import blob_from_message
from penstock_artifact.errors import UploadInvalid
from penstock_artifact.parts.convert import upload_message, url_message
from penstock_artifact.parts.service import PartUploads, Piece
from penstock_kit.access import current_caller
from penstock_kit.names import BlobUploadName, ProjectName

__all__ = ["PartServicer"]


class PartServicer:
    """The methods of ArtifactService about uploads in parts."""

    def __init__(self, uploads: PartUploads) -> None:
        self._uploads = uploads

    async def BeginBlobUpload(self, request: pb.BeginBlobUploadRequest, context: Any) -> pb.BeginBlobUploadResponse:
        parent, by = ProjectName.parse(request.parent), current_caller().principal
        if not request.HasField("blob"):
            upload = await self._uploads.begin_unknown(parent, by)
            return pb.BeginBlobUploadResponse(upload=upload_message(upload, [], direct=self._uploads.direct))
        begun = await self._uploads.begin(parent, blob_from_message(request.blob), by)
        if begun is None:
            return pb.BeginBlobUploadResponse()
        return pb.BeginBlobUploadResponse(upload=upload_message(*begun, direct=self._uploads.direct))

    async def SignUploadParts(self, request: pb.SignUploadPartsRequest, context: Any) -> pb.SignUploadPartsResponse:
        signed = await self._uploads.sign(BlobUploadName.parse(request.name), request.parts, current_caller().principal)
        return pb.SignUploadPartsResponse(urls=[url_message(one) for one in signed])

    async def UploadParts(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[pb.UploadPartsResponse]:
        first = await anext(aiter(requests))
        receiving = self._uploads.receive(
            BlobUploadName.parse(first.name), _pieces(first, requests), current_caller().principal
        )
        async with aclosing(receiving) as durable:  # type: ignore[type-var]  # it is a generator
            async for number in durable:
                yield pb.UploadPartsResponse(part=number)

    async def AbortBlobUpload(self, request: pb.AbortBlobUploadRequest, context: Any) -> pb.AbortBlobUploadResponse:
        await self._uploads.abort(BlobUploadName.parse(request.name), current_caller().principal)
        return pb.AbortBlobUploadResponse()

    async def FinishBlobUpload(
        self, request: pb.FinishBlobUploadRequest, context: Any
    ) -> AsyncIterator[pb.FinishBlobUploadResponse]:
        finishing = self._uploads.finish(BlobUploadName.parse(request.name), current_caller().principal)
        verified = 0
        async with aclosing(finishing) as sizes:  # type: ignore[type-var]  # it is a generator
            async for verified in sizes:
                yield pb.FinishBlobUploadResponse(verified_bytes=verified)
        yield pb.FinishBlobUploadResponse(verified_bytes=verified, done=True)


async def _pieces(first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[Piece]:
    yield _piece(first)
    async for request in rest:
        # The permission was checked for the project of the first message.
        if request.name:
            raise UploadInvalid("Only the first message names the upload.")
        yield _piece(request)


def _piece(request: Any) -> Piece:
    match request.WhichOneof("piece"):
        case "part":
            return request.part
        case "data":
            return request.data
    raise UploadInvalid("A message announces a part, or has bytes of one.")
