"""The files themselves over HTTP: `GET /download/{name of a version, a run or a logged model}?path=`, with ranges.

What somebody uploaded must never act as a page of ours. So each file comes as an attachment, in a sandbox without an origin,
as no other type than that of an image, a sound or a film, told by its name, and the browser is forbidden to guess one. An
element that shows an image or plays a film heeds neither attachment nor sandbox.
"""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from penstock.api.artifact.v1 import artifact_service_pb2
from penstock.errors import AuthenticationFailed, Conflict, InvalidInput, NotFound, PenstockError, PermissionDenied
from penstock_dashboard.session import COOKIE, Sessions

__all__ = ["FILES_POLICY", "FILES_PREFIX", "mount_files"]

FILES_PREFIX: Final = "/download/"
FILES_POLICY: Final = "default-src 'none'; sandbox"
"""The content security policy of a file, should it be opened as a page."""

SILENCE_S: Final = 60.0
"""How long the service may say nothing while a file is sent."""

MEDIA_TYPES: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".svg": "image/svg+xml",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}

_RANGE: Final = re.compile(r"bytes=(\d{1,18})-(\d{1,18})?")


def mount_files(server: FastAPI, sessions: Sessions) -> None:
    """Adds the route."""

    async def download(request: Request, owner: str, path: str = "") -> Response:
        try:
            return await _answer(request, sessions, owner, path)
        except AuthenticationFailed as error:
            return _refusal(401, error)
        except PermissionDenied as error:
            return _refusal(403, error)
        except NotFound as error:
            return _refusal(404, error)
        except Conflict as error:
            return _refusal(409, error)
        except InvalidInput as error:
            return _refusal(416 if error.reason == "RANGE_INVALID" else 400, error)
        except PenstockError as error:
            return _refusal(503, error)

    server.add_api_route(FILES_PREFIX + "{owner:path}", download, methods=["GET"], include_in_schema=False)


async def _answer(request: Request, sessions: Sessions, owner: str, path: str) -> Response:
    client = sessions.client(request.cookies.get(COOKIE))
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    first, last = (int(asked[1]), int(asked[2]) if asked[2] else None) if asked else (0, None)
    length = 0 if last is None else last - first + 1
    if length < 0 or (last is not None and length == 0):
        asked, first, length = None, 0, 0  # a range that ends before it begins is none
    stream = client.artifact_service.DownloadFile(
        artifact_service_pb2.DownloadFileRequest(name=owner, path=path, offset=first, length_bytes=length),
        silence_s=SILENCE_S,
    )
    size = (await anext(stream)).blob.size_bytes
    if asked and first >= size:
        await stream.aclose()
        return _refusal(416, InvalidInput(f"The file has {size:,} bytes.", reason="RANGE_INVALID"))
    end = size if not length else min(first + length, size)
    name = path.rpartition("/")[2]
    headers = {
        "accept-ranges": "bytes",
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "content-length": str(end - first),
        "content-type": MEDIA_TYPES.get(f".{name.rpartition('.')[2].lower()}", "application/octet-stream"),
    }
    if asked:
        headers["content-range"] = f"bytes {first}-{end - 1}/{size}"
    return StreamingResponse(_data(stream), status_code=206 if asked else 200, headers=headers)


async def _data(stream: Any) -> AsyncIterator[bytes]:
    # Closed also when nobody reads on, as players do: then the service need not send the rest.
    async with aclosing(stream) as responses:
        async for response in responses:
            yield response.data


def _refusal(status: int, error: PenstockError) -> JSONResponse:
    return JSONResponse({"reason": error.reason, "message": error.message}, status_code=status)
