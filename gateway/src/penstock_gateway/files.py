"""Files over HTTP, as they are: `GET /files/{what has the file}/{path}` for browsers, curl and any language.

`/files/projects/p/artifacts/a/versions/3/some/file.bin`, `latest` for the newest version; of runs and logged models
`/files/projects/p/runs/{run}/some/file.bin`. The bytes pass through in pieces of 1 MiB. They are always an attachment of no
type that a browser would show: what somebody uploaded must not run here.
"""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import grpc
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from penstock.api.artifact.v1 import artifact_service_pb2 as pb
from penstock.api.artifact.v1.artifact_pb2 import BlobId
from penstock_gateway.backends import Backend
from penstock_gateway.callers import Callers, bearer_token
from penstock_gateway.errors import MethodNotAllowed, RouteNotFound, RpcFailed, backend_status

__all__ = ["PREFIX", "Files", "Range", "file_answer", "not_satisfiable", "wanted_range"]

PREFIX: Final = "/files/"

EOF: Any = grpc.aio.EOF  # pyrefly: ignore[missing-attribute] - the stubs lack it

_FILE = re.compile(
    r"(?P<name>projects/[^/]+/(?:artifacts/[^/]+/versions|runs|loggedModels)/[^/]+)/(?P<path>.+)", re.DOTALL
)
_RANGE = re.compile(r"bytes=(?P<first>[0-9]{1,18})-(?P<last>[0-9]{0,18})")
_OK, _PARTIAL, _NOT_SATISFIABLE = 200, 206, 416


@dataclass(frozen=True, slots=True)
class Range:
    """The first and the last byte that are asked for; None for none said."""

    first: int | None = None
    last: int | None = None

    @property
    def length(self) -> int:
        """How many bytes that are; 0 for all to the end."""
        return 0 if self.last is None else self.last - (self.first or 0) + 1


class Files:
    """The handler of every path under `/files/`.

    Args:
        backend: The artifact service.
        callers: Makes the metadata of calls.
    """

    def __init__(self, backend: Backend, callers: Callers) -> None:
        self._name = backend.name
        self._callers = callers
        self._download = backend.channel.unary_stream(
            f"/{backend.service.full_name}/DownloadFile",
            request_serializer=pb.DownloadFileRequest.SerializeToString,
            response_deserializer=pb.DownloadFileResponse.FromString,
        )

    async def __call__(self, request: Request) -> Response:
        """Answers a request, also for one range of bytes. Other ranges get the whole file.

        Raises `PenstockError`, with RANGE_INVALID for a range that begins behind the end.
        """
        if request.method != "GET":
            raise MethodNotAllowed(f"This path takes GET, not {request.method}.", allow="GET")
        match = _FILE.fullmatch(request.scope["path"].removeprefix(PREFIX))
        if match is None:
            raise RouteNotFound(
                "A file is at /files/projects/{project}/artifacts/{artifact}/versions/{version}/{path}, or at "
                "/files/projects/{project}/runs/{run}/{path}."
            )
        wanted = wanted_range(request)
        secret = bearer_token(request)
        call = self._download(
            pb.DownloadFileRequest(
                name=match["name"],
                path=match["path"],
                offset=wanted.first or 0,
                length_bytes=wanted.length,
            ),
            metadata=await self._callers.metadata(request, secret),
        )
        try:
            head: Any = await call.read()
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                self._callers.refused(secret)
            raise RpcFailed(backend_status(error, self._name)) from error
        refusal = not_satisfiable(head.blob, wanted)
        if refusal is not None:
            call.cancel()
            return refusal
        return file_answer(_pieces(call), head.blob, match["path"], wanted)


def not_satisfiable(blob: BlobId, wanted: Range) -> Response | None:
    """The answer to a range that begins behind the end of a file; None if it does not."""
    if wanted.first is None or wanted.first < blob.size_bytes:
        return None
    return Response(status_code=_NOT_SATISFIABLE, headers={"Content-Range": f"bytes */{blob.size_bytes}"})


def file_answer(pieces: AsyncGenerator[bytes], blob: BlobId, path: str, wanted: Range) -> Response:
    """Answers with a file: an attachment of no type that a browser would show.

    Args:
        pieces: Its bytes in the range that is wanted.
        blob: The whole file's id.
        path: Whose last segment is its name.
        wanted: The range, which begins within the file.
    """
    size = blob.size_bytes
    start = wanted.first or 0
    end = size if wanted.last is None else min(wanted.last + 1, size)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(path.rpartition('/')[2], safe='')}",
        "Content-Length": str(end - start),
        "ETag": f'"{blob.sha256}"',
    }
    if wanted.first is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return StreamingResponse(
        pieces,
        status_code=_OK if wanted.first is None else _PARTIAL,
        media_type="application/octet-stream",
        headers=headers,
    )


async def _pieces(call: Any) -> AsyncGenerator[bytes]:
    try:
        while (response := await call.read()) is not EOF:
            yield response.data
    finally:
        call.cancel()


def wanted_range(request: Request) -> Range:
    """The range that a request asks for. A header that is not understood is left out."""
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    # With a condition we would have to know the file first; the whole file is always right.
    if match is None or "if-range" in request.headers:
        return Range()
    first = int(match["first"])
    last = int(match["last"]) if match["last"] else None
    return Range() if last is not None and last < first else Range(first, last)
