"""Answers the requests of MLflow's clients: which project and operation, who asks, what is answered, in MLflow's shapes."""

import asyncio
import json as json_text
import logging
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from penstock_gateway.backends import Backend
from penstock_gateway.bodies import read_body
from penstock_gateway.callers import Callers, basic_or_bearer_token
from penstock_gateway.errors import code_of, status_of
from penstock_gateway.mlflow import server
from penstock_gateway.mlflow.calls import Call, Services
from penstock_gateway.mlflow.errors import MlflowError, from_platform, invalid
from penstock_gateway.mlflow.fields import Query
from penstock_gateway.mlflow.routes import FileRoute, find
from penstock_kit.errors import PenstockError
from penstock_kit.traces import Tracer

__all__ = ["MlflowApi", "owned_path"]

DEFAULT_PROJECT: Final = "default"
QUERY_PARAMETERS_MAX: Final = 10_000
JSON: Final = "application/json"
OFFLOAD_BYTES: Final = 262_144
"""Larger bodies are read in a thread: megabytes would hold the event loop, and every stream on it."""

_LOG = logging.getLogger(__name__)
_PROJECT: Final = re.compile(r"/projects/([^/]+)(/.*)", re.DOTALL)
_PROJECT_ID: Final = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_API: Final = re.compile(r"/(?:ajax-)?api/[23]\.0(?:/.*)?|/v1/traces", re.DOTALL)
_OPEN: Final = frozenset({"/health", "/version", "/api/3.0/mlflow/server-info"})


def owned_path(path: str) -> tuple[str, str] | None:
    """The project and the rest of a path that belongs to MLflow's API; None for other paths."""
    project = DEFAULT_PROJECT
    below = _PROJECT.fullmatch(path)
    if below is not None:
        project, path = below[1], below[2]
        if path.startswith("/api/"):
            return project, path
    return (project, path) if path in _OPEN or _API.fullmatch(path) else None


class MlflowApi:
    """The handler of every path of MLflow's API.

    Args:
        backends: The services to call.
        callers: Makes the metadata of calls.
        tracer: Where spans go; None means that there are none.
    """

    def __init__(self, backends: Mapping[str, Backend], callers: Callers, tracer: Tracer | None = None) -> None:
        self._services = Services(backends, tracer)
        self._callers = callers

    async def __call__(self, request: Request) -> Response:
        """Answers a request. Raises nothing but what ends a connection."""
        try:
            return await self._answer(request)
        except MlflowError as error:
            return _failure(error)
        except PenstockError as error:
            return _failure(from_platform(error))
        except ClientDisconnect:
            raise
        except Exception:
            # The text of an unforeseen error is for the operator alone.
            _LOG.exception("request failed", extra={"request_id": request.state.request_id})
            text = f"Something went wrong inside the server. Its log tells more under request id {request.state.request_id}."
            return _failure(MlflowError("INTERNAL_ERROR", text))

    async def _answer(self, request: Request) -> Response:
        owned = owned_path(request.scope["path"])
        assert owned is not None, "only its own paths lead here"
        project, path = owned
        if request.method in ("GET", "HEAD"):
            if path == "/health":
                return Response(server.health(), media_type="text/plain")
            if path == "/version":
                return Response(server.version(), media_type="text/plain")
            if path == "/api/3.0/mlflow/server-info":
                return Response(json_text.dumps(server.info()), media_type=JSON)
        found = find(request.method, path.removeprefix("/api"))
        if found is None or not path.startswith("/api/"):
            raise MlflowError("ENDPOINT_NOT_FOUND", f"There is no endpoint {request.method} {path} here.")
        if not _PROJECT_ID.fullmatch(project):
            raise MlflowError("RESOURCE_DOES_NOT_EXIST", f"There is no project {project!r}.")
        route, varying = found
        request.state.route = f"mlflow {route.path}"
        secret = basic_or_bearer_token(request)
        if isinstance(route, FileRoute):
            body: Any = {}
        else:
            body = _query(request) if request.method == "GET" else await _body(request)
        metadata = await self._callers.metadata(request, secret)
        call = Call(project, body, varying, self._services, metadata)
        try:
            if isinstance(route, FileRoute):
                return await route.operation(call, request)
            answer = await route.operation(call)
            return Response(answer if isinstance(answer, bytes) else json_text.dumps(answer), media_type=JSON)
        except PenstockError as error:
            if code_of(status_of(error)).name == "UNAUTHENTICATED":
                self._callers.refused(secret)
            raise


async def _body(request: Request) -> Any:
    """The JSON of a body. None that can be read counts as an empty object, as in MLflow."""
    declared = request.headers.get("content-type")
    if request.method in ("POST", "PUT"):
        if declared is None:
            raise invalid("Bad Request. Content-Type header is missing.")
        if declared.partition(";")[0].strip().lower() != JSON:
            raise invalid(f"Bad Request. Content-Type must be one of ['{JSON}'].")
    raw = await read_body(request)
    body = _parsed(raw) if len(raw) <= OFFLOAD_BYTES else await asyncio.to_thread(_parsed, raw)
    # Clients of old send JSON within JSON.
    body = _parsed(body) if isinstance(body, str) else body
    return {} if body is None else body


def _parsed(raw: bytes | str) -> Any:
    try:
        return json_text.loads(raw)
    except (ValueError, RecursionError):
        return None


def _query(request: Request) -> Query:
    query = Query()
    try:
        pairs = parse_qsl(
            request.scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=QUERY_PARAMETERS_MAX,
        )
    except ValueError:
        raise invalid("The query cannot be read.") from None
    for name, value in pairs:
        query.setdefault(name, []).append(value)
    return query


def _failure(error: MlflowError) -> Response:
    headers: dict[str, str] = {}
    if error.http_code == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="penstock", Basic realm="penstock"'
    if error.http_code == 503:
        headers["Retry-After"] = "1"
    return Response(error.body(), status_code=error.http_code, media_type=JSON, headers=headers)
