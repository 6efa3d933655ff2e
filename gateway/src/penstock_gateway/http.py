"""The HTTP side as one ASGI application: what each path leads to, and what holds for every request.

`/api/v1/...` the JSON twins · `/api/2.0/...`, `/projects/{project}/api/...` and the like MLflow's API · `/openapi.json` ·
`/healthz` · `/metrics` · `/.well-known/penstock` and `/.well-known/jwks.json` · `/` leads on · everything else the
dashboard. No answer carries CORS headers: pages of other sites read nothing here.
"""

import asyncio
import hmac
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Receive, Scope, Send

from penstock.api.auth.v1 import auth_service_pb2
from penstock_gateway.backends import Backends
from penstock_gateway.dashboard import DashboardAnswer, DashboardProxy
from penstock_gateway.errors import (
    MethodNotAllowed,
    MetricsForbidden,
    RouteNotFound,
    RpcFailed,
    backend_status,
    error_bytes,
    http_code,
    internal_error,
)
from penstock_gateway.files import PREFIX as FILES_PREFIX
from penstock_gateway.files import Files
from penstock_gateway.hosts import HostList, host_name
from penstock_gateway.json_twins.handler import JsonTwins
from penstock_gateway.json_twins.routes import Routes
from penstock_gateway.landing import is_landing, serve_landing
from penstock_gateway.metrics import HTTP_DURATION, HTTP_REQUESTS
from penstock_gateway.mlflow.api import MlflowApi, owned_path
from penstock_gateway.openapi import describe
from penstock_kit.errors import PenstockError
from penstock_kit.ids import random_id
from penstock_kit.listening import is_loopback
from penstock_kit.metrics import CONTENT_TYPE, exposition

__all__ = ["HttpApplication", "Identity"]

JWKS_TIMEOUT_S = 5.0

_LOG = logging.getLogger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FORWARDING_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip")
_OWN_HEADERS = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Identity:
    """What the gateway tells about itself.

    Attributes:
        grpc_address: `host:port` of its gRPC side as bound, or as the operator wants it told.
        version: Of the platform.
    """

    grpc_address: str
    version: str


class HttpApplication:
    """The ASGI application.

    Args:
        backends: The services.
        routes: The routes of the JSON twins.
        twins: Serves them.
        files: Serves the files of artifacts.
        mlflow: Serves MLflow's API.
        dashboard: Serves the rest.
        hosts: The accepted `Host` names.
        identity: What `/.well-known/penstock` tells.
        metrics_token: With it, `/metrics` may be read from elsewhere; empty means that it may not.
    """

    def __init__(
        self,
        *,
        backends: Backends,
        routes: Routes,
        twins: JsonTwins,
        files: Files,
        mlflow: MlflowApi,
        dashboard: DashboardProxy,
        hosts: HostList,
        identity: Identity,
        metrics_token: str,
    ) -> None:
        self._backends = backends
        self._routes = routes
        self._twins = twins
        self._files = files
        self._mlflow = mlflow
        self._dashboard = dashboard
        self._hosts = hosts
        self._identity = identity
        self._metrics_token = metrics_token
        self._openapi: bytes = b""
        auth = backends["auth"]
        self._get_keys = auth.channel.unary_unary(
            f"/{auth.service.full_name}/GetKeys",
            request_serializer=auth_service_pb2.GetKeysRequest.SerializeToString,
            response_deserializer=auth_service_pb2.GetKeysResponse.FromString,
        )
        self._own: dict[str, Endpoint] = {
            "/openapi.json": self._serve_openapi,
            "/healthz": self._serve_health,
            "/metrics": self._serve_metrics,
            "/.well-known/penstock": self._serve_identity,
            "/.well-known/jwks.json": self._serve_keys,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "the server is told to speak nothing else"
        request = Request(scope, receive)
        given = request.headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else random_id()
        request.state.request_id = request_id
        endpoint, route = self._endpoint(request)
        request.state.route = route
        answered = _Answered(send, request_id)
        started_s = time.perf_counter()
        try:
            response = await self._respond(request, endpoint)
            if not isinstance(response, DashboardAnswer):  # which has a policy of its own
                answered.defaults = _OWN_HEADERS
            await response(scope, receive, answered)
        except ClientDisconnect:
            pass  # nobody is left to answer
        except Exception:
            # The answer had begun, so all that is left is to break it off.
            _LOG.exception("answer broken off", extra={"request_id": request_id})
        finally:
            duration_s = time.perf_counter() - started_s
            HTTP_REQUESTS.labels(request.state.route, _known(request.method), answered.status).inc()
            HTTP_DURATION.labels(request.state.route).observe(duration_s)
            # As the services do: what failed is worth a line, what went well is in the figures.
            level = logging.INFO if answered.status >= 500 or answered.status == 0 else logging.DEBUG
            _LOG.log(
                level,
                "%s %s",
                request.method,
                request.state.route,
                extra={
                    "request_id": request_id,
                    "http_path": scope["path"],
                    "http_status": answered.status,
                    "duration_ms": round(duration_s * 1_000, 2),
                },
            )

    def _endpoint(self, request: Request) -> tuple[Endpoint, str]:
        """Who answers a request, and under which label it is counted: never its path, of which there is no end."""
        path = request.scope["path"]
        if owned_path(path) is not None:
            return self._mlflow, "mlflow"
        if path == "/api" or path.startswith("/api/"):
            return self._twins, "/api"
        if path.startswith(FILES_PREFIX):
            return self._files, "/files"
        if path in self._own:
            return self._own[path], path
        if path.startswith("/.well-known/"):
            return _not_found, "/.well-known"
        if is_landing(request):
            return serve_landing, "/"
        return self._dashboard, "dashboard"

    async def _respond(self, request: Request, endpoint: Endpoint) -> Response:
        """Runs an endpoint; any failure becomes a response here."""
        try:
            self._hosts.check(request.headers.get("host", ""))
            if request.url.path in self._own and request.method not in {"GET", "HEAD"}:
                raise MethodNotAllowed(f"This path takes GET, not {request.method}.", allow="GET, HEAD")
            return await endpoint(request)
        except PenstockError as error:
            return _failure(error)
        except (ClientDisconnect, asyncio.CancelledError):
            raise
        except Exception:
            # The text of an unforeseen error is for the operator alone.
            _LOG.exception("request failed", extra={"request_id": request.state.request_id})
            return _failure(internal_error(request.state.request_id))

    async def _serve_openapi(self, _: Request) -> Response:
        if not self._openapi:
            self._openapi = json.dumps(describe(self._routes, self._identity.version), ensure_ascii=False).encode()
        return Response(self._openapi, media_type="application/json", headers={"Cache-Control": "public, max-age=300"})

    async def _serve_health(self, _: Request) -> Response:
        services = await self._backends.ready()
        healthy = all(services.values())
        body = {
            "status": "SERVING" if healthy else "NOT_SERVING",
            "services": {name: "SERVING" if ready else "NOT_SERVING" for name, ready in services.items()},
        }
        return JSONResponse(body, status_code=200 if healthy else 503)

    async def _serve_metrics(self, request: Request) -> Response:
        if not self._may_read_metrics(request):
            raise MetricsForbidden(
                "Metrics are read from this machine, or with the token set as PENSTOCK_GATEWAY_METRICS_TOKEN."
            )
        return Response(exposition(), headers={"Content-Type": CONTENT_TYPE})

    def _may_read_metrics(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if self._metrics_token and scheme.lower() == "bearer":
            return hmac.compare_digest(token.strip().encode(), self._metrics_token.encode())
        # A reverse proxy on this machine is here only on somebody else's behalf.
        relayed = any(name in request.headers for name in _FORWARDING_HEADERS)
        return request.client is not None and is_loopback(f"[{request.client.host}]:0") and not relayed

    async def _serve_identity(self, request: Request) -> Response:
        identity = self._identity
        host, _, port = identity.grpc_address.rpartition(":")
        if host.strip("[]") in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
            # Bound to every address: the one by which the client came is one that it can reach.
            name = host_name(request.headers.get("host", ""))
            host = f"[{name}]" if ":" in name else name
        body = {"grpc": f"{host}:{port}", "version": identity.version, "project": "default"}
        return JSONResponse(body)

    async def _serve_keys(self, _: Request) -> Response:
        try:
            answer = await self._get_keys(auth_service_pb2.GetKeysRequest(), timeout=JWKS_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise RpcFailed(backend_status(error, "auth")) from error
        headers = {"Cache-Control": "public, max-age=60"}
        return Response(answer.jwks_json, media_type="application/jwk-set+json", headers=headers)


class _Answered:
    """Passes an answer on with the headers that every one has, and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.defaults: dict[bytes, bytes] = {}
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers: list[tuple[bytes, bytes]] = [
                (name, value) for name, value in message["headers"] if name.lower() != b"x-request-id"
            ]
            present = {name.lower() for name, _ in headers}
            headers += [(name, value) for name, value in self.defaults.items() if name not in present]
            headers.append((b"x-request-id", self._request_id.encode()))
            message = {**message, "headers": headers}
        await self._send(message)


def _known(method: str) -> str:
    return method if method in _METHODS else "other"


async def _not_found(_: Request) -> Response:
    raise RouteNotFound("There is no such path.")


def _failure(error: PenstockError) -> Response:
    code = http_code(error)
    headers: dict[str, Any] = {}
    if code == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="penstock"'
    if code == 503:
        headers["Retry-After"] = "1"
    if "allow" in error.metadata:
        headers["Allow"] = error.metadata["allow"]
    return Response(error_bytes(error), status_code=code, media_type="application/json", headers=headers)
