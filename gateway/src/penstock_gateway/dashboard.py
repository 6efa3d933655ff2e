"""The way to the dashboard: everything that is not the gateway's own is passed to it over HTTP, streamed both ways."""

import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator
from importlib import resources

import httpx2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from penstock_gateway.bodies import BODY_BYTES_MAX, check_length
from penstock_gateway.errors import BodyTooLarge, DashboardUnavailable, PathInvalid

__all__ = ["DashboardAnswer", "DashboardProxy"]

CONNECT_TIMEOUT_S = 2.0
SILENCE_TIMEOUT_S = 120.0
CONNECTIONS_MAX = 200

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# What a client says of where it comes from is not to be believed: the gateway says it anew.
_REWRITTEN = frozenset(
    {
        b"host",
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-real-ip",
        b"x-request-id",
    }
)

Headers = list[tuple[bytes, bytes]]


class DashboardAnswer(StreamingResponse):
    """What the dashboard answered, with its headers and no others."""

    def __init__(self, answer: httpx2.Response, url: str) -> None:
        super().__init__(_stream(answer), status_code=answer.status_code)
        self.raw_headers = _response_headers(answer, url)


class DashboardProxy:
    """Passes requests to the dashboard, wherever it is at the moment.

    Args:
        url: Where it listens, `http://host:port`; empty while it does not.
        scheme: `http` or `https`: how people reach the gateway.
    """

    def __init__(self, url: str, scheme: str) -> None:
        self.url = url
        self._scheme = scheme
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=20),
            follow_redirects=False,
            trust_env=False,  # a proxy for the internet is no way to our own dashboard
        )

    async def __call__(self, request: Request) -> Response:
        """Answers a request with what the dashboard answers. Raises `PathInvalid`, `BodyTooLarge`, `DashboardUnavailable`."""
        if not request.scope["raw_path"].startswith(b"/"):
            raise PathInvalid("The path does not start with a slash.")
        if not self.url:
            return self._starting(request)
        check_length(request)
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        target = httpx2.URL(self.url).copy_with(raw_path=_raw_target(request))
        outgoing = self._client.build_request(
            request.method,
            target,
            headers=self._request_headers(request),
            content=_limited(request) if has_body else None,
        )
        # The library fills in what a browser did not send; the dashboard is to see what the browser sent.
        for name in ("accept", "accept-encoding", "user-agent"):
            if name not in request.headers:
                outgoing.headers.pop(name, None)
        try:
            answer = await self._client.send(outgoing, stream=True)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            return self._starting(request)
        except httpx2.TransportError as error:
            raise DashboardUnavailable("The dashboard broke off. Try again.") from error
        return DashboardAnswer(answer, self.url)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    def _request_headers(self, request: Request) -> Headers:
        skipped = _HOP_BY_HOP | _REWRITTEN | _named_by_connection(request.headers.raw)
        headers = [(name, value) for name, value in request.headers.raw if name not in skipped]
        client = request.client.host if request.client else ""
        headers += [
            (b"x-forwarded-for", client.encode()),
            (b"x-forwarded-host", request.headers.get("host", "").encode("latin-1")),
            (b"x-forwarded-proto", self._scheme.encode()),
            (b"x-request-id", request.state.request_id.encode()),
        ]
        return headers

    def _starting(self, request: Request) -> Response:
        """Says that the dashboard is not there yet: a page that looks again by itself, or an error for programs."""
        if "text/html" not in request.headers.get("accept", ""):
            raise DashboardUnavailable("The dashboard is starting. Try again in a moment.")
        page = resources.files("penstock_gateway").joinpath("starting.html").read_text(encoding="utf-8")
        style = page.partition("<style>")[2].partition("</style>")[0]
        digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
        headers = {
            "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'",
            "Cache-Control": "no-store",
            "Retry-After": "2",
        }
        return HTMLResponse(page, status_code=503, headers=headers)


def _raw_target(request: Request) -> bytes:
    query = request.scope["query_string"]
    return request.scope["raw_path"] + (b"?" + query if query else b"")


async def _limited(request: Request) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise BodyTooLarge(f"The body is larger than {BODY_BYTES_MAX} bytes.", limit=str(BODY_BYTES_MAX))
        yield chunk


async def _stream(answer: httpx2.Response) -> AsyncIterator[bytes]:
    # Raw: compressed bodies stay compressed.
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


def _named_by_connection(headers: Headers) -> set[bytes]:
    """The header names that a `Connection` header declares to be for this hop only."""
    values = b",".join(value for name, value in headers if name.lower() == b"connection")
    return {name.strip().lower() for name in values.split(b",") if name.strip()}


def _response_headers(answer: httpx2.Response, url: str) -> Headers:
    skipped = _HOP_BY_HOP | {b"date", b"server"} | _named_by_connection(answer.headers.raw)
    headers: Headers = []
    for name, value in answer.headers.raw:
        lower = name.lower()
        if lower in skipped:
            continue
        # An absolute redirect names the dashboard's own address, which the browser cannot or shall not reach.
        is_inner = lower == b"location" and value.startswith(url.encode() + b"/")
        headers.append((lower, value[len(url) :] if is_inner else value))
    return headers
