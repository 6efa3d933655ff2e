"""The HTTP side that is not Dash: which path is which page, security headers, static files, compression.

Dash serves one document, at `/`, that draws every page. `Front` stands before it: it answers page paths with that document,
sends visitors without a session to the sign-in page, and puts the security headers on every answer.
"""

from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock_dashboard.files import FILES_POLICY, FILES_PREFIX
from penstock_dashboard.session import COOKIE, cookie_is_plausible

__all__ = ["Front", "content_security_policy", "mount_static"]

STATIC = Path(__file__).parent / "static"
OWN_PREFIXES = ("/_dash-", "/assets/", "/static/")
FILE_PREFIXES = ("/_dash-component-suites/", "/assets/", "/static/")
"""What the browser may keep and ask about again: these answers carry an ETag."""
OWN_PATHS = ("/session", "/healthz", "/setup", "/sign-in", "/favicon.ico")


class Front:
    """An ASGI application before the Dash one.

    Args:
        app: The Dash server.
        policy: The content security policy.
    """

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        path = scope["path"]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = FILES_POLICY if path.startswith(FILES_PREFIX) else self._policy
                headers["x-content-type-options"] = "nosniff"
                headers["x-frame-options"] = "DENY"
                headers["referrer-policy"] = "same-origin"
                headers["cross-origin-opener-policy"] = "same-origin"
                headers["permissions-policy"] = "camera=(), geolocation=(), microphone=()"
                headers.setdefault("cache-control", "no-cache" if path.startswith(FILE_PREFIXES) else "no-store")
            await send(message)

        if scope["method"] in {"GET", "HEAD"} and path not in OWN_PATHS and not path.startswith(OWN_PREFIXES):
            if not _has_session(scope):
                where = path + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
                target = "/sign-in" if where == "/" else f"/sign-in?next={quote(where, safe='/')}"
                await RedirectResponse(target, status_code=303)(scope, receive, send_with_headers)
                return
            if path.startswith(FILES_PREFIX):
                # Ranges are of the file itself: it must not be compressed on its way.
                headers = [header for header in scope["headers"] if header[0] != b"accept-encoding"]
                scope = {**scope, "headers": headers}
            else:
                scope = {**scope, "path": "/", "raw_path": b"/"}
        await self._app(scope, receive, send_with_headers)


def content_security_policy(script_hashes: Sequence[str]) -> str:
    """Nothing from another host, no script that is not ours.

    Styles may be inline because ag-grid, Mantine and Plotly write style elements; images may be `data:` and `blob:` for
    Plotly's picture download; the grid's icon font is a `data:` address.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {' '.join(script_hashes)}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self'",
            "font-src 'self' data:",
            "connect-src 'self'",
            "worker-src 'self'",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "object-src 'none'",
        )
    )


def mount_static(server: FastAPI) -> None:
    """Adds the sign-in page, `/static`, the favicon and `/healthz`."""

    async def sign_in() -> Response:
        return FileResponse(STATIC / "sign_in.html")

    async def favicon() -> Response:
        return FileResponse(STATIC / "favicon.svg", media_type="image/svg+xml")

    async def health() -> Response:
        return JSONResponse({"status": "SERVING"})

    for path in ("/setup", "/sign-in"):
        server.add_api_route(path, sign_in, methods=["GET"], include_in_schema=False)
    server.add_api_route("/favicon.ico", favicon, methods=["GET"], include_in_schema=False)
    server.add_api_route("/healthz", health, methods=["GET"], include_in_schema=False)
    server.mount("/static", StaticFiles(directory=STATIC), name="static")


def _has_session(scope: Scope) -> bool:
    cookie: SimpleCookie = SimpleCookie()
    try:
        cookie.load(Headers(scope=scope).get("cookie", ""))
    except CookieError:
        return False
    morsel = cookie.get(COOKIE)
    return morsel is not None and cookie_is_plausible(morsel.value)
