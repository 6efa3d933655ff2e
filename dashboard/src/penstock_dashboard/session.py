"""Who the visitor is: the cookie, the sign-in and sign-out routes, and one client per session.

The cookie holds the secret of a session or of a personal access token, and nothing else is kept of a visitor: every call goes
to the services with that secret, so the dashboard can do exactly what its visitor may do.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from penstock.api.auth.v1 import auth_service_pb2
from penstock.client import AsyncClient
from penstock.config import Connection
from penstock.errors import AuthenticationFailed, PenstockError
from penstock_dashboard.settings import Settings

__all__ = ["COOKIE", "Sessions", "cookie_is_plausible"]

COOKIE = "penstock_session"
SECRET_CHARS_MAX = 256
"""Longest secret, as the auth service takes it."""
SESSIONS_MAX = 64
"""Clients that are held at once. The least recently used one is closed; its visitor gets a new one unawares."""
CLOSE_DELAY_S = 60.0
"""How long a client that was pushed out may finish its calls."""
SESSION_PREFIX = "pss_"
COOKIE_AGE_S = 30 * 24 * 3600
"""How long a browser keeps the cookie. The server may end the session sooner."""
BODY_BYTES_MAX = 4096
"""Largest body of a sign-in."""


class Sessions:
    """The clients of those who are signed in, and the sign-in itself.

    Args:
        settings: Where the gateway is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: OrderedDict[str, AsyncClient] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    def client(self, secret: str | None) -> AsyncClient:
        """The client of a session. Raises `AuthenticationFailed` when there is no secret."""
        if not cookie_is_plausible(secret):
            raise AuthenticationFailed("You are not signed in.", reason="NOT_SIGNED_IN")
        # The key is a digest so that a dump of the cache gives nobody a way in.
        key = hashlib.sha256(secret.encode()).hexdigest()  # type: ignore[union-attr] # plausible means that it is there
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = AsyncClient(self._connection(secret))
            if len(self._clients) > SESSIONS_MAX:
                _, oldest = self._clients.popitem(last=False)
                self._retire(oldest, CLOSE_DELAY_S)
        self._clients.move_to_end(key)
        return client

    def forget(self, secret: str) -> None:
        """Drops the client of a session that ended."""
        client = self._clients.pop(hashlib.sha256(secret.encode()).hexdigest(), None)
        if client is not None:
            self._retire(client, 0.0)

    async def close(self) -> None:
        """Closes every client."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        clients = list(self._clients.values())
        self._clients.clear()
        await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)

    async def redeem(self, setup_secret: str) -> str:
        """Trades the secret of a setup link for that of a session. Raises `PenstockError`."""
        async with AsyncClient(self._connection(None)) as client:
            response = await client.auth.RedeemSetupLink(auth_service_pb2.RedeemSetupLinkRequest(secret=setup_secret))
        return response.session_secret

    async def check(self, secret: str) -> None:
        """Raises `PenstockError` unless the secret is accepted."""
        await self.client(secret).auth.WhoAmI(auth_service_pb2.WhoAmIRequest())

    async def end(self, secret: str) -> None:
        """Ends a session at the auth service. A personal access token, which lives elsewhere too, stays."""
        if secret.startswith(SESSION_PREFIX):
            client = self.client(secret)
            who = await client.auth.WhoAmI(auth_service_pb2.WhoAmIRequest())
            await client.auth.RevokeToken(auth_service_pb2.RevokeTokenRequest(name=who.token))
        self.forget(secret)

    def mount(self, server: FastAPI) -> None:
        """Adds `POST /session` and `DELETE /session`."""
        server.add_api_route("/session", self._guarded(self._sign_in), methods=["POST"], include_in_schema=False)
        server.add_api_route("/session", self._guarded(self._sign_out), methods=["DELETE"], include_in_schema=False)

    def _connection(self, secret: str | None) -> Connection:
        return Connection(
            http=self._settings.gateway_http, grpc=self._settings.gateway_grpc, token=secret, source="dashboard"
        )

    def _retire(self, client: AsyncClient, delay_s: float) -> None:
        async def close_later() -> None:
            await asyncio.sleep(delay_s)
            await client.close()

        task = asyncio.get_running_loop().create_task(close_later())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _guarded(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            # Another site must not be able to sign a visitor in as somebody else.
            # Behind the gateway the visitor's host is in X-Forwarded-Host, which no other site can set.
            origin = request.headers.get("origin")
            host = request.headers.get("x-forwarded-host") or request.headers.get("host")
            if origin is not None and urlsplit(origin).netloc != host:
                return _refusal(403, "ORIGIN_REFUSED", "This request came from another site.")
            try:
                return await handler(request)
            except AuthenticationFailed as error:
                return _refusal(401, error.reason, error.message)
            except PenstockError as error:
                return _refusal(503, error.reason, error.message)

        return guarded

    async def _sign_in(self, request: Request) -> Response:
        if int(request.headers.get("content-length") or 0) > BODY_BYTES_MAX:
            return _refusal(413, "BODY_TOO_LARGE", "This is no sign-in.")
        try:
            body = await request.json()
        except ValueError:
            body = None
        setup = body.get("setup") if isinstance(body, dict) else None
        token = body.get("token") if isinstance(body, dict) else None
        if isinstance(setup, str) and 0 < len(setup) <= SECRET_CHARS_MAX:
            secret = await self.redeem(setup)
        elif isinstance(token, str) and cookie_is_plausible(token.strip()):
            secret = token.strip()
            await self.check(secret)
        else:
            return _refusal(400, "BODY_INVALID", 'Expected {"setup": "psl_..."} or {"token": "pst_..."}.')
        response = JSONResponse({"signed_in": True})
        response.set_cookie(
            COOKIE,
            secret,
            max_age=COOKIE_AGE_S,
            httponly=True,
            samesite="strict",
            secure=self._is_https(request),
            path="/",
        )
        return response

    async def _sign_out(self, request: Request) -> Response:
        secret = request.cookies.get(COOKIE)
        if secret is not None and cookie_is_plausible(secret):
            try:
                await self.end(secret)
            except AuthenticationFailed:
                self.forget(secret)  # it had ended already
        response = JSONResponse({"signed_in": False})
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=self._is_https(request))
        return response

    def _is_https(self, request: Request) -> bool:
        forwarded = request.headers.get("x-forwarded-proto", "").split(",")[0].strip()
        return "https" in {forwarded, request.url.scheme} or self._settings.gateway_http.startswith("https://")


def cookie_is_plausible(secret: str | None) -> bool:
    """Whether a secret could be one: printable ASCII without spaces, of allowed length."""
    return (
        secret is not None
        and 0 < len(secret) <= SECRET_CHARS_MAX
        and all("!" <= c <= "~" and c not in '",;\\' for c in secret)
    )


def _refusal(status: int, reason: str, message: str) -> JSONResponse:
    return JSONResponse({"reason": reason, "message": message}, status_code=status)
