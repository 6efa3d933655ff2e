"""The way to the dashboard: what is passed on, what is not, and what is said while it is not there."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from support.gateway import gateway_before

from penstock_gateway.bodies import BODY_BYTES_MAX


async def show(request: Request) -> Response:
    """Says what arrived."""
    body = await request.body()
    answer = JSONResponse(
        {
            "method": request.method,
            "path": request.scope["raw_path"].decode(),
            "query": request.scope["query_string"].decode(),
            "headers": [[name.decode(), value.decode("latin-1")] for name, value in request.headers.raw],
            "bytes": len(body),
        }
    )
    answer.set_cookie("a", "1", httponly=True, samesite="strict")
    answer.set_cookie("b", "2")
    answer.headers["Content-Security-Policy"] = "default-src 'self'"
    answer.headers["Keep-Alive"] = "timeout=5"
    return answer


async def moved(request: Request) -> Response:
    return RedirectResponse(f"http://{request.headers['host']}/elsewhere?x=1")


async def trickle(request: Request) -> Response:
    async def pieces() -> Any:
        for n in range(3):
            yield b"%d" % n
            await asyncio.sleep(0.05)

    return StreamingResponse(pieces())


@contextlib.asynccontextmanager
async def dashboard() -> AsyncGenerator[str]:
    methods = ["GET", "POST", "DELETE"]
    application = Starlette(
        routes=[
            Route("/moved", moved),
            Route("/trickle", trickle),
            Route("/{rest:path}", show, methods=methods),
        ]
    )
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_config=None, lifespan="off", ws="none"))
    serving = asyncio.ensure_future(server._serve())
    while not server.started:  # noqa: ASYNC110 - nothing rings then
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def test_requests_and_answers_pass() -> None:
    async with dashboard() as url, gateway_before(dashboard_url=url) as front:
        answer = await front.http.post("/a%20b/c?d=%2F&e", content=b"x" * 1_000, headers={"Cookie": "s=1; t=2"})
        said = answer.json()
        assert (said["method"], said["path"], said["query"], said["bytes"]) == ("POST", "/a%20b/c", "d=%2F&e", 1_000)
        assert ["cookie", "s=1; t=2"] in said["headers"]
        cookies = [cookie.partition(";")[0] for cookie in answer.headers.get_list("set-cookie")]
        assert cookies == ["a=1", "b=2"]
        # The dashboard's own policy stands.
        assert answer.headers["content-security-policy"] == "default-src 'self'"
        assert (await front.http.delete("/session")).json()["method"] == "DELETE"
        head = await front.http.head("/page")
        assert (head.status_code, head.content) == (200, b"")


async def test_what_belongs_to_one_hop_stays_there() -> None:
    sent = {
        "Connection": "x-private",
        "X-Private": "1",
        "TE": "trailers",
        "Proxy-Authorization": "secret",
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Host": "evil.example.org",
        "X-Forwarded-Proto": "https",
        "Forwarded": "for=6.6.6.6",
        "X-Real-IP": "6.6.6.6",
    }
    async with dashboard() as url, gateway_before(dashboard_url=url) as front:
        answer = await front.http.get("/", headers=sent)
        arrived = dict(answer.json()["headers"])
        assert not {"x-private", "te", "proxy-authorization", "forwarded", "x-real-ip"} & set(arrived)
        assert arrived["x-forwarded-for"] == "127.0.0.1"
        assert arrived["x-forwarded-host"] == front.http.base_url.netloc.decode()
        assert arrived["x-forwarded-proto"] == "http"
        assert arrived["host"] == url.removeprefix("http://")
        assert arrived["x-request-id"] == answer.headers["x-request-id"]
        assert "keep-alive" not in answer.headers


async def test_a_redirect_to_the_inner_address_is_brought_outside() -> None:
    async with dashboard() as url, gateway_before(dashboard_url=url) as front:
        answer = await front.http.get("/moved")
        assert (answer.status_code, answer.headers["location"]) == (307, "/elsewhere?x=1")


async def test_an_answer_arrives_while_it_is_made() -> None:
    async with (
        dashboard() as url,
        gateway_before(dashboard_url=url) as front,
        front.http.stream("GET", "/trickle") as answer,
    ):
        assert [piece async for piece in answer.aiter_raw()] == [b"0", b"1", b"2"]


async def test_too_large_a_body_is_refused() -> None:
    async def pieces() -> Any:
        for _ in range(17):
            yield bytes(1 << 20)

    async with dashboard() as url, gateway_before(dashboard_url=url) as front:
        assert (await front.http.post("/", content=bytes(BODY_BYTES_MAX))).json()["bytes"] == BODY_BYTES_MAX
        for content in (bytes(BODY_BYTES_MAX + 1), pieces()):
            answer = await front.http.post("/", content=content)
            assert answer.status_code == 413
            assert answer.json()["error"]["details"][0]["reason"] == "BODY_TOO_LARGE"


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:1"], ids=["not started", "gone"])
async def test_while_it_is_not_there_a_page_looks_again(url: str) -> None:
    async with gateway_before(dashboard_url=url) as front:
        page = await front.http.get("/runs", headers={"Accept": "text/html,*/*"})
        assert page.status_code == 503
        assert "The dashboard is starting" in page.text
        assert '<meta http-equiv="refresh" content="2">' in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert page.headers["x-frame-options"] == "DENY"
        error = await front.http.post("/_dash-update-component", headers={"Accept": "application/json"})
        assert error.status_code == 503
        assert error.json()["error"]["details"][0]["reason"] == "DASHBOARD_UNAVAILABLE"


async def test_it_is_found_where_it_has_moved() -> None:
    async with gateway_before() as front:
        assert (await front.http.get("/")).status_code == 503
        async with dashboard() as url:
            front.gateway.show_dashboard(url)
            assert (await front.http.get("/")).status_code == 200
