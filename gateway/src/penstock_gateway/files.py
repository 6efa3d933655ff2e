"""Files of artifacts over HTTP, as they are: `GET /files/{version}/{path}` for browsers, curl and any language.

`/files/projects/p/artifacts/a/versions/3/some/file.bin`, `latest` for the newest version. The bytes pass through in pieces of
1 MiB. They are always an attachment of no type that a browser would show: what somebody uploaded must not run here.
"""

import re
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import quote

import grpc
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from penstock.api.artifact.v1 import artifact_service_pb2 as pb
from penstock_gateway.backends import Backend
from penstock_gateway.callers import Callers, bearer_token
from penstock_gateway.errors import MethodNotAllowed, RouteNotFound, RpcFailed, backend_status
from penstock_kit.names import ArtifactVersionName

__all__ = ["PREFIX", "Files"]

PREFIX: Final = "/files/"

EOF: Any = grpc.aio.EOF  # pyrefly: ignore[missing-attribute] - the stubs lack it

_FILE = re.compile(r"(?P<version>projects/[^/]+/artifacts/[^/]+/versions/[^/]+)/(?P<path>.+)", re.DOTALL)
_RANGE = re.compile(r"bytes=(?P<first>[0-9]{1,18})-(?P<last>[0-9]{0,18})")
_OK, _PARTIAL, _NOT_SATISFIABLE = 200, 206, 416


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
                "A file is at /files/projects/{project}/artifacts/{artifact}/versions/{version}/{path}."
            )
        version = ArtifactVersionName.parse(match["version"])
        first, last = _range(request)
        secret = bearer_token(request)
        call = self._download(
            pb.DownloadFileRequest(
                name=str(version),
                path=match["path"],
                offset=first or 0,
                length_bytes=0 if last is None else last - (first or 0) + 1,
            ),
            metadata=await self._callers.metadata(request, secret),
        )
        try:
            head: Any = await call.read()
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                self._callers.refused(secret)
            raise RpcFailed(backend_status(error, self._name)) from error
        return _answer(call, head.blob, match["path"], first, last)


def _answer(call: Any, blob: Any, path: str, first: int | None, last: int | None) -> Response:
    size = blob.size_bytes
    if first is not None and first >= size:
        call.cancel()
        return Response(status_code=_NOT_SATISFIABLE, headers={"Content-Range": f"bytes */{size}"})
    start = first or 0
    end = size if last is None else min(last + 1, size)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(path.rpartition('/')[2], safe='')}",
        "Content-Length": str(end - start),
        "ETag": f'"{blob.sha256}"',
    }
    if first is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return StreamingResponse(
        _pieces(call),
        status_code=_OK if first is None else _PARTIAL,
        media_type="application/octet-stream",
        headers=headers,
    )


async def _pieces(call: Any) -> AsyncIterator[bytes]:
    try:
        while (response := await call.read()) is not EOF:
            yield response.data
    finally:
        call.cancel()


def _range(request: Request) -> tuple[int | None, int | None]:
    """The first and the last byte that are asked for; None for none said. A header that is not understood is left out."""
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    # With a condition we would have to know the file first; the whole file is always right.
    if match is None or "if-range" in request.headers:
        return None, None
    first = int(match["first"])
    last = int(match["last"]) if match["last"] else None
    return (None, None) if last is not None and last < first else (first, last)
